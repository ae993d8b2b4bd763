import numpy as np
import pytest
from scipy.stats import norm

from diagnostics.calibration import calibration
from diagnostics.validation_metrics import (
    auc_figure,
    auc_parts,
    batch_auc,
    bootstrapped,
    brier,
    calibration_error,
    clopper_pearson,
    compare_aucs,
    newcombe_interval,
    proportion,
)
from tests.diagnostics.published_data import aneurysm_wfns


def test_auc_and_delong_interval_of_wfns_agree_with_proc():
    score, poor = aneurysm_wfns()
    figure = auc_figure(poor, score)
    assert figure.value == pytest.approx(0.8236788617886179, abs=1e-14)
    assert np.sqrt(auc_parts(poor, score).variance) == pytest.approx(0.03833947, abs=1e-8)
    assert (figure.low, figure.high) == pytest.approx((0.7485, 0.8988), abs=5e-5)


def test_auc_is_the_share_of_ordered_pairs():
    rng = np.random.default_rng(1)
    labels = rng.random(40) < 0.4
    scores = rng.integers(0, 6, 40).astype(float)
    pairs = scores[labels][:, None] - scores[~labels][None]
    expected = (pairs > 0).mean() + 0.5 * (pairs == 0).mean()
    assert auc_parts(labels, scores).value == pytest.approx(expected)
    assert batch_auc(labels[None], scores[None])[0] == pytest.approx(expected)


def test_paired_test_is_antisymmetric_and_one_for_equal_scores():
    rng = np.random.default_rng(2)
    labels = np.arange(60) < 25
    first = labels + rng.normal(size=60)
    second = labels + rng.normal(size=60)
    z, p = compare_aucs(labels, first, second)
    assert compare_aucs(labels, second, first) == pytest.approx((-z, p))
    assert compare_aucs(labels, first, 3 * first + 1) == (0.0, 1.0)
    assert p == pytest.approx(2 * norm.sf(abs(z)))


@pytest.mark.parametrize(("right", "n", "low", "high"), [
    (20, 23, 0.6641, 0.9722),
    (12, 12, 0.735, 1.0),
    (11, 12, 0.615, 0.998),
    (8, 11, 0.390, 0.940),
    (0, 10, 0.0, 0.3085),
])  # fmt: skip
def test_exact_intervals_agree_with_published_ones(right, n, low, high):
    assert clopper_pearson(right, n) == pytest.approx((low, high), abs=5.1e-4)


def test_proportion_of_nobody_is_not_estimable():
    figure = proportion(np.zeros(0, dtype=bool))
    assert figure.value is None
    assert "not estimable" in figure.method


def test_perfect_separation_keeps_an_interval_that_narrows_with_donors():
    labels = np.arange(23) < 12
    figure = auc_figure(labels, labels.astype(float))
    assert figure.value == 1
    assert 0.7 < figure.low < 0.9
    assert figure.high == 1
    assert "Newcombe" in figure.method
    assert newcombe_interval(1.0, 50, 50)[0] > figure.low
    worst = auc_figure(labels, -labels.astype(float))
    assert (worst.low, worst.high) == pytest.approx((0, 1 - figure.low))


def test_newcombe_interval_covers_a_known_auc():
    rng = np.random.default_rng(3)
    true = norm.cdf(1.5 / np.sqrt(2))
    inside = 0
    for _ in range(400):
        scores = np.concatenate([rng.normal(1.5, 1, 12), rng.normal(0, 1, 11)])
        value = auc_parts(np.arange(23) < 12, scores).value
        low, high = newcombe_interval(value, 12, 11)
        inside += low <= true <= high
    assert inside / 400 > 0.92


def test_bootstrap_interval_of_the_brier_score_holds_the_estimate():
    rng = np.random.default_rng(4)
    labels = np.arange(40) < 20
    probabilities = np.clip(0.5 + 0.3 * (labels - 0.5) + 0.2 * rng.normal(size=40), 0.01, 0.99)
    figure = bootstrapped(brier, labels, probabilities, "Brier", rng=rng)
    assert figure.value == pytest.approx(np.mean((probabilities - labels) ** 2))
    assert figure.low < figure.value < figure.high


def test_calibration_error_of_a_constant_share_is_zero():
    labels = np.arange(20) < 5
    assert calibration_error(labels, np.full(20, 0.25)) == pytest.approx(0)
    assert calibration_error(labels, np.full(20, 0.75)) == pytest.approx(0.5)


def test_calibrated_probabilities_have_slope_one_and_intercept_zero():
    rng = np.random.default_rng(5)
    log_odds = rng.normal(size=4000)
    labels = rng.random(4000) < 1 / (1 + np.exp(-log_odds))
    found = calibration(labels, 1 / (1 + np.exp(-2 * log_odds - 1)), rng=rng)
    assert found.slope.value == pytest.approx(0.5, abs=0.05)
    assert found.slope.low < 0.5 < found.slope.high
    assert found.intercept.value < -0.3
    right = calibration(labels, 1 / (1 + np.exp(-log_odds)), rng=rng)
    assert right.intercept.low < 0 < right.intercept.high
    assert right.slope.low < 1 < right.slope.high


def test_calibration_slope_agrees_with_maximum_likelihood():
    statsmodels = pytest.importorskip("statsmodels.api")
    rng = np.random.default_rng(6)
    labels = np.arange(60) < 30
    log_odds = 1.2 * (labels - 0.5) + rng.normal(size=60)
    found = calibration(labels, 1 / (1 + np.exp(-log_odds)), rng=rng)
    design = statsmodels.add_constant(log_odds)
    fitted = statsmodels.GLM(labels * 1.0, design, family=statsmodels.families.Binomial()).fit()
    assert found.slope.value == pytest.approx(fitted.params[1], rel=1e-4)


def test_slope_of_separated_or_equal_probabilities_is_not_estimable():
    rng = np.random.default_rng(7)
    labels = np.arange(10) < 5
    separated = calibration(labels, np.where(labels, 0.9, 0.2), rng=rng)
    assert separated.slope.value is None
    assert "separate" in separated.slope.method
    equal = calibration(labels, np.full(10, 0.5), rng=rng)
    assert equal.slope.value is None
    assert equal.intercept.value == pytest.approx(0, abs=1e-8)
