import numpy as np
import pytest
from scipy import stats

from diagnostics.features.table import feature_named
from diagnostics.single_case import compare_single_case, is_outside, reference_interval


@pytest.mark.parametrize(("n", "factor"), [(5, 3.0414), (6, 2.7765), (11, 2.3272), (20, 2.1447)])
def test_the_prediction_interval_has_the_published_factor(n, factor):
    controls = np.linspace(90.0, 110.0, n)
    interval = reference_interval(controls)
    assert interval.method == "parametric prediction interval"
    half = (interval.high - interval.low) / 2 / controls.std(ddof=1)
    assert half == pytest.approx(factor, abs=5e-4)


def test_a_further_control_lies_in_the_interval_95_times_in_100():
    rng = np.random.default_rng(2)
    n, inside = 4000, 0
    for _ in range(n):
        interval = reference_interval(rng.normal(50.0, 4.0, size=11))
        inside += is_outside(rng.normal(50.0, 4.0), interval) == "within"
    assert 0.939 < inside / n < 0.961


def test_the_interval_of_many_controls_is_non_parametric():
    controls = np.arange(1.0, 120.0)
    interval = reference_interval(controls)
    assert interval.method == "non-parametric percentiles"
    assert (interval.low, interval.high) == pytest.approx((3.0, 117.0))


def test_the_interval_is_cut_at_what_is_possible():
    interval = reference_interval(np.array([0.0, 0.1, 0.9, 1.0, 0.5]), upper_bound=1.0)
    assert (interval.low, interval.high) == (0.0, 1.0)


def test_too_few_controls_give_a_reason_and_no_interval():
    interval = reference_interval(np.array([1.0, 2.0, np.nan, 3.0]))
    assert interval.low is None
    assert "3 control donors" in interval.not_assessable
    assert compare_single_case(2.0, np.array([1.0, 2.0, 3.0])) is None


def test_constant_controls_allow_no_comparison():
    assert compare_single_case(2.0, np.full(8, 2.0)) is None


def test_crawford_howell_is_the_t_test_of_one_against_n():
    rng = np.random.default_rng(4)
    controls = rng.normal(10.0, 2.0, 11)
    found = compare_single_case(15.0, controls)
    oracle = stats.ttest_ind([15.0], controls, equal_var=True)
    assert found.t == pytest.approx(oracle.statistic)
    assert found.p_value == pytest.approx(oracle.pvalue)
    assert found.degrees == 10


def test_the_limits_of_the_effect_cover_the_true_distance():
    rng = np.random.default_rng(5)
    held, n = 0, 120
    for _ in range(n):
        found = compare_single_case(2.0, rng.normal(0.0, 1.0, 11))
        held += found.effect_low <= 2.0 <= found.effect_high
    assert held / n > 0.88


def test_the_percentage_below_is_ordered_as_its_limits():
    found = compare_single_case(1.3, np.arange(12.0) / 6.0)
    assert 0 < found.percent_below_low < found.percent_below < found.percent_below_high < 100
    assert feature_named("mitochondria_count").direction == "high"
