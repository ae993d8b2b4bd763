"""Planted copies: found all, nothing else, with their orientation."""

from dataclasses import replace

import numpy as np
import pytest

from engine.errors import BadInputError, VoxelSizeMismatchError
from engine.matching.match import match_templates
from engine.matching.params import MatchParams
from engine.matching.rotation_grid import angle_between_deg
from engine.simulation.macromolecules import planted_scene
from tests.engine.matching.scenes import BOX, FILTER, WEDGE, planted, structure, template, tomogram

PARAMS = MatchParams(control_vox=100_000, n_nulls=39, null_rotations=400)


def distances_vox(result, scene):
    places = result.particles.positions_angst / 10.0
    return np.linalg.norm(places[:, None] - scene.positions_vox[None], axis=2)


@pytest.fixture(scope="module")
def found():
    scene = planted()
    return scene, match_templates(tomogram(scene.voxels), (template(),), FILTER, PARAMS)


def test_all_copies_and_nothing_else(found):
    scene, result = found
    distance = distances_vox(result, scene)
    assert len(result.particles) == len(scene.positions_vox)
    assert (distance.min(axis=0) < 1.0).all()


def test_orientations_are_those_of_the_copies(found):
    scene, result = found
    copies = distances_vox(result, scene).argmin(axis=1)
    angles = angle_between_deg(result.particles.rotations, scene.rotations[copies])
    assert np.median(angles) < 8.0


def test_true_copies_score_beyond_noise(found):
    _, result = found
    figures = result.particles.figures
    # A small chain: some copies can hardly be told from another structure of its size.
    assert np.median(figures["probability"]) > 0.7
    assert (figures["expected_noise_picks"] <= 1.0 + 1e-9).all()


def test_true_copies_are_told_from_scrambled_structures():
    """A fine null search; a small template leaves little to tell it from others by."""
    params = replace(PARAMS, n_nulls=99, null_rotations=2000)
    q_values = []
    for seed in range(5):
        scene = planted(seed=seed)
        result = match_templates(tomogram(scene.voxels), (template(),), FILTER, params)
        q_values += result.particles.figures["q_value"].tolist()
    assert len(q_values) == 30
    assert (np.array(q_values) < 0.05).mean() >= 0.8


def test_the_same_input_gives_the_same_picks(found):
    scene, result = found
    again = match_templates(tomogram(scene.voxels), (template(),), FILTER, PARAMS)
    assert np.array_equal(result.particles.positions_angst, again.particles.positions_angst)
    for name, values in result.particles.figures.items():
        assert np.array_equal(values, again.particles.figures[name], equal_nan=True)


def test_a_competing_template_takes_its_own_copies():
    scene = planted(snr=0.3, n_copies=5, n_decoys=4, shape=(64, 72, 80), seed=2)
    both = (template(0, name="first"), template(1, name="second"))
    result = match_templates(tomogram(scene.voxels), both, FILTER, PARAMS)
    distance = distances_vox(result, scene)
    kinds = scene.kinds[distance.argmin(axis=1)]
    names = np.array(result.particles.class_names)
    near = distance.min(axis=1) < 2.0
    assert near.sum() == 9
    assert (names[near] == np.array(["first", "second"])[kinds[near]]).mean() >= 8 / 9
    assert np.isfinite(result.particles.figures["margin"]).all()


def test_a_mask_restricts_search_and_statistics(found):
    scene, whole = found
    search = np.zeros(scene.voxels.shape, dtype=bool)
    search[:, :, :36] = True
    result = match_templates(tomogram(scene.voxels), (template(),), FILTER, PARAMS, search=search)
    assert (result.particles.positions_angst[:, 2] / 10.0 < 37.0).all()
    assert result.n_searched_vox < whole.n_searched_vox
    assert (result.scores[0][:, :, 40:] == 0).all()
    expected = (scene.positions_vox[:, 2] < 35).sum()
    assert len(result.particles) >= expected


def test_symmetry_searches_fewer_rotations_and_finds_the_same():
    voxels = structure(3)
    double = voxels + np.roll(np.rot90(voxels, 2, axes=(1, 2)), (1, 1), (1, 2))
    one = template(voxels=double, symmetry="C2")
    scene = planted_scene(
        (double,), (4,), (56, 64, 64), snr=0.4, snr_radius_vox=8.0, distances_vox=(9.0,),
        margin_vox=12, tilt_range=WEDGE, rng=np.random.default_rng(4),
    )  # fmt: skip
    result = match_templates(tomogram(scene.voxels), (one,), FILTER, PARAMS)
    distance = distances_vox(result, scene)
    assert (distance.min(axis=0) < 1.5).all()
    copies = distance.argmin(axis=1)
    angles = angle_between_deg(result.particles.rotations, scene.rotations[copies], "C2")
    assert np.median(angles) < 10.0


def test_noise_has_about_the_expected_number_of_picks():
    rng = np.random.default_rng(5)
    counts = []
    for _ in range(3):
        noise = rng.normal(size=(60, 72, 72)).astype(np.float32)
        result = match_templates(
            tomogram(noise), (template(),), FILTER, replace(PARAMS, n_false_positives=20.0)
        )
        counts.append(len(result.particles))
    assert 8 <= np.mean(counts) <= 40


def test_other_sampling_is_refused():
    one = replace(template(), voxel_size_angst=12.0)
    with pytest.raises(VoxelSizeMismatchError, match=r"12\.000"):
        match_templates(tomogram(planted().voxels), (one,), FILTER, PARAMS)


def test_a_template_larger_than_the_tomogram_is_refused():
    small = planted().voxels[:10, :40, :40]
    with pytest.raises(BadInputError, match="smaller than the tomogram"):
        match_templates(tomogram(small), (template(),), FILTER, PARAMS)


def test_flat_templates_and_empty_masks_are_refused():
    with pytest.raises(BadInputError, match="flat"):
        template(voxels=np.ones((BOX,) * 3, dtype=np.float32))
    with pytest.raises(BadInputError, match="mask is empty"):
        template(mask=np.zeros((BOX,) * 3, dtype=np.float32))
    with pytest.raises(BadInputError, match="mask is empty"):
        match_templates(
            tomogram(planted().voxels), (template(),), FILTER, PARAMS,
            search=np.zeros(planted().voxels.shape, dtype=bool),
        )  # fmt: skip


def test_a_constant_tomogram_is_refused():
    with pytest.raises(BadInputError, match="constant"):
        match_templates(
            tomogram(np.ones((40, 40, 40), dtype=np.float32)), (template(),), FILTER, PARAMS
        )
