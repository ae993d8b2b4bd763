"""What a few examples say: against the joint density, and on structures drawn by the model."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from engine.classification.confidence import calibration_error
from engine.classification.feature_spread import (
    FeatureSpread,
    calibrated_spread,
    classified_by_examples,
    fitted_spread,
    log_likelihoods,
)
from engine.classification.prototypes import unit_vectors
from engine.errors import BadInputError, ModelFileError
from engine.io.spread_file import SPREADS_FILE, read_spreads, write_spreads

D, NAMES = 6, ("a", "b", "c")


def drawn(n_structures, of_each, rng, noise=0.05, between=0.12):
    """Features about structures' own means, far from the origin; each structure in turn."""
    centre = np.zeros(D)
    centre[0] = 1.0
    means = centre + between * rng.normal(size=(n_structures, D))
    structures = np.tile(np.arange(n_structures), of_each)
    features = means[structures] + noise * rng.normal(size=(len(structures), D))
    return features.astype(np.float32), structures


def random_spread(rng):
    roots = 0.3 * rng.normal(size=(2, D, D))
    between, within = (one @ one.T + 0.05 * np.eye(D) for one in roots)
    return FeatureSpread(rng.normal(size=D), between, within)


def joint_log_density(spread, vectors):
    """Of vectors that share one structure: slowly, as one long normal vector."""
    n = len(vectors)
    covariance = np.kron(np.ones((n, n)), spread.between) + np.kron(np.eye(n), spread.within)
    return multivariate_normal(np.tile(spread.mean, n), covariance).logpdf(vectors.ravel())


@pytest.mark.parametrize("shots", [1, 2, 5])
def test_likelihoods_are_ratios_of_joint_densities(shots):
    rng = np.random.default_rng(shots)
    spread = random_spread(rng)
    examples, asked = unit_vectors(rng.normal(size=(2 * shots, D))), rng.normal(size=(4, D))
    kinds = np.repeat([0, 1], shots)
    found = log_likelihoods(spread, examples, kinds, asked)
    constant = -0.5 * D * np.log(2.0 * np.pi)
    for row, one in enumerate(unit_vectors(asked)):
        for kind in (0, 1):
            own = examples[kinds == kind]
            together = joint_log_density(spread, np.vstack([own, one]))
            expected = together - joint_log_density(spread, own)
            assert found[row, kind] + constant == pytest.approx(expected, abs=1e-6)
        alone = joint_log_density(spread, one[None])
        assert found[row, 2] + constant == pytest.approx(alone, abs=1e-6)


def test_covariances_are_found_again():
    features, structures = drawn(2000, 8, np.random.default_rng(0))
    spread = fitted_spread(features, structures)
    # Along the sphere, not across it, where unit vectors have none.
    across = slice(1, None)
    assert np.diag(spread.within)[across] == pytest.approx(0.05**2, rel=0.15)
    assert np.diag(spread.between)[across] == pytest.approx(0.12**2, rel=0.15)


@pytest.mark.parametrize("shots", [1, 5])
def test_probabilities_and_refusals_hold_for_new_structures(shots):
    rng = np.random.default_rng(1)
    spread = fitted_spread(*drawn(400, 8, rng))
    spread = calibrated_spread(spread, *drawn(100, 16, rng), rng)
    probabilities, truth, known_refused, strangers_refused = [], [], [], []
    for _ in range(60):
        features, structures = drawn(6, 40, rng)
        known = structures < 3
        shown = np.concatenate([np.flatnonzero(structures == one)[:shots] for one in range(3)])
        asked = np.setdiff1d(np.arange(len(features)), shown)
        found = classified_by_examples(
            [spread], NAMES, features[shown], structures[shown], features[asked]
        )
        ours = known[asked]
        probabilities.append(found.probabilities[ours])
        truth.append(structures[asked][ours])
        known_refused.append(found.is_none[ours].mean())
        strangers_refused.append(found.is_none[~ours].mean())
    assert calibration_error(np.concatenate(probabilities), np.concatenate(truth)) < 0.03
    assert np.mean(known_refused) == pytest.approx(0.05, abs=0.05)
    assert np.mean(strangers_refused) > 0.5


def test_the_noise_level_is_told_from_the_subtomograms():
    rng = np.random.default_rng(2)
    levels = [fitted_spread(*drawn(300, 8, rng, noise=noise)) for noise in (0.02, 0.3)]
    features, structures = drawn(3, 60, rng, noise=0.3)
    shown = np.arange(6)
    found, loud = (
        classified_by_examples(one, NAMES, features[shown], structures[shown], features)
        for one in (levels, levels[1:])
    )
    assert np.array_equal(found.probabilities, loud.probabilities)


@given(st.integers(0, 10_000))
def test_the_order_of_classes_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    spread = random_spread(rng)
    examples, kinds, asked = rng.normal(size=(6, D)), np.arange(6) % 3, rng.normal(size=(5, D))
    order = rng.permutation(3)
    one = classified_by_examples([spread], NAMES, examples, kinds, asked)
    other = classified_by_examples([spread], NAMES, examples, order[kinds], asked)
    assert other.probabilities[:, order] == pytest.approx(one.probabilities, abs=1e-9)
    assert other.distances == pytest.approx(one.distances, abs=1e-9)


def test_a_class_without_example_and_too_little_are_refused():
    rng = np.random.default_rng(3)
    with pytest.raises(BadInputError, match="class 1 has no example"):
        log_likelihoods(random_spread(rng), rng.normal(size=(2, D)), np.array([0, 2]), np.eye(D))
    with pytest.raises(BadInputError, match="at least two structures"):
        fitted_spread(rng.normal(size=(5, D)), np.zeros(5, dtype=np.int64))


def test_spreads_come_back_from_their_file(tmp_path):
    spreads = [random_spread(np.random.default_rng(seed)) for seed in (0, 1)]
    write_spreads(tmp_path / SPREADS_FILE, spreads)
    again = read_spreads(tmp_path)
    assert len(again) == 2
    for one, other in zip(spreads, again, strict=True):
        for name in ("mean", "between", "within", "temperature", "limit"):
            assert np.allclose(getattr(one, name), getattr(other, name), atol=1e-6)
    (tmp_path / SPREADS_FILE).write_bytes(b"no")
    with pytest.raises(ModelFileError, match="not readable"):
        read_spreads(tmp_path)
    (tmp_path / SPREADS_FILE).unlink()
    with pytest.raises(ModelFileError, match="few examples"):
        read_spreads(tmp_path)
