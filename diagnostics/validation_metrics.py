"""How well probabilities separate two groups: figures with intervals and their method."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.stats import beta, norm, rankdata

from engine.data.arrays import Bools, Float64s

Z_95 = float(norm.ppf(0.975))
N_BOOTSTRAP = 2000
N_BINS = 10


@dataclass(frozen=True)
class Figure:
    """An estimate with its 95 % interval.

    Attributes
    ----------
    value, low, high
        None where it cannot be estimated; `method` then says why.
    method
        Of the estimate and its interval.
    """

    value: float | None
    low: float | None
    high: float | None
    method: str

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of the command line."""
        return {"value": self.value, "low": self.low, "high": self.high, "method": self.method}


@dataclass(frozen=True)
class Proportion(Figure):
    """A share of donors: `correct` out of `n`."""

    correct: int = 0
    n: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of the command line."""
        return {**super().to_json(), "correct": self.correct, "n": self.n}


def clopper_pearson(successes: int, n: int) -> tuple[float, float]:
    """Exact 95 % interval of a proportion.

    References
    ----------
    Clopper and Pearson (1934), doi:10.1093/biomet/26.4.404.
    """
    low = 0.0 if successes == 0 else float(beta.ppf(0.025, successes, n - successes + 1))
    high = 1.0 if successes == n else float(beta.ppf(0.975, successes + 1, n - successes))
    return low, high


def proportion(right: Bools) -> Proportion:
    """Share of true entries; not estimable for none at all."""
    successes, n = int(np.count_nonzero(right)), len(right)
    if n == 0:
        return Proportion(None, None, None, "not estimable: no donor of this class", 0, 0)
    low, high = clopper_pearson(successes, n)
    return Proportion(successes / n, low, high, "exact (Clopper-Pearson)", successes, n)


@dataclass(frozen=True)
class AucParts:
    """An AUC with the placements that its variance is made of.

    Attributes
    ----------
    value
        Share of positive-negative pairs in which the positive scores higher, ties half.
    positive, negative
        Of each positive the share of negatives below it; of each negative the share of positives
        above it.
    """

    value: float
    positive: Float64s
    negative: Float64s

    @property
    def variance(self) -> float:
        """DeLong's variance; 0 for perfect separation, NaN with one donor in a class."""
        if min(len(self.positive), len(self.negative)) < 2:
            return math.nan
        return float(
            np.var(self.positive, ddof=1) / len(self.positive)
            + np.var(self.negative, ddof=1) / len(self.negative)
        )


def auc_parts(labels: Bools, scores: Float64s) -> AucParts:
    """Mann-Whitney AUC by mid-ranks.

    References
    ----------
    DeLong et al. (1988), doi:10.2307/2531595; mid-ranks as in Sun and Xu (2014),
    doi:10.1109/LSP.2014.2337313.
    """
    labels = np.asarray(labels, dtype=bool)
    positive, negative = scores[labels], scores[~labels]
    m, n = len(positive), len(negative)
    ranks = rankdata(np.concatenate([positive, negative]))
    above = (ranks[:m] - rankdata(positive)) / n
    below = 1.0 - (ranks[m:] - rankdata(negative)) / m
    return AucParts(float(above.mean()), above, below)


def auc_figure(labels: Bools, scores: Float64s) -> Figure:
    """AUC with DeLong's interval, or Newcombe's where DeLong's variance vanishes.

    At an AUC of 0 or 1, and with one donor in a class, DeLong's interval has no width whatever
    the number of donors. Newcombe's method 5 inverts Hanley and McNeil's variance instead and
    keeps a width that shrinks with the number of donors.

    References
    ----------
    Newcombe (2006), doi:10.1002/sim.2324.
    """
    parts = auc_parts(labels, scores)
    variance = parts.variance
    if math.isfinite(variance) and variance > 1e-15:
        half = Z_95 * math.sqrt(variance)
        low, high = max(parts.value - half, 0.0), min(parts.value + half, 1.0)
        return Figure(parts.value, low, high, "Mann-Whitney; DeLong")
    low, high = newcombe_interval(parts.value, len(parts.positive), len(parts.negative))
    return Figure(
        parts.value, low, high, "Mann-Whitney; Newcombe method 5 (DeLong's variance is 0)"
    )


