"""Copies are put back where and as they stood, and counted."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from engine.data.orientations import no_rotations
from engine.data.particles import ParticleSet
from engine.errors import BadInputError
from engine.matching.abundance import abundance
from engine.matching.atlas import atlas_rows, build_atlas, nearest_distances_nm
from engine.matching.atlas_view import atlas_view, viewed_from
from engine.matching.template_shape import ANGST3_PER_KDA, TemplateShape, template_shape
from engine.simulation.macromolecules import planted_scene
from tests.engine.matching.scenes import BOX, RADIUS, VOXEL_SIZE_ANGST, structure, template

SHAPE = (56, 64, 72)


def particles(positions_vox, rotations=None, *, names=None, probability=None):
    n = len(positions_vox)
    return ParticleSet(
        positions_angst=np.array(positions_vox, dtype=float).reshape(-1, 3) * VOXEL_SIZE_ANGST,
        rotations=rotations or (Rotation.identity(n) if n else no_rotations()),
        tomogram_ids=("t",) * n,
        class_names=names or ("a",) * n,
        figures={"probability": np.ones(n) if probability is None else np.array(probability)},
    )


def built(picks, shapes=None, volume=SHAPE, **options):
    shapes = shapes or (template_shape(template(name="a")),)
    return build_atlas(picks, shapes, volume, voxel_size_angst=VOXEL_SIZE_ANGST, **options)


def ball(name="a", radius_vox=4.0, box=16):
    axis = np.arange(box) - box // 2
    squared = axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + axis[None, None, :] ** 2
    density = 1.0 / (1.0 + np.exp((np.sqrt(squared) - radius_vox) / 0.5))
    return TemplateShape(name, density.astype(np.float32), 0.5, VOXEL_SIZE_ANGST)


def correlation(first, second):
    return np.corrcoef(first.ravel(), second.ravel())[0, 1]


def planted_without_noise(n=6):
    return planted_scene(
        (structure(0),), (n,), SHAPE, snr=1e6, snr_radius_vox=RADIUS,
        distances_vox=(RADIUS + 1,), margin_vox=12, tilt_range=None, rng=np.random.default_rng(3),
    )  # fmt: skip


def test_copies_at_their_true_places_are_the_planted_signal():
    scene = planted_without_noise()
    atlas = built(particles(scene.positions_vox, scene.rotations))
    assert correlation(atlas.density, scene.voxels) > 0.99


def test_copies_turned_the_other_way_are_not():
    scene = planted_without_noise()
    right = built(particles(scene.positions_vox, scene.rotations))
    wrong = built(particles(scene.positions_vox, scene.rotations.inv()))
    assert correlation(wrong.density, scene.voxels) < 0.9 < correlation(right.density, scene.voxels)


def test_a_copy_points_where_its_rotation_carries_the_reference():
    # A ball 6 voxels towards +x of the centre; found again by its own weight.
    off_centre = np.roll(ball(box=32).contrast, 6, axis=2)
    shape = TemplateShape("a", off_centre, 0.5, VOXEL_SIZE_ANGST)
    place, rotation = (
        np.array([28.0, 32.0, 36.0]),
        Rotation.from_euler("ZYZ", [[30, 70, -50]], True),
    )
    density = built(particles([place], rotation), (shape,)).density.astype(float)
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij"), axis=-1)
    centre = (grid * density[..., None]).sum(axis=(0, 1, 2)) / density.sum()
    assert (centre - place)[::-1] == pytest.approx(rotation.apply([6, 0, 0])[0], abs=0.02)
    away = np.abs((centre - place)[::-1] - rotation.inv().apply([6, 0, 0])[0]).max()
    assert away > 3


def test_fractions_of_a_voxel_move_the_copy():
    place = np.array([28.3, 31.6, 36.45])
    density = built(particles([place]), (ball(),)).density.astype(float)
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij"), axis=-1)
    centre = (grid * density[..., None]).sum(axis=(0, 1, 2)) / density.sum()
    assert centre == pytest.approx(place, abs=0.01)


def test_a_copy_at_a_whole_voxel_is_the_template_itself():
    shape = template_shape(template(name="a"))
    density = built(particles([(28, 32, 36)]), (shape,)).density
    half = BOX // 2
    cut = density[28 - half : 28 + half, 32 - half : 32 + half, 36 - half : 36 + half]
    assert np.abs(cut - shape.contrast).max() < 1e-4


def test_labels_lie_where_the_shape_is():
    atlas = built(
        particles([(15, 20, 20), (40, 40, 50)], names=("b", "a")),
        (ball("a", 4.05), ball("b", 5.05)),
    )
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij"), axis=-1)
    near_first = np.linalg.norm(grid - np.array([15, 20, 20]), axis=-1) < 5.05
    near_second = np.linalg.norm(grid - np.array([40, 40, 50]), axis=-1) < 4.05
    assert ((atlas.labels == 2) == near_first).mean() > 0.9999
    assert ((atlas.labels == 1) == near_second).mean() > 0.9999
    assert ((atlas.instances == 1) == (atlas.labels == 2)).all()
    assert ((atlas.instances == 2) == (atlas.labels == 1)).all()
    assert (atlas.labels.dtype, atlas.instances.dtype) == (np.uint16, np.uint16)
    assert atlas.density.dtype == np.float32


@pytest.mark.parametrize(("probability", "winner"), [((0.7, 0.9), 2), ((0.9, 0.7), 1)])
def test_where_copies_overlap_the_more_probable_one_has_the_voxel(probability, winner):
    picks = particles([(28, 32, 34), (28, 32, 38)], names=("a", "b"), probability=probability)
    atlas = built(picks, (ball("a"), ball("b")))
    assert atlas.instances[28, 32, 36] == winner
    assert atlas.labels[28, 32, 36] == winner
    assert {1, 2} <= set(np.unique(atlas.instances))
    assert atlas.density[28, 32, 36] == pytest.approx(2.0, abs=0.1)


def test_improbable_picks_and_those_without_probability_stay_out():
    picks = particles(
        [(20, 20, 20), (20, 40, 40), (40, 20, 40)], probability=[0.49, np.nan, 0.5]
    )  # fmt: skip
    atlas = built(picks, (ball(),))
    assert len(atlas.particles) == 1
    assert atlas.labels[20, 20, 20] == 0
    assert atlas.labels[40, 20, 40] == 1
    assert len(built(picks, (ball(),), minimum_probability=0.0).particles) == 2


def test_no_picks_give_an_empty_atlas():
    atlas = built(particles([]), (ball("a"), ball("b")))
    assert not atlas.density.any()
    assert not atlas.labels.any()
    rows = atlas_rows(atlas, particles([]), 1000)
    assert [row.n_placed for row in rows] == [0, 0]
    assert rows[0].nearest_nm == (None, None)
    assert rows[0].abundance.copies == 0
    view = atlas_view(atlas, (ball("a"), ball("b")), viewed_from(30, 25), 120)
    assert (view.kinds == -1).all()


def test_a_copy_at_the_face_is_cut_off_there():
    atlas = built(particles([(0, 0, 0), (55, 63, 71)]), (ball(),))
    assert atlas.labels[0, 0, 0] == atlas.labels[55, 63, 71] == 1
    whole = (built(particles([(28, 32, 36)]), (ball(),)).labels > 0).sum()
    assert 0.2 * whole < (atlas.labels > 0).sum() < 0.6 * whole


def test_unknown_templates_and_places_outside_are_refused():
    with pytest.raises(BadInputError, match="found picks of c and only the templates a"):
        built(particles([(20, 20, 20)], names=("c",)), (ball(),))
    with pytest.raises(BadInputError, match=r"found 1 outside, the first at 20, 64, 20 nm"):
        built(particles([(20, 64, 20)]), (ball(),))


def test_nearest_neighbours_are_those_of_each_template():
    atlas = built(
        particles([(10, 10, 10), (10, 10, 30), (10, 45, 10)], names=("a", "a", "b")),
        (ball("a"), ball("b"), ball("c")),
    )
    expected = [[20, 35, np.nan], [20, np.hypot(35, 20), np.nan], [35, np.nan, np.nan]]
    assert nearest_distances_nm(atlas) == pytest.approx(np.array(expected), nan_ok=True)
    rows = atlas_rows(atlas, atlas.particles, 1000)
    assert rows[0].nearest_neighbour_median_nm == pytest.approx(20.0)
    assert rows[1].nearest_neighbour_median_nm is None
    assert rows[1].nearest_nm[0] == pytest.approx(35.0)


def test_abundance_counts_every_pick_with_its_probability():
    picks = particles([(20, 20, 20), (40, 40, 40)], probability=[0.9, 0.2])
    atlas = built(picks, (ball(),))
    (row,) = atlas_rows(atlas, picks, 5000)
    assert (row.n_placed, row.n_picks) == (1, 2)
    assert row.abundance == abundance(np.array([0.9, 0.2]), 5000, VOXEL_SIZE_ANGST)


def test_unit_contrast_does_not_depend_on_the_templates_scale():
    plain = template_shape(template(name="a"))
    scaled = template_shape(template(name="a", voxels=7.0 * structure(0)))
    assert np.abs(plain.contrast - scaled.contrast).max() < 1e-5
    assert plain.level == pytest.approx(scaled.level, rel=1e-5)
    inside = (plain.contrast > plain.level) & (template().mask == 1)
    assert plain.contrast[inside].mean() == pytest.approx(1.0, abs=0.05)


def test_a_known_mass_sets_the_volume_of_the_shape():
    given = template(name="a")
    given = type(given)(**{**given.__dict__, "mass_kda": 500.0})
    volume_angst3 = (template_shape(given).contrast > template_shape(given).level).sum() * 1000.0
    assert volume_angst3 == pytest.approx(500.0 * ANGST3_PER_KDA, rel=0.02)


def test_the_nearer_copy_hides_the_farther_one():
    picks = particles([(28, 50, 36), (28, 14, 36)], names=("a", "b"))
    shapes = (ball("a"), ball("b"))
    # Seen along y without elevation: low y is in front.
    view = atlas_view(built(picks, shapes), shapes, viewed_from(0.0, 0.0), 72)
    assert set(np.unique(view.kinds)) == {-1, 1}
    rows, columns = np.nonzero(view.kinds == 1)
    assert columns.mean() == pytest.approx(36.5, abs=1.0)
    # z points up: row 0 is the top.
    assert rows.mean() == pytest.approx(55 - 28, abs=1.5)
    assert view.light[view.kinds == 1].max() > 0.9


def test_progress_ends_at_one():
    seen = []
    built(particles([(20, 20, 20), (40, 40, 40)]), (ball(),), on_progress=seen.append)
    assert seen == [0.5, 1.0]
