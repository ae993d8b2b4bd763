import numpy as np
import pytest

from engine.simulation import false_picks
from engine.simulation.false_picks import random_false_pick

BOX_VOX, VOXEL_ANGST = 58, 10.0


@pytest.mark.parametrize("seed", range(12))
def test_a_false_pick_lies_near_the_middle(seed):
    density = random_false_pick(BOX_VOX, VOXEL_ANGST, rng=np.random.default_rng(seed))
    assert density.shape == (BOX_VOX,) * 3
    assert 0.5 < density.max() < 2.5
    assert density.min() == 0.0
    z, y, x = np.nonzero(density > 0.3 * density.max())
    away = VOXEL_ANGST * np.sqrt(((np.array([z, y, x]) - BOX_VOX // 2) ** 2).sum(axis=0))
    assert away.min() < false_picks.OFFSET_ANGST + false_picks.TUBE_RADII_ANGST[1]


def test_a_membrane_has_two_leaflets_and_no_end_within_the_box():
    axis = (np.arange(BOX_VOX) - BOX_VOX // 2) * 2.0
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    density = false_picks._membrane(z, y, x, np.random.default_rng(0))
    line = density[:, BOX_VOX // 2, BOX_VOX // 2]
    peaks = np.flatnonzero((line[1:-1] > line[:-2]) & (line[1:-1] > line[2:])) + 1
    assert len(peaks) == 2
    assert axis[peaks[1]] - axis[peaks[0]] == pytest.approx(false_picks.LEAFLETS_ANGST, abs=4.0)
    assert density.max(axis=0).min() > 0.5
