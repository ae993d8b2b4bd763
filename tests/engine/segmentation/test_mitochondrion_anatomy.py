import numpy as np
import pytest
from scipy import ndimage

from engine.segmentation.bit_volume import BitVolume
from engine.segmentation.mitochondrion_anatomy import mitochondrion_anatomy

VOXEL_NM = 2.0
SHAPE = (110, 110, 110)
Z, Y, X = (axis - 55 for axis in np.indices(SHAPE))
AWAY_NM = np.sqrt(Z**2 + Y**2 + X**2) * VOXEL_NM


def shell(radius_nm):
    return np.abs(AWAY_NM - radius_nm) <= 4.0


def ball(outer_nm=100.0, spacing_nm=16.0):
    return outer_nm >= AWAY_NM, shell(outer_nm), shell(outer_nm - spacing_nm)


@pytest.mark.parametrize("spacing_nm", [12.0, 16.0, 20.0])
def test_the_spacing_of_two_shells_is_found_and_no_crista_in_a_ball_without(spacing_nm):
    body, outer, inner = ball(spacing_nm=spacing_nm)
    found = mitochondrion_anatomy(body, outer, inner, VOXEL_NM)
    assert found.spacing_nm == pytest.approx(spacing_nm, abs=2.5)
    assert found.crista_volume_ratio < 0.02


@pytest.mark.parametrize("n_sheets", [1, 3])
def test_the_share_of_lamellae_is_theirs(n_sheets):
    body, outer, inner = ball()
    places = np.array([0.0]) if n_sheets == 1 else np.array([-45.0, 0.0, 45.0])
    offset = np.min([np.abs(Z * VOXEL_NM - place) for place in places], axis=0)
    # A lumen of 16 nm between walls of 8 nm, ending 20 nm before the inner boundary membrane.
    within = AWAY_NM < 100.0 - 16.0 - 24.0
    walls = (np.abs(offset - 8.0) <= 4.0) & within
    truth = (offset <= 12.0) & within
    found = mitochondrion_anatomy(body, outer, inner | walls, VOXEL_NM)
    assert found.crista_volume_ratio == pytest.approx(truth.sum() / body.sum(), rel=0.1)
    assert found.crista_area_per_volume > 0


@pytest.mark.parametrize("n_tubes", [0, 1, 4])
def test_tubular_cristae_are_joined_to_the_boundary_membrane_once_each(n_tubes):
    """Tubes 28 nm wide with an open mouth, from the boundary membrane half way to the centre."""
    body, outer, inner = ball(outer_nm=105.0)
    across = [np.hypot(Z, Y), np.hypot(Z, Y), np.hypot(Z, X), np.hypot(Z, X)]
    along = [X, -X, Y, -Y]
    for away, depth in list(zip(across, along, strict=True))[:n_tubes]:
        inside = (depth * VOXEL_NM > 45.0) & (AWAY_NM < 105.0 - 16.0 + 4.0)
        lumen = (away * VOXEL_NM <= 6.0) & inside
        walls = (away * VOXEL_NM <= 14.0) & inside & (AWAY_NM < 105.0 - 16.0)
        cap = (away * VOXEL_NM <= 14.0) & (np.abs(depth * VOXEL_NM - 45.0) <= 4.0)
        inner = ((inner | walls) & ~lumen) | cap
    assert mitochondrion_anatomy(body, outer, inner, VOXEL_NM).n_junctions == n_tubes


def test_a_crista_that_ends_inside_has_no_junction():
    body, outer, inner = ball()
    walls = (np.abs(np.abs(Z * VOXEL_NM) - 8.0) <= 4.0) & (AWAY_NM < 55.0)
    assert mitochondrion_anatomy(body, outer, inner | walls, VOXEL_NM).n_junctions == 0


def test_without_membranes_nothing_is_said():
    body, outer, _ = ball()
    nothing = np.zeros(SHAPE, bool)
    found = mitochondrion_anatomy(body, outer, nothing, VOXEL_NM)
    assert (found.spacing_nm, found.crista_volume_ratio) == (None, None)
    only_inner = mitochondrion_anatomy(body, nothing, shell(84.0), VOXEL_NM)
    assert only_inner.spacing_nm is None
    assert only_inner.crista_volume_ratio < 0.02


def test_a_cut_face_is_no_membrane():
    body, outer, inner = (one[:, :, :55] for one in ball())
    found = mitochondrion_anatomy(body, outer, inner, VOXEL_NM)
    assert found.spacing_nm == pytest.approx(16.0, abs=2.5)
    assert found.crista_volume_ratio < 0.02


def bits(mask):
    volume = BitVolume(mask.shape)
    volume.write(tuple(slice(0, n) for n in mask.shape), mask)
    return volume


def test_a_box_of_bits_is_read_as_it_was_written():
    rng = np.random.default_rng(0)
    mask = ndimage.binary_dilation(rng.random((9, 11, 37)) > 0.9)
    box = (slice(2, 7), slice(0, 11), slice(5, 30))
    assert np.array_equal(bits(mask).read(box), mask[box])
