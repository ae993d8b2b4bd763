"""The fast search against the plain one: one Fourier transform a rotation."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from engine.matching.correlation import basis_spectra, point_maps, tile_maps
from engine.matching.exact import TemplateRotator, exact_scores, exhaustive_scores
from engine.matching.filters import MatchFilter
from engine.matching.match import match_templates, prepare
from engine.matching.matched_volume import matched_volume
from engine.matching.params import MatchParams
from engine.matching.rotation_grid import even_rotations, rotations_for
from engine.matching.scan import best_over_rotations
from tests.engine.matching.scenes import FILTER, planted, template, tomogram

PARAMS = MatchParams(angular_step_deg=20.0, control_vox=100_000, n_nulls=25, null_rotations=200)


def volume_of(scene, match_filter=FILTER):
    return matched_volume(scene.voxels, match_filter, halo_vox=18)


def test_scores_are_roseman_s_without_a_wedge():
    """Against numpy's plain correlation coefficient under a hard mask."""
    scene = planted()
    mask = (template().mask > 0.5).astype(np.float32)
    one = template(mask=mask)
    plain = MatchFilter(10.0)
    volume = matched_volume(scene.voxels, plain, halo_vox=18)
    rotation = Rotation.identity(1)
    rotator = TemplateRotator(one, plain)
    place = np.array([[28, 30, 33]])
    found = exact_scores(volume, rotator, place, rotation[0])[0]
    cut = scene.voxels[28 - 12 : 28 + 12, 30 - 12 : 30 + 12, 33 - 12 : 33 + 12]
    inside = mask > 0
    expected = np.corrcoef(cut[inside], one.voxels[inside])[0, 1]
    assert found == pytest.approx(expected, abs=1e-4)


def test_single_places_agree_with_the_plain_matcher():
    scene = planted()
    volume = volume_of(scene)
    rotator = TemplateRotator(template(), FILTER)
    rotations = even_rotations(5)
    best, index = exhaustive_scores(volume, rotator, rotations)
    for place in ([20, 30, 33], [30, 40, 25]):
        own = [exact_scores(volume, rotator, np.array([place]), r)[0] for r in rotations]
        assert best[tuple(place)] == pytest.approx(max(own), abs=1e-5)
        assert index[tuple(place)] == int(np.argmax(own))


def test_the_scan_is_the_plain_matcher_but_for_the_basis():
    scene = planted()
    volume = volume_of(scene)
    params = replace(PARAMS, angular_step_deg=45.0)
    result = match_templates(tomogram(scene.voxels), (template(),), FILTER, params)
    rotations = even_rotations(rotations_for(45.0))
    plain, _ = exhaustive_scores(volume, TemplateRotator(template(), FILTER), rotations)
    inner = (slice(14, -14),) * 3
    best = np.sort(plain[inner].ravel())[-40:].min()
    there = plain[inner] >= best
    ratio = result.scores[0][inner][there] / plain[inner][there]
    assert ratio.min() > 0.97
    assert ratio.max() < 1.02


def test_tiles_do_not_change_scores():
    scene = planted()
    whole = match_templates(tomogram(scene.voxels), (template(),), FILTER, PARAMS)
    tiled = match_templates(
        tomogram(scene.voxels), (template(),), FILTER, replace(PARAMS, tile_bytes=4e6)
    )
    assert np.abs(whole.scores - tiled.scores).max() <= 1e-4
    assert np.allclose(whole.particles.positions_angst, tiled.particles.positions_angst, atol=1.0)


def test_correlations_by_transform_and_by_sums_are_the_same():
    scene = planted()
    setup = prepare(
        tomogram(scene.voxels), (template(),), FILTER, PARAMS, np.random.default_rng(0),
        torch.device("cpu"),
    )  # fmt: skip
    spectra = basis_spectra(
        setup.basis, setup.basis.size, setup.plan.fft_shape, torch.device("cpu")
    )
    maps = next(iter(tile_maps(setup.volume, spectra, setup.plan, torch.device("cpu"))))
    flat = np.array([5, 777, 4321])
    places = np.stack(np.unravel_index(flat, maps.tile.shape), axis=1) + maps.tile.start
    points = point_maps(setup.volume, setup.basis, places)
    assert torch.allclose(maps.maps[:, flat], points.maps, atol=1e-4)
    assert torch.allclose(maps.inverse_norms[:, flat], points.inverse_norms, rtol=1e-3)


def test_best_over_rotations_is_the_maximum_of_the_product():
    generator = torch.Generator().manual_seed(0)
    table = torch.randn((700, 12), generator=generator)
    maps = torch.randn((20, 2500), generator=generator)
    rows = torch.tensor([0, 2, 3, 5, 7, 8, 11, 12, 13, 17, 18, 19])
    assert torch.allclose(
        best_over_rotations(table, maps, rows), (table @ maps[rows]).amax(dim=0), atol=1e-5
    )


def test_more_contrast_and_offset_change_nothing():
    scene = planted()
    first = match_templates(tomogram(scene.voxels), (template(),), FILTER, PARAMS)
    second = match_templates(tomogram(scene.voxels * 7.0 + 40.0), (template(),), FILTER, PARAMS)
    assert np.allclose(first.scores, second.scores, atol=1e-4)
