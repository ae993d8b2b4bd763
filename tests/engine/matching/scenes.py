"""Small planted scenes and templates for the tests of matching."""

from functools import cache

import numpy as np

from engine.data.provenance import Provenance
from engine.data.template import Template
from engine.data.tomogram import TiltRange, Tomogram
from engine.matching.filters import MatchFilter
from engine.matching.template_masks import soft_sphere
from engine.simulation.macromolecules import blob_chain, planted_scene

VOXEL_SIZE_ANGST = 10.0
WEDGE = TiltRange(-60.0, 60.0)
FILTER = MatchFilter(VOXEL_SIZE_ANGST, WEDGE)
BOX, RADIUS = 24, 8.0


@cache
def structure(seed=0):
    return blob_chain(BOX, RADIUS, 7, rng=np.random.default_rng(seed))


def template(seed=0, *, name="template", symmetry="C1", voxels=None, mask=None):
    return Template(
        template_id=name,
        voxels=structure(seed) if voxels is None else voxels,
        mask=soft_sphere(BOX, RADIUS + 1.0, 2) if mask is None else mask,
        voxel_size_angst=VOXEL_SIZE_ANGST,
        symmetry=symmetry,
        radius_angst=RADIUS * VOXEL_SIZE_ANGST,
        mass_kda=None,
        hand="as_given",
        resolution_angst=None,
        source="test",
        provenance=Provenance("0", "0"),
    )


def tomogram(voxels, name="tomogram"):
    return Tomogram(name, voxels, VOXEL_SIZE_ANGST, WEDGE, "bright", Provenance("0", "0"))


@cache
def planted(snr=0.3, n_copies=6, n_decoys=0, shape=(56, 64, 72), seed=0):
    return planted_scene(
        (structure(0), structure(1)),
        (n_copies, n_decoys),
        shape,
        snr=snr,
        snr_radius_vox=RADIUS,
        distances_vox=(RADIUS + 1, RADIUS + 1),
        margin_vox=12,
        tilt_range=WEDGE,
        rng=np.random.default_rng(seed),
    )
