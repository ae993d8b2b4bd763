"""Random complexes: size, centre, symmetry, scale."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.simulation.assemblies import random_assembly

VOXEL_ANGST = 10.0


@given(st.integers(0, 10_000))
def test_assemblies_lie_in_their_box_about_its_centre(seed):
    density = random_assembly(36, VOXEL_ANGST, rng=np.random.default_rng(seed))
    assert density.shape == (36, 36, 36)
    assert density.min() >= 0.0
    assert 0.2 < density.max() <= 1.0
    edge = np.concatenate([density[[0, -1]].ravel(), density[:, [0, -1]].ravel()])
    assert edge.max() < 0.3
    grid = np.stack(np.meshgrid(*[np.arange(36) - 18] * 3, indexing="ij"))
    centre = (grid * density).sum(axis=(1, 2, 3)) / density.sum()
    assert np.abs(centre).max() < 3.0


def test_the_same_seed_gives_the_same_assembly_and_another_seed_another():
    first, again, other = (
        random_assembly(30, VOXEL_ANGST, rng=np.random.default_rng(seed)) for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, again)
    assert np.corrcoef(first.ravel(), other.ravel())[0, 1] < 0.9
