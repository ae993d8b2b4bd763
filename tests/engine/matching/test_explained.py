"""Copies are explained by their template, beads and walls are not; noise level is found."""

import numpy as np
import pytest

from engine.matching.basis import template_basis
from engine.matching.explained import explained_share, local_variances, quiet_noise
from engine.matching.masked_template import masked_template
from engine.matching.match import match_templates
from engine.matching.matched_volume import matched_volume, noise_like
from engine.matching.params import MatchParams
from engine.simulation.macromolecules import planted_scene
from engine.simulation.surroundings import surroundings
from tests.engine.matching.scenes import BOX, FILTER, RADIUS, WEDGE, structure, template, tomogram

PARAMS = MatchParams(control_vox=100_000, n_nulls=39, null_rotations=400, n_false_positives=10.0)
SHAPE = (64, 96, 96)


@pytest.fixture(scope="module")
def basis():
    return template_basis((masked_template(template()),), keep=0.99, largest=400)


def places(shape, margin, n, rng):
    return np.stack([rng.integers(margin, side - margin, size=n) for side in shape], axis=1)


def test_variance_of_noise_is_found_beside_loud_structures(basis):
    rng = np.random.default_rng(0)
    voxels = rng.normal(size=SHAPE).astype(np.float32)
    quiet = matched_volume(voxels, FILTER, halo_vox=BOX)
    voxels[:, :40] += 3.0 * rng.normal(size=(64, 40, 96)).astype(np.float32)
    loud = matched_volume(voxels, FILTER, halo_vox=BOX)
    noise = noise_like(loud, SHAPE, rng=rng)
    where = places(SHAPE, BOX // 2, 600, rng)
    level = quiet_noise(loud, noise, basis, where, where)
    # Both volumes were scaled to deviation 1.
    scale = float(quiet.local_side.std()) ** 2 / float(loud.local_side[:, 60:].std()) ** 2
    own = local_variances(quiet, basis, where).mean()
    assert level.variance[0] * scale == pytest.approx(own, rel=0.1)


def test_share_is_1_for_a_copy_without_noise_and_small_for_what_does_not_fit():
    share = explained_share(np.array([1.0, 0.3]), np.array([5.0, 5.0]), 1e-9, 0.1)
    assert share == pytest.approx([1.0, 0.09], rel=1e-6)


def test_share_says_nothing_where_nothing_stands_out_of_noise():
    share = explained_share(np.array([0.05]), np.array([0.98]), 1.0, 0.05)
    assert share == pytest.approx([1.0], abs=0.1)


def test_beads_score_beyond_copies_and_are_not_believed():
    rng = np.random.default_rng(3)
    background = surroundings(
        SHAPE, 1.0, n_microtubules=0, n_actin=0, n_membranes=0, n_gold=4, rng=rng
    )
    scene = planted_scene(
        (structure(),), (4,), SHAPE,
        snr=0.3, snr_radius_vox=RADIUS, distances_vox=(RADIUS + 1,), margin_vox=12,
        tilt_range=WEDGE, rng=rng, background=background,
    )  # fmt: skip
    found = match_templates(tomogram(scene.voxels), (template(),), FILTER, PARAMS).particles
    places = found.positions_angst / 10.0
    away = np.linalg.norm(places[:, None] - scene.positions_vox[None], axis=2).min(axis=1)
    at = np.rint(places).astype(int)
    on_bead = np.array(
        [background[tuple(slice(max(0, c - 5), c + 6) for c in p)].max() > 3 for p in at]
    )
    copies = away < 2.0
    assert copies.sum() >= 3
    assert on_bead.sum() >= 3
    sigmas, probability = found.figures["sigmas"], found.figures["probability"]
    assert sigmas[on_bead].min() > sigmas[copies].max()
    assert probability[on_bead].max() < 0.4
    assert probability[copies].max() > 0.7