def newcombe_interval(auc: float, n_positive: int, n_negative: int) -> tuple[float, float]:
    """95 % score-type interval of an AUC (Newcombe 2006, method 5)."""
    pairs = n_positive * n_negative
    mean_n = 0.5 * (n_positive + n_negative)

    def excess(true: float) -> float:
        estimate = auc if 0 < auc < 1 else 1.0
        spread = true * (1 - true)
        spread *= 1 + (mean_n - 1) * ((1 - true) / (2 - true) + true / (1 + true))
        return (estimate - true) ** 2 - Z_95**2 * spread / pairs

    if auc <= 0 or auc >= 1:
        # The estimate itself solves the equation there; the other root is the end of the interval.
        end = float(brentq(lambda true: excess(true) / (1 - true), 0.0, 1 - 1e-12))
        return (end, 1.0) if auc >= 1 else (0.0, 1.0 - end)
    return float(brentq(excess, 0.0, auc)), float(brentq(excess, auc, 1.0))


def compare_aucs(labels: Bools, first: Float64s, second: Float64s) -> tuple[float, float]:
    """DeLong's paired test of two scores of the same donors: z and two-sided p."""
    one, two = auc_parts(labels, first), auc_parts(labels, second)
    variance = 0.0
    for a, b in ((one.positive, two.positive), (one.negative, two.negative)):
        variance += float(np.var(a - b, ddof=1)) / len(a)
    difference = one.value - two.value
    if variance == 0:
        return (0.0, 1.0) if difference == 0 else (math.copysign(math.inf, difference), 0.0)
    z = difference / math.sqrt(variance)
    return z, float(2 * norm.sf(abs(z)))


def batch_auc(labels: Bools, scores: Float64s) -> Float64s:
    """AUC of each row of (b, n) labels and scores; 0.5 for a row with one class only."""
    ranks = rankdata(scores, axis=1)
    m = labels.sum(axis=1).astype(np.float64)
    pairs = m * (labels.shape[1] - m)
    above = (ranks * labels).sum(axis=1) - m * (m + 1) / 2
    result: Float64s = np.where(pairs > 0, above / np.maximum(pairs, 1), 0.5)
    return result


def brier(labels: Bools, probabilities: Float64s) -> float:
    """Mean squared difference of probability and outcome (Brier 1950)."""
    return float(np.mean((probabilities - labels) ** 2))


def calibration_error(labels: Bools, probabilities: Float64s) -> float:
    """Compute the expected calibration error over `N_BINS` bins of equal width.

    References
    ----------
    Naeini et al. (2015), doi:10.1609/aaai.v29i1.9602.
    """
    bins = np.minimum((probabilities * N_BINS).astype(int), N_BINS - 1)
    excess = np.bincount(bins, weights=probabilities - labels, minlength=N_BINS)
    return float(np.abs(excess).sum() / len(labels))


def bootstrapped(
    statistic: Callable[[Bools, Float64s], float],
    labels: Bools,
    probabilities: Float64s,
    name: str,
    *,
    rng: np.random.Generator,
) -> Figure:
    """Bias-corrected percentile interval of a statistic, donors drawn within their class.

    References
    ----------
    Efron (1981), doi:10.2307/3314608.
    """
    labels = np.asarray(labels, dtype=bool)
    value = statistic(labels, probabilities)
    groups = [np.flatnonzero(labels), np.flatnonzero(~labels)]
    draws = np.empty(N_BOOTSTRAP)
    for i in range(N_BOOTSTRAP):
        index = np.concatenate([rng.choice(group, len(group)) for group in groups])
        draws[i] = statistic(labels[index], probabilities[index])
    below = np.mean(draws < value) + 0.5 * np.mean(draws == value)
    shift = norm.ppf(np.clip(below, 0.5 / N_BOOTSTRAP, 1 - 0.5 / N_BOOTSTRAP))
    ends = np.quantile(draws, norm.cdf(2 * shift + np.array([-Z_95, Z_95])))
    low, high = min(float(ends[0]), value), max(float(ends[1]), value)
    method = f"{name}; donor bootstrap, bias-corrected percentiles of {N_BOOTSTRAP}"
    return Figure(value, low, high, method)
