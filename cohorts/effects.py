"""Effect sizes with 95 % intervals."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import gammaln
from scipy.stats import f as f_distribution
from scipy.stats import kruskal, ncf, nct, norm, rankdata

from engine.data.arrays import Float64s

Z_95 = float(norm.ppf(0.975))
N_BOOTSTRAP = 1000


@dataclass(frozen=True)
class Effect:
    """An effect size; None where it cannot be estimated."""

    value: float | None
    low: float | None
    high: float | None
    name: str


def hedges_g(first: Float64s, second: Float64s) -> Effect:
    """Standardised difference of means, first less second, with the pooled SD.

    The interval inverts the noncentral t distribution of the pooled-variance t.

    References
    ----------
    Hedges (1981), doi:10.3102/10769986006002107; Steiger and Fouladi (1997); Cumming and Finch
    (2001), doi:10.1177/0013164401614002.
    """
    m, n = len(first), len(second)
    degrees = m + n - 2
    pooled = ((m - 1) * first.var(ddof=1) + (n - 1) * second.var(ddof=1)) / degrees
    if pooled <= 0:
        return Effect(None, None, None, "Hedges g")
    difference = float(first.mean() - second.mean()) / math.sqrt(pooled)
    to_t = math.sqrt(m * n / (m + n))
    t = difference * to_t
    correction = math.exp(
        gammaln(degrees / 2) - gammaln((degrees - 1) / 2) - 0.5 * math.log(degrees / 2)
    )
    low, high = _noncentral_t_ends(t, degrees)
    factor = correction / to_t
    return Effect(correction * difference, low * factor, high * factor, "Hedges g")


def _noncentral_t_ends(t: float, degrees: int) -> tuple[float, float]:
    """Noncentralities under which t is the 97.5th and the 2.5th centile.

    Far out, where the noncentral distribution is not computable, its normal approximation.
    """
    spread = math.sqrt(1 + t * t / (2 * degrees))
    reach = 12 * spread + 5

    def end(level: float) -> float:
        def excess(shift: float) -> float:
            return float(nct.cdf(t, degrees, shift)) - level

        try:
            found = float(brentq(excess, t - reach, t + reach))
        except (ValueError, RuntimeError):
            found = math.nan
        return found if math.isfinite(found) else t - float(norm.ppf(level)) * spread

    if abs(t) > 35:
        return t - Z_95 * spread, t + Z_95 * spread
    return end(0.975), end(0.025)


def omega_squared(statistic: float, n_groups: int, n: int) -> Effect:
    """Share of variance between groups, from F; interval by the noncentral F distribution.

    References
    ----------
    Hays (1963); Steiger (2004), doi:10.1037/1082-989X.9.2.164. Departure: F is Welch's, its
    denominator's degrees of freedom those of equal variances, so the interval is approximate.
    """
    between, within = n_groups - 1, n - n_groups
    value = max(0.0, between * (statistic - 1) / (between * (statistic - 1) + n))
    ends = [_noncentral_f_end(statistic, between, within, level) for level in (0.975, 0.025)]
    low, high = (end / (end + n) for end in ends)
    return Effect(value, min(low, value), max(high, value), "omega squared")


def _noncentral_f_end(statistic: float, between: int, within: int, level: float) -> float:
    if float(f_distribution.cdf(statistic, between, within)) <= level:
        return 0.0

    def excess(shift: float) -> float:
        return float(ncf.cdf(statistic, between, within, shift)) - level

    reach = 1.0
    while excess(reach) > 0 and reach < 1e8:
        reach *= 2
    return _root(excess, reach)


def _root(excess: Callable[[float], float], reach: float) -> float:
    return float(brentq(excess, 1e-9, reach))


def rank_biserial(first: Float64s, second: Float64s) -> Effect:
    """Probability that the first exceeds the second, less that of the reverse.

    Interval by DeLong's variance of the underlying AUC (2 AUC - 1 is the correlation), on
    Fisher's scale.

    References
    ----------
    Cureton (1956), doi:10.1007/BF02289138; DeLong et al. (1988), doi:10.2307/2531595.
    """
    m, n = len(first), len(second)
    ranks = rankdata(np.concatenate([first, second]))
    above = (ranks[:m] - rankdata(first)) / n
    below = (ranks[m:] - rankdata(second)) / m
    value = float(2 * above.mean() - 1)
    if abs(value) >= 1 - 1e-12:
        return _saturated(value, m, n)
    deviation = 2 * math.sqrt(above.var(ddof=1) / m + below.var(ddof=1) / n)
    half = Z_95 * deviation / (1 - value**2)
    low, high = (math.tanh(math.atanh(value) + sign * half) for sign in (-1, 1))
    return Effect(value, low, high, "rank-biserial correlation")


def _saturated(value: float, m: int, n: int) -> Effect:
    """Bound complete separation by the rule of three on the smaller group."""
    bound = 1 - 2 * min(1.0, 3.0 / min(m, n))
    name = "rank-biserial correlation"
    return Effect(value, bound, 1.0, name) if value > 0 else Effect(value, -1.0, -bound, name)


def rank_epsilon_squared(values: Sequence[Float64s], statistic: float) -> Effect:
    """Share of rank variance between groups, H / (n - 1); interval by donor bootstrap.

    References
    ----------
    Kelley (1935), doi:10.1073/pnas.21.9.554; Tomczak and Tomczak (2014).
    """
    n = sum(len(sample) for sample in values)
    rng = np.random.default_rng(20_150_846)
    draws = []
    for _ in range(N_BOOTSTRAP):
        drawn = [rng.choice(sample, len(sample)) for sample in values]
        if len(np.unique(np.concatenate(drawn))) > 1:
            draws.append(float(kruskal(*drawn).statistic) / (n - 1))
    value = statistic / (n - 1)
    low, high = np.quantile(draws, [0.025, 0.975]) if draws else (value, value)
    return Effect(value, min(float(low), value), max(float(high), value), "rank epsilon squared")
