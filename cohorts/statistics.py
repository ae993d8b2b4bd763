"""Comparing groups of donors feature by feature."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from scipy import stats

from cohorts.effects import Effect, hedges_g, omega_squared, rank_biserial, rank_epsilon_squared
from cohorts.reliability import icc_one_way
from cohorts.tables import FeatureTable, donor_means
from engine.data.arrays import Float64s
from engine.errors import BadInputError

Rule = Literal["welch", "rank"]
RULES: tuple[Rule, ...] = ("welch", "rank")


@dataclass(frozen=True)
class FeatureComparison:
    """One feature between groups; the donor is the unit.

    Attributes
    ----------
    test
        Name of the test, or why there is none.
    n_by_group
        Donors in which the feature is assessable.
    mean_by_group, sd_by_group
        Of the donor means; NaN-free, None where there is no donor (or one, for the SD).
    statistic, p_value, q_value
        None where the test is not possible; q by Benjamini and Hochberg over the table.
    effect
        Two groups: Hedges' g or rank-biserial correlation, first group less second. More groups:
        share of variance explained.
    icc
        ICC(1) of rows within donors over the whole table; None with one row a donor.
    icc_within_groups
        The same after each group's mean is taken away: what repeats within a donor are worth for
        this comparison.
    """

    feature: str
    test: str
    n_by_group: Mapping[str, int]
    mean_by_group: Mapping[str, float | None]
    sd_by_group: Mapping[str, float | None]
    statistic: float | None
    p_value: float | None
    q_value: float | None
    effect: Effect
    icc: float | None
    icc_within_groups: float | None

    @property
    def n(self) -> int:
        """Donors in all groups."""
        return sum(self.n_by_group.values())

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of the command line."""
        return {
            "feature": self.feature,
            "test": self.test,
            "n": self.n,
            "n_by_group": dict(self.n_by_group),
            "mean_by_group": dict(self.mean_by_group),
            "sd_by_group": dict(self.sd_by_group),
            "statistic": self.statistic,
            "p_value": self.p_value,
            "q_value": self.q_value,
            "effect": self.effect.value,
            "low": self.effect.low,
            "high": self.effect.high,
            "effect_name": self.effect.name,
            "icc": self.icc,
            "icc_within_groups": self.icc_within_groups,
        }


