"""Shapes known beforehand, and real masks with published figures."""

import numpy as np
import pytest
from scipy import ndimage

from engine.segmentation.morphometry import (
    body_shape,
    connected_bodies,
    nearest_distance_nm,
    spacing_between_nm,
    surface_um2,
    volume_share,
)
from tests.real_data import real_data

tifffile = pytest.importorskip("tifffile")

SIDE_NM = (10.0, 10.0, 10.0)
# z, y, x of the published serial block-face volumes.
PUBLISHED_NM = (30.0, 8.0, 8.0)


def grid(shape, spacing_nm):
    axes = [(np.arange(n) - n // 2) * nm for n, nm in zip(shape, spacing_nm, strict=True)]
    return np.meshgrid(*axes, indexing="ij")


def ball(radius_nm, spacing_nm=SIDE_NM):
    n = [2 * int(radius_nm / nm) + 5 for nm in spacing_nm]
    z, y, x = grid(n, spacing_nm)
    return z**2 + y**2 + x**2 <= radius_nm**2


def rod(length_nm, radius_nm, spacing_nm=SIDE_NM):
    """A cylinder along x with round ends; `length_nm` over all."""
    half = length_nm / 2.0 - radius_nm
    n = [2 * int(r / nm) + 5 for r, nm in zip((radius_nm, radius_nm, length_nm / 2), spacing_nm,
                                               strict=True)]  # fmt: skip
    z, y, x = grid(n, spacing_nm)
    beyond = np.maximum(np.abs(x) - half, 0.0)
    return z**2 + y**2 + beyond**2 <= radius_nm**2


@pytest.mark.parametrize("spacing_nm", [SIDE_NM, (20.0, 8.0, 8.0)])
def test_a_ball(spacing_nm):
    shape = body_shape(ball(150.0, spacing_nm), spacing_nm)
    assert shape.volume_um3 == pytest.approx(4 / 3 * np.pi * 0.15**3, rel=0.02)
    assert shape.surface_um2 == pytest.approx(4 * np.pi * 0.15**2, rel=0.03)
    assert 0.95 < shape.sphericity <= 1.0
    assert shape.smallest_diameter_nm == pytest.approx(300.0, rel=0.07)
    assert shape.length_nm == pytest.approx(300.0, rel=0.1)
    assert shape.n_branches == 0


@pytest.mark.parametrize("spacing_nm", [SIDE_NM, (20.0, 8.0, 8.0)])
def test_a_rod_is_as_long_as_it_is_made(spacing_nm):
    shape = body_shape(rod(900.0, 120.0, spacing_nm), spacing_nm)
    assert shape.length_nm == pytest.approx(900.0, rel=0.05)
    assert shape.smallest_diameter_nm == pytest.approx(240.0, rel=0.08)
    assert shape.n_branches == 0


def test_a_fork_has_one_branch_and_a_cross_two():
    size = 121
    z, y, x = grid((31, size, size), SIDE_NM)
    bar = (z**2 + y**2 <= 70.0**2) & (np.abs(x) <= 500.0)
    half = (z**2 + x**2 <= 70.0**2) & (y >= 0.0) & (y <= 450.0)
    other = (z**2 + x**2 <= 70.0**2) & (y < 0.0) & (y >= -450.0)
    assert body_shape(bar, SIDE_NM).n_branches == 0
    assert body_shape(bar | half, SIDE_NM).n_branches == 1
    assert body_shape(bar | half | other, SIDE_NM).n_branches == 2


def test_the_outer_rule_gives_more_surface():
    mask = ball(150.0)
    assert 1.08 < surface_um2(mask, SIDE_NM, "outer") / surface_um2(mask, SIDE_NM) < 1.25


def test_spacing_of_two_shells_is_their_difference_in_radius():
    z, y, x = grid((81, 81, 81), SIDE_NM)
    radius = np.sqrt(z**2 + y**2 + x**2)
    outer, inner = np.abs(radius - 350.0) <= 8.0, np.abs(radius - 300.0) <= 8.0
    spacing = spacing_between_nm(outer, inner, SIDE_NM)
    assert np.median(spacing) == pytest.approx(50.0, abs=6.0)


def test_distances_are_in_nanometre_and_infinite_to_nothing():
    mask, other = np.zeros((5, 9, 9), dtype=bool), np.zeros((5, 9, 9), dtype=bool)
    mask[1, 4, 4] = True
    assert nearest_distance_nm(mask, other, PUBLISHED_NM) == np.inf
    other[3, 4, 4] = True
    assert nearest_distance_nm(mask, other, PUBLISHED_NM) == pytest.approx(60.0)


def test_share_of_nothing_is_not_a_number():
    nothing = np.zeros((3, 3, 3), dtype=bool)
    assert np.isnan(volume_share(nothing, nothing))


@pytest.mark.parametrize(
    ("name", "n", "volume_um3", "area_um2"),
    [
        ("NI", 43, 5.0537, 107.2123),
        ("8hpi", 43, 3.6061, 102.8533),
        ("12hpi", 39, 2.8897, 81.3039),
    ],
)
def test_published_mitochondria_are_measured_alike(name, n, volume_um3, area_um2):
    folder = "mitochondria/sbfsem_hsv"
    mask = tifffile.imread(real_data(f"{folder}/{name}_mitochondria.tif")) > 0
    published = np.load(real_data(f"{folder}/{name}_surface_area.npy")) * 1e-6
    ids, found = connected_bodies(mask)
    assert found == n
    areas = [
        surface_um2(ids[box] == number, PUBLISHED_NM, "outer")
        for number, box in enumerate(ndimage.find_objects(ids), start=1)
    ]
    assert mask.sum() * np.prod(PUBLISHED_NM) * 1e-9 == pytest.approx(volume_um3, abs=1e-4)
    assert sum(areas) == pytest.approx(area_um2, rel=1e-4)
    assert np.sort(areas) == pytest.approx(np.sort(published), rel=1e-5)


@pytest.mark.parametrize(
    ("cell", "shares"),
    [("NI", (0.3333, 0.2354, 0.3815, 0.3962)), ("8hpi", (0.3543, 0.3178, 0.2988, 0.2879))],
)
def test_published_crista_shares_are_found(cell, shares):
    for number, share in enumerate(shares, start=1):
        path = real_data(f"mitochondria/sbfsem_hsv/cristae_{cell}_m{number}.tif")
        labels = tifffile.imread(path)
        assert volume_share(labels == 2, labels > 0) == pytest.approx(share, abs=1e-4)
