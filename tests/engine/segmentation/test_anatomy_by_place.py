import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.segmentation.anatomy_by_place import anatomy_by_place

SHAPE = (60, 150, 150)


def mitochondrion(spacing_nm, *, cristae=0, voxel_nm=2.0, surface_error_nm=0.0):
    """A ball of 120 nm radius: its body, its membranes, and the true share of its cristae."""
    grid = voxel_nm * (np.stack(np.indices(SHAPE), axis=-1) - np.array(SHAPE) / 2.0)
    depth = 120.0 - np.linalg.norm(grid, axis=-1)
    body = depth > surface_error_nm
    walls = (np.abs(depth) < 4.0) | (np.abs(depth - spacing_nm) < 4.0)
    # Membranes that lie flat are not seen.
    walls &= np.abs(grid[..., 0]) < 90.0
    crista = np.zeros(SHAPE, dtype=bool)
    for number in range(cristae):
        # Matrix between them wider than the lumen that belongs to a crista.
        middle = 48.0 * (number - (cristae - 1) / 2.0)
        sheet = (np.abs(grid[..., 2] - middle) < 12.0) & (depth > spacing_nm + 14.0)
        crista |= sheet
        walls |= sheet & (np.abs(grid[..., 2] - middle) > 4.0)
    return body, walls, float(crista[body].mean())


@settings(max_examples=8, deadline=None)
@given(st.floats(15.0, 28.0), st.floats(-6.0, 6.0))
def test_the_spacing_is_found_wherever_the_outline_lies(spacing_nm, error_nm):
    body, walls, _ = mitochondrion(spacing_nm, surface_error_nm=error_nm)
    found = anatomy_by_place(body, walls, 2.0)
    assert found.spacing_nm == pytest.approx(spacing_nm, abs=1.5)
    assert found.crista_volume_ratio < 0.02
    assert found.n_junctions is None


@pytest.mark.parametrize("cristae", [1, 3])
def test_sheets_deep_inside_are_cristae(cristae):
    body, walls, truth = mitochondrion(18.0, cristae=cristae)
    found = anatomy_by_place(body, walls, 2.0)
    assert found.crista_volume_ratio == pytest.approx(truth, rel=0.25)


def test_noise_tells_nothing():
    body, _, _ = mitochondrion(18.0)
    rng = np.random.default_rng(0)
    for share in (0.0, 0.02, 0.5):
        found = anatomy_by_place(body, rng.random(SHAPE) < share, 2.0)
        assert found.spacing_nm is None
        assert found.crista_volume_ratio is None


def test_a_body_with_one_membrane_has_no_spacing():
    body, walls, _ = mitochondrion(0.0)
    assert anatomy_by_place(body, walls, 2.0).spacing_nm is None


def test_two_membranes_nearer_than_the_sampling_tells_are_one():
    body, walls, _ = mitochondrion(9.0)
    assert anatomy_by_place(body, walls, 2.0).spacing_nm is None


def test_a_body_at_a_face_goes_on_beyond_it():
    body, walls, _ = mitochondrion(18.0)
    cut = (slice(20, None), slice(60, None), slice(None))
    found = anatomy_by_place(body[cut], walls[cut], 2.0)
    assert found.spacing_nm == pytest.approx(18.0, abs=1.5)
