import math

import numpy as np
import pytest
from scipy import ndimage

from engine.data.labels import INSTANCE_CLASSES
from engine.segmentation.instances import Body, InstanceParams, find_bodies, own_depth, paint_bodies

VOXEL_NM = 6.4
SHAPE = (40, 80, 80)


def spheres(*centres_and_radii):
    """Probability and depth of mitochondria that are spheres, in voxels."""
    grid = np.indices(SHAPE)
    depth = np.zeros(SHAPE)
    for *centre, radius in centres_and_radii:
        away = np.sqrt(sum((g - c) ** 2 for g, c in zip(grid, centre, strict=True)))
        depth = np.maximum(depth, radius - away)
    return (depth > 0).astype(np.float32), (np.maximum(depth, 0) * VOXEL_NM).astype(np.float32)


def found(mitochondria, depth_nm):
    probabilities = {name: np.zeros(SHAPE, np.float32) for name in INSTANCE_CLASSES}
    probabilities["mitochondrion"] = mitochondria
    return find_bodies(probabilities, depth_nm, VOXEL_NM, InstanceParams())


def test_nothing_is_found_in_nothing():
    empty = np.zeros(SHAPE, np.float32)
    assert found(empty, empty) == []
    ids, organelles = paint_bodies([], (10, 10, 10), 2.5, VOXEL_NM)
    assert ids.max() == 0
    assert organelles == ()


def test_seven_spheres_are_seven():
    places = [(20, y, x, 11) for y in (15, 40, 65) for x in (15, 40, 65)][:7]
    assert len(found(*spheres(*places))) == 7


def test_touching_spheres_are_two():
    assert len(found(*spheres((20, 40, 28, 12), (20, 40, 51, 12)))) == 2


def test_a_long_body_with_a_wavy_depth_is_one():
    mask = np.zeros(SHAPE, np.float32)
    mask[12:28, 30:46, 10:70] = 1.0
    depth = ndimage.distance_transform_edt(mask) * VOXEL_NM
    wave = 5.0 * np.sin(np.arange(80) / 3.0)
    assert len(found(mask, (depth + wave * (mask > 0)).astype(np.float32))) == 1


@pytest.mark.parametrize(
    ("saddle_share", "n_bodies"), [(0.2, 2), (0.4, 2), (0.55, 1), (0.62, 1), (0.8, 1)]
)
@pytest.mark.parametrize("smaller", [0.6, 1.0])
def test_a_neck_parts_below_half_of_the_shallower_depth(saddle_share, n_bodies, smaller):
    mask = np.zeros(SHAPE, np.float32)
    mask[8:32, 28:52, 4:76] = 1.0
    peaks = 80.0 * np.array([1.0, smaller])
    along = np.interp(
        np.arange(80), [4, 22, 40, 58, 76], [0, peaks[0], saddle_share * peaks[1], peaks[1], 0]
    )
    depth = np.minimum(ndimage.distance_transform_edt(mask) * VOXEL_NM, along) * mask
    assert len(found(mask, depth.astype(np.float32))) == n_bodies


def test_parts_of_one_organelle_called_by_two_names_are_one_of_the_surer_name():
    mitochondrion, depth = spheres((20, 40, 40, 14))
    volume = mitochondrion.sum()
    alpha = mitochondrion.copy()
    alpha[:, :, :45] = 0.0
    mitochondrion -= alpha
    probabilities = {name: np.zeros(SHAPE, np.float32) for name in INSTANCE_CLASSES}
    probabilities |= {"mitochondrion": 0.8 * mitochondrion, "alpha_granule": 0.9 * alpha}
    (body,) = find_bodies(probabilities, depth, VOXEL_NM, InstanceParams())
    assert body.organelle_class == "mitochondrion"
    assert body.mask.sum() == pytest.approx(volume, rel=0.01)


def test_neighbours_of_two_classes_that_touch_stay_two():
    one, depth = spheres((20, 40, 28, 12))
    other, _ = spheres((20, 40, 51, 12))
    probabilities = {name: np.zeros(SHAPE, np.float32) for name in INSTANCE_CLASSES}
    probabilities |= {"mitochondrion": one, "alpha_granule": other * (one == 0)}
    bodies = find_bodies(probabilities, depth, VOXEL_NM, InstanceParams())
    assert [body.organelle_class for body in bodies] == ["mitochondrion", "alpha_granule"]


