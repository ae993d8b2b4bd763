"""Where picks land: who lies outside, and the simplest explanation."""

import numpy as np
import pytest

from engine.io.landing import fitting_binning, landing_hint, lie_outside
from tests.analyses import SHAPE, VOXEL_ANGST, tomogram


def spread(n=400, seed=0):
    """Positions all over the tomogram."""
    places = np.random.default_rng(seed).uniform(0, np.array(SHAPE) - 1, (n, 3))
    return places * VOXEL_ANGST


def test_the_faces_of_the_outer_voxels_are_the_border():
    depth, height, width = SHAPE
    places = [
        (-0.4, 0, 0), (-0.6, 0, 0), (0, height - 0.6, 0), (0, height - 0.4, 0),
        (depth - 1, height - 1, width - 1), (0, 0, width),
    ]  # fmt: skip
    outside = lie_outside(np.array(places) * VOXEL_ANGST, tomogram())
    assert outside.tolist() == [False, True, False, True, False, True]


@pytest.mark.parametrize("binning", [2, 4, 8])
def test_the_binning_that_fits_is_found(binning):
    assert fitting_binning(spread() * binning, tomogram()) == binning
    assert fitting_binning(spread(), tomogram()) is None
    hint = landing_hint(spread() * binning, tomogram())
    assert (hint.code, hint.binning) == ("binning", binning)
    assert f"{binning} times smaller" in hint.message


def test_no_binning_helps_picks_on_the_wrong_side_and_no_picks():
    assert fitting_binning(np.full((5, 3), -900.0), tomogram()) is None
    assert fitting_binning(np.empty((0, 3)), tomogram()) is None
    assert landing_hint(np.full((5, 3), -9e5), tomogram()).code == "unexplained"
    assert landing_hint(np.empty((0, 3)), tomogram()) is None


def test_picks_as_they_should_be_need_no_hint():
    assert landing_hint(spread(), tomogram()) is None
    assert landing_hint(spread(1), tomogram()) is None
    # Fewer than half outside are the picks' own affair.
    some = spread()
    some[:150] += 1e5
    assert landing_hint(some, tomogram()) is None


def test_coordinates_from_the_centre_are_told_from_a_binning():
    half = np.array(SHAPE) * VOXEL_ANGST / 2.0
    hint = landing_hint(spread() - half, tomogram())
    assert hint.code == "centre"
    assert hint.binning is None


def test_swapped_axes_are_named_as_the_file_calls_them():
    # z written as x and x as z.
    hint = landing_hint(spread()[:, [2, 1, 0]], tomogram())
    assert hint.code == "axes"
    assert "x, y, z were z, y, x" in hint.message


def test_rotated_axes_are_named_in_the_right_direction():
    """The file's x holds y, its y holds z, its z holds x."""
    z, y, x = spread().T
    hint = landing_hint(np.stack([x, z, y], axis=1), tomogram())
    assert "x, y, z were y, z, x" in hint.message


@pytest.mark.parametrize("binning", [4, 8])
def test_picks_in_one_corner_are_told_the_binning(binning):
    hint = landing_hint(spread() / binning, tomogram())
    assert (hint.code, hint.binning) == ("corner", binning)
    assert landing_hint(spread(10) / binning, tomogram()) is None


def test_picks_in_one_half_of_the_tomogram_are_no_corner():
    assert landing_hint(spread() * np.array([1.0, 0.3, 0.3]), tomogram()) is None
