"""Sets of particles."""

import numpy as np

from engine.data.orientations import no_rotations
from engine.data.particles import ParticleSet


def test_nothing_can_be_taken_from_an_empty_set():
    empty = ParticleSet(np.empty((0, 3)), no_rotations(), (), (), {"score": np.empty(0)})
    assert len(empty.take(np.array([], dtype=np.int64))) == 0
    assert len(empty.take(np.array([], dtype=bool))) == 0