@dataclass(frozen=True)
class GroupComparison:
    """All features of a table.

    Attributes
    ----------
    groups
        In alphabetical order; an effect of two groups is the first less the second.
    n_excluded
        Donors without a group.
    simulated
        True where any row comes from a simulated tomogram.
    """

    groups: tuple[str, ...]
    n_donors: int
    n_excluded: int
    simulated: bool
    features: tuple[FeatureComparison, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of the command line."""
        return {
            "unit": "donor",
            "simulated": self.simulated,
            "groups": list(self.groups),
            "n_donors": self.n_donors,
            "n_excluded": self.n_excluded,
            "features": [feature.to_json() for feature in self.features],
        }


def compare_groups(table: FeatureTable, rule: Rule = "welch") -> GroupComparison:
    """Compare the donor means of the groups of `table.label_column`, feature by feature.

    Parameters
    ----------
    table
        Several rows a donor are averaged first: repeats of one donor are not independent.
    rule
        Chosen before the data are seen, the same for all features. `welch`: Welch's t-test, or
        Welch's analysis of variance for more than two groups. `rank`: Mann-Whitney (exact
        without ties up to 8 donors in the smaller group) or Kruskal-Wallis.

    Raises
    ------
    BadInputError
        A donor with two labels, or fewer than two groups.

    References
    ----------
    Welch (1947), doi:10.1093/biomet/34.1-2.28, and (1951), doi:10.1093/biomet/38.3-4.330;
    Benjamini and Hochberg (1995), doi:10.1111/j.2517-6161.1995.tb02031.x.
    """
    if rule not in RULES:
        raise BadInputError(f"test: expected one of {', '.join(RULES)}, found {rule}")
    everyone = donor_means(table)
    means = everyone.subset([label is not None for label in everyone.labels])
    groups = tuple(sorted({str(label) for label in means.labels}))
    if len(groups) < 2:
        raise BadInputError(
            f"{table.label_column}: expected two groups or more, found {len(groups)}"
        )
    labels = np.array(means.labels, dtype=object)
    label_of = dict(zip(means.donors, means.labels, strict=True))
    row_labels = [label_of.get(donor) for donor in table.donors]
    found = []
    for column, feature in enumerate(table.features):
        samples = {group: _assessable(means.values[labels == group, column]) for group in groups}
        rows = table.values[:, column]
        found.append(_compare(feature, samples, rule, rows, table.donors, row_labels))
    adjusted = benjamini_hochberg([item.p_value for item in found])
    return GroupComparison(
        groups=groups,
        n_donors=len(means.donors),
        n_excluded=len(everyone.donors) - len(means.donors),
        simulated=table.simulated,
        features=tuple(replace(item, q_value=q) for item, q in zip(found, adjusted, strict=True)),
    )


def benjamini_hochberg(p_values: Sequence[float | None]) -> list[float | None]:
    """Q-values over the p-values that are there."""
    present = [p for p in p_values if p is not None]
    if not present:
        return [None] * len(p_values)
    adjusted = iter(stats.false_discovery_control(present).tolist())
    return [None if p is None else float(next(adjusted)) for p in p_values]


def _assessable(values: Float64s) -> Float64s:
    kept: Float64s = values[~np.isnan(values)]
    return kept


def _compare(
    feature: str,
    samples: Mapping[str, Float64s],
    rule: Rule,
    rows: Float64s,
    donors: Sequence[str],
    row_labels: Sequence[str | None],
) -> FeatureComparison:
    values = list(samples.values())
    fault = _fault(samples)
    if fault:
        test, statistic, p_value, effect = fault, None, None, Effect(None, None, None, "none")
    else:
        test, statistic, p_value = _test(values, rule)
        effect = _effect(values, rule, statistic)
    return FeatureComparison(
        feature=feature,
        test=test,
        n_by_group=MappingProxyType({group: len(sample) for group, sample in samples.items()}),
        mean_by_group=MappingProxyType(
            {group: float(v.mean()) if len(v) else None for group, v in samples.items()}
        ),
        sd_by_group=MappingProxyType(
            {group: float(v.std(ddof=1)) if len(v) > 1 else None for group, v in samples.items()}
        ),
        statistic=statistic,
        p_value=p_value,
        q_value=None,
        effect=effect,
        icc=icc_one_way(rows, donors),
        icc_within_groups=icc_one_way(rows, donors, row_labels),
    )


def _fault(samples: Mapping[str, Float64s]) -> str | None:
    """Why a feature cannot be tested, or None."""
    few = [group for group, sample in samples.items() if len(sample) < 2]
    if few:
        return f"not tested: fewer than two assessable donors in {', '.join(few)}"
    if len(np.unique(np.concatenate(list(samples.values())))) == 1:
        return "not tested: the feature is constant"
    if all(np.ptp(sample) == 0 for sample in samples.values()):
        return "not tested: the feature does not vary within any group"
    return None


def _test(values: Sequence[Float64s], rule: Rule) -> tuple[str, float, float]:
    if rule == "rank":
        if len(values) > 2:
            found = stats.kruskal(*values)
            return "Kruskal-Wallis", float(found.statistic), float(found.pvalue)
        found = stats.mannwhitneyu(*values, alternative="two-sided", method="auto")
        return "Mann-Whitney", float(found.statistic), float(found.pvalue)
    if len(values) > 2:
        statistic, p_value = welch_anova(values)
        return "Welch analysis of variance", statistic, p_value
    found = stats.ttest_ind(values[0], values[1], equal_var=False)
    return "Welch t", float(found.statistic), float(found.pvalue)


def welch_anova(values: Sequence[Float64s]) -> tuple[float, float]:
    """F and p of Welch's test of equal means with unequal variances (Welch 1951).

    A group without variance gets a thousandth of the mean variance: the test would give it
    infinite weight.
    """
    k = len(values)
    n = np.array([len(sample) for sample in values], dtype=np.float64)
    means = np.array([sample.mean() for sample in values])
    variances = np.array([sample.var(ddof=1) for sample in values])
    variances = np.maximum(variances, 1e-3 * variances.mean())
    weights = n / variances
    share = weights / weights.sum()
    between = float((weights * (means - (share * means).sum()) ** 2).sum()) / (k - 1)
    lack = float(((1 - share) ** 2 / (n - 1)).sum())
    statistic = between / (1 + 2 * (k - 2) / (k**2 - 1) * lack)
    degrees = (k**2 - 1) / (3 * lack)
    return statistic, float(stats.f.sf(statistic, k - 1, degrees))


def _effect(values: Sequence[Float64s], rule: Rule, statistic: float | None) -> Effect:
    if rule == "rank":
        if len(values) == 2:
            return rank_biserial(values[0], values[1])
        return rank_epsilon_squared(values, statistic or 0.0)
    if len(values) == 2:
        return hedges_g(values[0], values[1])
    if statistic is None or not math.isfinite(statistic):
        return Effect(None, None, None, "omega squared")
    return omega_squared(statistic, len(values), sum(len(sample) for sample in values))