def test_a_speck_between_two_bodies_does_not_make_them_one():
    mitochondria, depth = spheres((20, 40, 28, 12), (20, 40, 56, 12))
    speck = np.zeros(SHAPE, np.float32)
    speck[17:24, 37:44, 40:45] = 1.0
    mitochondria *= 1.0 - speck
    probabilities = {name: np.zeros(SHAPE, np.float32) for name in INSTANCE_CLASSES}
    probabilities |= {"mitochondrion": mitochondria, "alpha_granule": speck}
    bodies = find_bodies(probabilities, depth, VOXEL_NM, InstanceParams())
    assert [body.organelle_class for body in bodies] == ["mitochondrion"] * 2


def test_a_body_below_the_smallest_volume_is_dropped():
    # 1e-3 um3 is a sphere of 62 nm radius.
    assert found(*spheres((20, 40, 40, 8.0))) == []
    assert len(found(*spheres((20, 40, 40, 11.0)))) == 1


def test_a_rough_surface_keeps_its_volume_and_a_thread_still_parts():
    """Opening by one voxel takes knobs and threads; knobs come back, bodies stay apart."""
    mask, depth = spheres((20, 40, 20, 11), (20, 40, 60, 11))
    rng = np.random.default_rng(0)
    rim = ndimage.binary_dilation(mask > 0) & (mask == 0)
    mask[rim & (rng.random(SHAPE) < 0.15)] = 1.0
    mask[20, 40, 30:50] = 1.0
    bodies = found(mask, depth)
    assert len(bodies) == 2
    # Only the thread's middle belongs to nobody.
    assert mask.sum() - 20 <= sum(body.mask.sum() for body in bodies) <= mask.sum()


def test_sphere_has_volume_surface_and_sphericity_of_a_sphere():
    radius_um = 14 * VOXEL_NM * 1e-3
    bodies = found(*spheres((20, 40, 40, 14)))
    ids, (organelle,) = paint_bodies(bodies, (100, 200, 200), 2.56, VOXEL_NM)
    assert organelle.volume_um3 == pytest.approx(4 / 3 * math.pi * radius_um**3, rel=0.05)
    assert organelle.surface_um2 == pytest.approx(4 * math.pi * radius_um**2, rel=0.06)
    assert organelle.sphericity > 0.95
    assert not organelle.touches_border
    painted = (ids == 1).sum() * (2.56e-3) ** 3
    assert painted == pytest.approx(organelle.volume_um3, rel=0.06)
    expected = np.array([20, 40, 40]) * VOXEL_NM * 10
    np.testing.assert_allclose(organelle.centroid_angst, expected, atol=25)


def test_a_body_cut_by_the_face_touches_the_border():
    bodies = found(*spheres((20, 40, 2, 14)))
    _, (organelle,) = paint_bodies(bodies, (100, 200, 200), 2.56, VOXEL_NM)
    assert organelle.touches_border


@pytest.mark.parametrize("seed", range(5))
def test_depth_by_components_is_that_of_the_whole_mask(seed):
    rng = np.random.default_rng(seed)
    mask = ndimage.gaussian_filter(rng.normal(size=(20, 40, 40)), 2.0) > 0.02
    whole = ndimage.distance_transform_edt(np.pad(mask, 1, mode="edge"))[1:-1, 1:-1, 1:-1]
    np.testing.assert_allclose(own_depth(mask, 6.4), 6.4 * whole, rtol=1e-6)


def test_the_unbiased_brick_leaves_out_what_reaches_a_far_face():
    bodies = [
        Body(box_of(start), np.ones((4, 4, 4), bool), "mitochondrion", 1.0)
        for start in ((0, 4, 4), (4, 4, 12), (6, 6, 6), (12, 0, 0))
    ]
    _, organelles = paint_bodies(bodies, (16, 16, 16), 8.0, 8.0)
    by_place = {tuple(round(c / 80.0) for c in one.centroid_angst): one for one in organelles}
    near, far, inside, corner = (
        by_place[tuple(round(s + 1.5) for s in start)]
        for start in ((0, 4, 4), (4, 4, 12), (6, 6, 6), (12, 0, 0))
    )
    assert near.touches_border
    assert near.is_counted_unbiased
    assert far.touches_border
    assert not far.is_counted_unbiased
    assert inside.is_counted_unbiased
    assert not inside.touches_border
    assert not corner.is_counted_unbiased


def box_of(start):
    return tuple(slice(s, s + 4) for s in start)
