import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from cohorts.effects import hedges_g, omega_squared, rank_biserial
from cohorts.reliability import icc_one_way
from cohorts.statistics import benjamini_hochberg, compare_groups, welch_anova
from cohorts.tables import FeatureTable
from engine.errors import BadInputError

SHROUT_FLEISS = np.array(
    [9, 2, 5, 8, 6, 1, 3, 2, 8, 4, 6, 8, 7, 1, 2, 6, 10, 5, 6, 9, 6, 2, 4, 7.0]
)


def cohort(n=(12, 11), shift=0.0, icc=0.3, rows=5, n_features=1, seed=0):
    rng = np.random.default_rng(seed)
    names = tuple(f"f{i}" for i in range(n_features))
    found = []
    for i, group in enumerate(np.repeat(list("abcdef")[: len(n)], n)):
        donor = rng.normal(size=n_features) * np.sqrt(icc) + shift * (group == "a")
        for _ in range(rows):
            found.append(
                (f"D{i}", group, *(donor + rng.normal(size=n_features) * (1 - icc) ** 0.5))
            )
    return FeatureTable(pd.DataFrame(found, columns=["donor", "group", *names]), names)


def test_icc_of_shrout_and_fleiss():
    donors = np.repeat(list("abcdef"), 4).tolist()
    assert icc_one_way(SHROUT_FLEISS, donors) == pytest.approx(0.1657, abs=5e-5)


def test_icc_recovers_the_simulated_one_with_unequal_rows_and_gaps():
    table = cohort(n=(300, 300), shift=2.0, icc=0.4, rows=6)
    values = table.values[:, 0].copy()
    values[::7] = np.nan
    groups = list(table.frame["group"])
    within = icc_one_way(values, table.donors, groups)
    assert within == pytest.approx(0.4, abs=0.06)
    assert icc_one_way(values, table.donors) > within


def test_icc_without_repeats_or_variance_is_none():
    assert icc_one_way(np.arange(4.0), list("abcd")) is None
    assert icc_one_way(np.ones(4), list("aabb")) is None
    assert icc_one_way(np.array([1, 1, 2, 2.0]), list("aabb")) == 1


def test_the_test_is_welch_on_donor_means():
    table = cohort(shift=0.8)
    means = table.frame.groupby(["donor", "group"], sort=False)["f0"].mean().reset_index()
    a, b = (means.loc[means["group"] == group, "f0"] for group in "ab")
    expected = stats.ttest_ind(a, b, equal_var=False)
    found = compare_groups(table).features[0]
    assert (found.test, found.n) == ("Welch t", 23)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert found.statistic == pytest.approx(expected.statistic)
    assert found.effect.low < found.effect.value < found.effect.high


def test_more_groups_use_welch_analysis_of_variance():
    table = cohort(n=(8, 5, 6), shift=1.5)
    means = table.frame.groupby("donor")["f0"].mean()
    group = table.frame.groupby("donor")["group"].first()
    samples = [means[group == name].to_numpy() for name in "abc"]
    expected = stats.f_oneway(*samples, equal_var=False)
    assert welch_anova(samples) == pytest.approx((expected.statistic, expected.pvalue))
    found = compare_groups(table).features[0]
    assert found.p_value == pytest.approx(expected.pvalue)
    assert 0 <= found.effect.low <= found.effect.value <= found.effect.high <= 1


def test_the_rank_rule_uses_mann_whitney_and_kruskal():
    two = compare_groups(cohort(shift=1.0), "rank").features[0]
    assert two.test == "Mann-Whitney"
    assert -1 <= two.effect.low <= two.effect.value <= two.effect.high <= 1
    three = compare_groups(cohort(n=(8, 5, 6)), "rank").features[0]
    assert three.test == "Kruskal-Wallis"


def test_q_values_are_those_of_benjamini_and_hochberg():
    assert benjamini_hochberg([0.01, None, 0.02, 0.03]) == pytest.approx([0.03, None, 0.03, 0.03])
    assert benjamini_hochberg([None]) == [None]


