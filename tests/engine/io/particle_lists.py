"""Particle lists for the tests of their readers and writers."""

import numpy as np
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from engine.data.orientations import no_rotations
from engine.data.particles import ParticleSet


def particles(n, seed=0, *, names=("tomo_1", "tomo_2"), classes=("ribosome", "proteasome")):
    """Particles in and around a cell, with a score."""
    rng = np.random.default_rng(seed)
    return ParticleSet(
        positions_angst=rng.uniform(-500.0, 20000.0, (n, 3)),
        rotations=Rotation.random(n, rng=rng) if n else no_rotations(),
        tomogram_ids=tuple(rng.choice(names, n).tolist()),
        class_names=tuple(rng.choice(classes, n).tolist()),
        figures={"score": rng.uniform(0.1, 0.9, n)},
    )


ANGLES = st.floats(-180.0, 180.0, allow_nan=False)
# The poles, where two of three angles are one, must be met often.
TILTS = st.one_of(st.sampled_from([0.0, 90.0, 180.0]), st.floats(0.0, 180.0))
RELION_ANGLES = st.tuples(ANGLES, TILTS, ANGLES)
PLACES = st.tuples(*[st.floats(-1e4, 5e4, allow_nan=False)] * 3)
VOXEL_SIZES = st.floats(0.5, 50.0)


def apart_deg(one, other):
    """Largest angle between rotations."""
    return float(np.degrees((one.rotations.inv() * other.rotations).magnitude()).max(initial=0.0))
