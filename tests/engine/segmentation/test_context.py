import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from engine.segmentation.context import Context, packed

CODES = np.random.default_rng(0).integers(0, 256, (2, 6, 7, 8)).astype(np.uint8)


def test_values_are_those_of_trilinear_interpolation_and_end_at_the_faces():
    box = (slice(0, 20), slice(3, 25), slice(2, 30))
    found = Context(CODES, 6.4).at(box, 2.4)
    grid = np.meshgrid(*[np.arange(b.start, b.stop) * 2.4 / 6.4 for b in box], indexing="ij")
    for channel, values in zip(CODES, found, strict=True):
        expected = map_coordinates(channel.astype(float), grid, order=1, mode="nearest") / 255.0
        np.testing.assert_allclose(values, expected, atol=1e-5)


@given(start=st.integers(0, 10), stop=st.integers(11, 24))
def test_a_value_does_not_depend_on_the_box_that_it_is_read_in(start, stop):
    context = Context(CODES, 6.4)
    whole = context.at((slice(0, 24), slice(0, 12), slice(0, 12)), 2.4)
    part = context.at((slice(start, stop), slice(4, 12), slice(0, 9)), 2.4)
    assert np.array_equal(part, whole[:, start:stop, 4:12, 0:9])


def test_codes_hold_values_to_half_a_step_and_cut_the_rest():
    values = np.array([-0.2, 0.0, 0.3, 1.0, 1.7], dtype=np.float32)
    codes = packed(values)
    assert codes.dtype == np.uint8
    assert codes / 255.0 == pytest.approx(np.clip(values, 0, 1), abs=0.501 / 255.0)


def test_a_grid_of_one_voxel_gives_its_value_everywhere():
    context = Context(np.full((1, 1, 1, 1), 51, dtype=np.uint8), 6.4)
    assert context.at((slice(0, 4), slice(0, 3), slice(2, 5)), 2.4) == pytest.approx(0.2)