def test_hedges_g_and_its_interval():
    rng = np.random.default_rng(0)
    first, second = rng.normal(1, 1, 12), rng.normal(0, 1, 11)
    effect = hedges_g(first, second)
    pooled = np.sqrt((11 * first.var(ddof=1) + 10 * second.var(ddof=1)) / 21)
    approximate = (first.mean() - second.mean()) / pooled * (1 - 3 / (4 * 21 - 1))
    assert effect.value == pytest.approx(approximate, rel=2e-3)
    se = np.sqrt(23 / 132 + effect.value**2 / 46)
    assert effect.low == pytest.approx(effect.value - 1.96 * se, abs=0.06)
    assert effect.high == pytest.approx(effect.value + 1.96 * se, abs=0.06)
    swapped = hedges_g(second, first)
    assert (swapped.low, swapped.high) == pytest.approx((-effect.high, -effect.low))


def test_a_huge_effect_keeps_a_finite_interval():
    effect = hedges_g(np.array([100, 100.1, 100.2]), np.array([0, 0.1, 0.2, 0.3]))
    assert np.isfinite([effect.low, effect.value, effect.high]).all()
    assert effect.low < effect.value < effect.high


def test_rank_biserial_is_one_for_separated_groups():
    effect = rank_biserial(np.arange(10.0) + 20, np.arange(10.0))
    assert (effect.value, effect.high) == (1, 1)
    assert effect.low < 1


def test_omega_squared_of_no_effect_is_zero():
    effect = omega_squared(0.5, 3, 30)
    assert (effect.value, effect.low) == (0, 0)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), factor=st.floats(1e-3, 1e3), offset=st.floats(-1e3, 1e3))
def test_units_and_row_order_do_not_matter(seed, factor, offset):
    table = cohort(shift=0.5, seed=seed)
    frame = table.frame.sample(frac=1, random_state=seed)
    changed = FeatureTable(frame.assign(f0=frame["f0"] * factor + offset), ("f0",))
    one, two = (compare_groups(t).features[0] for t in (table, changed))
    assert two.p_value == pytest.approx(one.p_value, rel=1e-5)
    assert two.effect.value == pytest.approx(one.effect.value, rel=1e-5)
    assert two.icc == pytest.approx(one.icc, abs=1e-6)


def test_what_cannot_be_tested_says_why():
    table = cohort(n_features=4)
    frame = table.frame.copy()
    frame["f0"] = 1.0
    frame.loc[frame["group"] == "a", "f1"] = np.nan
    frame["f2"] = (frame["group"] == "a") * 1.0
    found = {
        item.feature: item for item in compare_groups(FeatureTable(frame, table.features)).features
    }
    assert "constant" in found["f0"].test
    assert "fewer than two assessable donors in a" in found["f1"].test
    assert "within any group" in found["f2"].test
    assert found["f1"].n_by_group == {"a": 0, "b": 11}
    for name in ("f0", "f1", "f2"):
        assert found[name].p_value is None
        assert found[name].q_value is None
    assert found["f3"].q_value == pytest.approx(found["f3"].p_value)


def test_donors_without_a_group_are_left_out_and_counted():
    table = cohort()
    frame = table.frame.copy()
    frame.loc[frame["donor"] == "D3", "group"] = ""
    found = compare_groups(FeatureTable(frame, table.features))
    assert (found.n_donors, found.n_excluded, found.groups) == (22, 1, ("a", "b"))


def test_one_group_and_an_unknown_rule_are_refused():
    with pytest.raises(BadInputError, match="two groups"):
        compare_groups(cohort(n=(5,)))
    with pytest.raises(BadInputError, match="welch, rank"):
        compare_groups(cohort(), "bayes")


def false_alarms(n_tables, icc, rows):
    """Share of tables without a difference that each test calls different."""
    naive, by_donor = [], []
    for seed in range(n_tables):
        table = cohort(icc=icc, rows=rows, seed=seed)
        a, b = (table.frame.loc[table.frame["group"] == group, "f0"] for group in "ab")
        naive.append(stats.ttest_ind(a, b).pvalue < 0.05)
        by_donor.append(compare_groups(table).features[0].p_value < 0.05)
    return np.mean(naive), np.mean(by_donor)


def test_tomograms_as_units_deceive_and_donor_means_do_not():
    naive, by_donor = false_alarms(60, icc=0.5, rows=10)
    assert naive > 0.2
    assert by_donor < 0.15


@pytest.mark.slow
@pytest.mark.parametrize(("icc", "expected"), [(0.1, 0.104), (0.3, 0.196), (0.5, 0.259)])
def test_false_alarms_of_naive_tests_grow_with_the_correlation(icc, expected):
    naive, by_donor = false_alarms(600, icc=icc, rows=5)
    assert naive == pytest.approx(expected, abs=0.05)
    assert by_donor == pytest.approx(0.05, abs=0.027)
