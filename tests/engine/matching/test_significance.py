import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import floats, lists
from scipy.stats import false_discovery_control, gumbel_r, kstest, norm

from engine.matching.abundance import abundance
from engine.matching.noise_control import block_p_values
from engine.matching.params import MatchParams
from engine.matching.peaks import local_maxima, without_overlap
from engine.matching.significance import (
    FalsePositives,
    benjamini_hochberg,
    gaussian_threshold,
    monte_carlo_p_value,
    scrambled_coefficients,
)
from tests.engine.matching.scenes import FILTER, template, tomogram


def test_gaussian_threshold_is_the_one_of_the_formula():
    """7.30 sigma for 6.75e12 scores: pytom-match-pick's published example."""
    assert gaussian_threshold(1.0, 510 * 720 * 74, 248_400, 1.0) == pytest.approx(7.30, abs=0.02)
    assert norm.sf(gaussian_threshold(2.0, 100, 10, 1.0) / 2.0) == pytest.approx(1e-3, rel=1e-6)


@given(lists(floats(0.0, 1.0), min_size=1, max_size=40))
def test_q_values_are_scipy_s(p_values):
    p = np.array(p_values)
    assert np.allclose(benjamini_hochberg(p), false_discovery_control(p), atol=1e-12)


def test_tests_that_are_not_listed_count():
    p = np.array([0.001, 0.02])
    assert np.allclose(benjamini_hochberg(p, 10), [0.01, 0.1])


def test_monte_carlo_p_values_are_uniform_under_the_null():
    rng = np.random.default_rng(0)
    draws = gumbel_r.rvs(size=(1500, 50), random_state=rng)
    p = [monte_carlo_p_value(row[0], row[1:]) for row in draws]
    assert kstest(p, "uniform").pvalue > 0.01


def test_a_score_far_above_all_nulls_has_a_small_p_value_from_the_tail():
    nulls = gumbel_r.rvs(size=99, random_state=np.random.default_rng(1))
    p = monte_carlo_p_value(12.0, nulls)
    assert 1e-7 < p < 1e-4
    assert monte_carlo_p_value(float(np.median(nulls)), nulls) == pytest.approx(0.5, abs=0.03)


def test_expected_noise_picks_fall_with_the_score_and_are_inverted_by_the_threshold():
    peaks = np.sort(norm.rvs(size=300, random_state=np.random.default_rng(2)) * 0.3 + 5.0)[::-1]
    curve = FalsePositives(peaks, 1.0, 4.0)
    scores = np.linspace(4.5, 7.5, 60)
    expected = [curve.expected(score) for score in scores]
    assert (np.diff(expected) <= 1e-9).all()
    for n in (0.01, 1.0, 30.0, 400.0):
        assert curve.expected(curve.threshold(n)) == pytest.approx(n, rel=1e-3)
    assert curve.expected(float(peaks[99])) == pytest.approx(400.0, rel=0.02)


def test_scrambling_keeps_profile_and_strength_of_every_degree():
    rng = np.random.default_rng(3)
    blocks = tuple(rng.normal(size=(2 * degree + 1, 3)) for degree in range(5))
    scrambled = scrambled_coefficients(blocks, 20, rng=rng)
    for degree, (block, many) in enumerate(zip(blocks, scrambled, strict=True)):
        assert np.array_equal(many[:, 0], block)
        # Inner products of the radial parts stay; degree 0 stays altogether.
        for index in range(21):
            assert np.allclose(many[:, index].T @ many[:, index], block.T @ block)
        if degree:
            assert not np.allclose(many[:, 1], block)


def test_p_values_in_noise_are_uniform():
    rng = np.random.default_rng(4)
    params = MatchParams(n_nulls=39, null_rotations=300)
    p = []
    for seed in range(2):
        noise = tomogram(rng.normal(size=(90, 96, 96)).astype(np.float32), f"noise {seed}")
        p.append(block_p_values(noise, template(), FILTER, params))
    values = np.concatenate(p)
    assert len(values) >= 50
    assert kstest(values, "uniform").pvalue > 0.01


def test_peaks_do_not_overlap_and_the_best_comes_first():
    rng = np.random.default_rng(5)
    scores = rng.random((30, 32, 34)).astype(np.float32)
    positions, heights = local_maxima(scores, 0.5)
    assert (np.diff(heights) <= 0).all()
    kept = positions[without_overlap(positions, 6.0)]
    distance = np.linalg.norm(kept[:, None] - kept[None], axis=2)
    assert distance[~np.eye(len(kept), dtype=bool)].min() >= 6.0 * (1 - 1e-6)
    assert scores[tuple(kept[0])] == scores.max()


def test_no_peaks_is_an_empty_answer():
    positions, heights = local_maxima(np.zeros((5, 6, 7), dtype=np.float32), 0.1)
    assert positions.shape == (0, 3)
    assert len(heights) == 0
    assert len(without_overlap(positions, 3.0)) == 0


def test_abundance_of_sure_picks_is_a_poisson_interval():
    found = abundance(np.ones(10), 10**6, 10.0)
    assert found.volume_um3 == pytest.approx(1e-3)
    assert found.per_um3 == pytest.approx(1e4)
    assert found.low_per_um3 == pytest.approx(4.795e3, rel=1e-3)
    assert found.high_per_um3 == pytest.approx(18.39e3, rel=1e-3)


def test_abundance_of_nothing_has_an_upper_limit():
    found = abundance(np.empty(0), 10**6, 10.0)
    assert found.copies == 0.0
    assert found.low_per_um3 == 0.0
    assert found.high_per_um3 == pytest.approx(3.689e3, rel=1e-3)
    doubtful = abundance(np.full(20, 0.5), 10**6, 10.0)
    sure = abundance(np.ones(10), 10**6, 10.0)
    assert doubtful.high_per_um3 - doubtful.low_per_um3 > sure.high_per_um3 - sure.low_per_um3
