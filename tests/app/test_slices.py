"""Slices: the right voxel at the right pixel, windows, overlays."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import integers, tuples
from PIL import Image

from app.slices import (
    HIGHLIGHT_INDEX,
    PLANES,
    Window,
    apply_window,
    encode_grey,
    encode_overlay,
    paint_overlay,
    take_plane,
)
from engine.errors import BadInputError

SHAPE = (5, 7, 11)


def decode(data: bytes, mode: str) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert(mode))


@given(tuples(integers(0, 4), integers(0, 6), integers(0, 10)))
def test_a_voxel_appears_at_the_right_pixel_of_each_plane(zyx):
    z, y, x = zyx
    volume = np.zeros(SHAPE, dtype=np.uint8)
    volume[z, y, x] = 255
    expected = {"xy": (z, y, x), "xz": (y, z, x), "zy": (x, y, z)}
    for plane, (index, row, column) in expected.items():
        picture = decode(encode_grey(take_plane(volume, plane, index), "png"), "L")
        assert np.argwhere(picture == 255).tolist() == [[row, column]]


def test_planes_have_the_shape_of_their_two_axes():
    volume = np.zeros(SHAPE, dtype=np.uint8)
    shapes = {plane: take_plane(volume, plane, 0).shape for plane in PLANES}
    assert shapes == {"xy": (7, 11), "xz": (5, 11), "zy": (7, 5)}


@pytest.mark.parametrize(("plane", "index"), [("xy", 5), ("xz", 7), ("zy", 11), ("xy", -1)])
def test_a_slice_outside_the_volume_is_refused(plane, index):
    with pytest.raises(BadInputError, match="slices 0"):
        take_plane(np.zeros(SHAPE, dtype=np.uint8), plane, index)


def test_window_ends_become_black_and_white():
    grey = np.array([[0, 50, 100, 150, 255]], dtype=np.uint8)
    assert apply_window(grey, Window(50, 150)).tolist() == [[0, 0, 128, 255, 255]]
    assert apply_window(grey, Window(150, 50)).tolist() == [[255, 255, 128, 0, 0]]
    assert np.array_equal(apply_window(grey, Window()), grey)


@pytest.mark.parametrize("ends", [(10, 10), (-256, 20), (0, 511)])
def test_an_empty_or_outlying_window_is_refused(ends):
    with pytest.raises(BadInputError, match="window"):
        Window(*ends)


def test_jpeg_keeps_size_and_grey_level():
    grey = np.full((33, 65), 100, dtype=np.uint8)
    picture = decode(encode_grey(grey, "jpeg"), "L")
    assert picture.shape == (33, 65)
    assert abs(picture.astype(int) - 100).max() <= 2


def planes_with_two_touching_squares():
    labels = np.zeros((8, 12), dtype=np.uint8)
    labels[1:7, 1:11] = 2
    instances = np.zeros((8, 12), dtype=np.uint16)
    instances[1:7, 1:6] = 1
    instances[1:7, 6:11] = 2
    return labels, instances


def test_fill_paints_shown_classes_only():
    labels, instances = planes_with_two_touching_squares()
    labels[0, 0] = 3
    painted = paint_overlay(labels, instances, frozenset({2}), "fill")
    assert np.array_equal(painted == 2, labels == 2)
    assert painted[0, 0] == 0
    assert not paint_overlay(labels, instances, frozenset(), "fill").any()


def test_outline_separates_touching_instances():
    labels, instances = planes_with_two_touching_squares()
    painted = paint_overlay(labels, instances, frozenset({2}), "outline")
    assert painted[3, 5] == painted[3, 6] == 2
    assert painted[3, 3] == painted[3, 8] == 0
    assert painted[1, 3] == 2


def test_highlight_marks_one_instance_even_when_its_class_is_hidden():
    labels, instances = planes_with_two_touching_squares()
    painted = paint_overlay(labels, instances, frozenset(), "outline", highlighted=2)
    assert set(np.unique(instances[painted == HIGHLIGHT_INDEX])) == {2}


def test_overlay_png_has_class_colours_and_clear_background():
    painted = np.array([[0, 2], [7, HIGHLIGHT_INDEX]], dtype=np.uint8)
    picture = decode(encode_overlay(painted, {2: "#E69F00", 7: "#D55E00"}), "RGBA")
    assert picture[0, 0, 3] == 0
    assert picture[0, 1].tolist() == [0xE6, 0x9F, 0x00, 255]
    assert picture[1, 0].tolist() == [0xD5, 0x5E, 0x00, 255]
    assert picture[1, 1].tolist() == [255, 255, 255, 255]


def test_an_organelle_is_outlined_as_a_whole_around_its_cristae():
    labels, instances = planes_with_two_touching_squares()
    labels[3:5, 3:5] = 6
    painted = paint_overlay(labels, instances, frozenset({2}), "outline")
    assert not painted[3:5, 3:5].any()
    assert painted[1, 1:11].all()
    both = paint_overlay(labels, instances, frozenset({2, 6}), "fill")
    assert (both[3:5, 3:5] == 6).all()
    assert both[2, 2] == 2
