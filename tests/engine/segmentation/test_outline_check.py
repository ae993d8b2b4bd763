import numpy as np
import pytest

from engine.segmentation.bit_volume import BitVolume
from engine.segmentation.outline_check import outline_share

SHAPE = (30, 80, 90)
VOXEL_NM = 3.0


def bits(mask):
    volume = BitVolume(mask.shape)
    volume.write(tuple(slice(0, n) for n in mask.shape), mask)
    return volume


def away(radius_vox=20.0):
    _, y, x = np.indices(SHAPE)
    return np.hypot(y - 40.0, x - 45.0) - radius_vox


def ids():
    return (away() <= 0).astype(np.uint16)


@pytest.mark.parametrize("offset_nm", [0.0, 6.0, -6.0])
def test_a_membrane_near_the_outline_is_seen(offset_nm):
    membrane = np.abs(away() + offset_nm / VOXEL_NM) <= 1.0
    assert outline_share(ids(), bits(membrane), VOXEL_NM) == 1.0


def test_half_a_membrane_is_half_seen():
    membrane = (np.abs(away()) <= 1.0) & (np.indices(SHAPE)[2] < 45)
    assert outline_share(ids(), bits(membrane), VOXEL_NM) == pytest.approx(0.5, abs=0.1)


def test_without_membranes_nothing_is_seen_and_without_organelles_nothing_is_said():
    nothing = bits(np.zeros(SHAPE, bool))
    assert outline_share(ids(), nothing, VOXEL_NM) == 0.0
    assert outline_share(np.zeros(SHAPE, np.uint16), nothing, VOXEL_NM) is None


def test_the_field_border_is_no_outline():
    full = np.ones(SHAPE, np.uint16)
    assert outline_share(full, bits(np.zeros(SHAPE, bool)), VOXEL_NM) is None
