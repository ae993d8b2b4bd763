"""One case against a small control sample: reference interval and single-case test."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from engine.data.arrays import Float64s
from engine.data.measurements import Measurement

# CLSI EP28-A3c asks 120 for a non-parametric interval with its own confidence limits and
# 39 for its point estimate; below, a parametric prediction interval is the honest choice.
MIN_NON_PARAMETRIC = 39
# Four degrees of freedom: the factor is 3.04 and grows steeply below.
MIN_CONTROLS = 5

IntervalMethod = Literal["parametric prediction interval", "non-parametric percentiles"]


@dataclass(frozen=True)
class ReferenceInterval:
    """Where 95 % of further controls are expected.

    Attributes
    ----------
    low, high
        None where `not_assessable` gives the reason.
    n
        Control donors it rests on.
    method
        Parametric below 39 donors, non-parametric from there on.
    """

    low: float | None
    high: float | None
    n: int
    method: IntervalMethod
    not_assessable: str | None = None


@dataclass(frozen=True)
class SingleCase:
    """Crawford-Howell comparison of one case with controls.

    Attributes
    ----------
    t, degrees, p_value
        Two-sided.
    percent_below
        Estimated share of the control population below the case, 0 to 100, with its 95 % limits.
    effect, effect_low, effect_high
        Distance from the control mean in control standard deviations (z_cc) with its 95 % limits.
    """

    t: float
    degrees: int
    p_value: float
    percent_below: float
    percent_below_low: float
    percent_below_high: float
    effect: float
    effect_low: float
    effect_high: float
    n: int


def reference_interval(controls: Float64s, upper_bound: float | None = None) -> ReferenceInterval:
    """95 % reference interval of control donors.

    Parameters
    ----------
    controls
        (n,) donor means; NaN is left out.
    upper_bound
        Largest possible value; the interval is cut at 0 and there.

    References
    ----------
    Below 39 donors: mean ± t(0.975, n-1) s sqrt(1 + 1/n), the interval that holds one further
    control with 95 % probability if controls are normal. From 39 on: percentiles 2.5 and 97.5 by
    ranks p (n + 1), as in CLSI EP28-A3c.
    """
    known = controls[np.isfinite(controls)]
    n = len(known)
    if n < MIN_CONTROLS:
        reason = f"{n} control donors with this feature; at least {MIN_CONTROLS} are needed"
        return ReferenceInterval(None, None, n, "parametric prediction interval", reason)
    if n >= MIN_NON_PARAMETRIC:
        low, high = np.quantile(known, [0.025, 0.975], method="weibull")
        return ReferenceInterval(float(low), float(high), n, "non-parametric percentiles")
    half = stats.t.ppf(0.975, n - 1) * known.std(ddof=1) * math.sqrt(1.0 + 1.0 / n)
    low, high = known.mean() - half, known.mean() + half
    top = math.inf if upper_bound is None else upper_bound
    return ReferenceInterval(
        max(0.0, float(low)), min(top, float(high)), n, "parametric prediction interval"
    )


def compare_single_case(value: float, controls: Float64s) -> SingleCase | None:
    """Test whether one case could come from the controls' population.

    Returns
    -------
    SingleCase | None
        None below five controls or where all controls are equal.

    References
    ----------
    Crawford & Howell (1998), doi:10.1076/clin.12.4.482.7241: t = (x - m) / (s sqrt((n + 1) / n)).
    Limits from the non-central t: Crawford, Garthwaite & Porter (2010),
    doi:10.1080/02643294.2010.513967.
    """
    known = controls[np.isfinite(controls)]
    n = len(known)
    if n < MIN_CONTROLS or float(np.ptp(known)) == 0.0:
        return None
    effect = float((value - known.mean()) / known.std(ddof=1))
    t = effect / math.sqrt((n + 1) / n)
    low, high = _effect_limits(effect, n)
    return SingleCase(
        t=t,
        degrees=n - 1,
        p_value=float(2.0 * stats.t.sf(abs(t), n - 1)),
        percent_below=float(100.0 * stats.t.cdf(t, n - 1)),
        percent_below_low=float(100.0 * stats.norm.cdf(low)),
        percent_below_high=float(100.0 * stats.norm.cdf(high)),
        effect=effect,
        effect_low=low,
        effect_high=high,
        n=n,
    )


def _effect_limits(effect: float, n: int) -> tuple[float, float]:
    """95 % limits of the population z: effect sqrt(n) follows a non-central t."""
    root = math.sqrt(n)
    # Bisection: scipy's nctdtrinc loses precision for large arguments, cdf does not.
    low = _noncentrality(effect * root, n - 1, 0.975) / root
    high = _noncentrality(effect * root, n - 1, 0.025) / root
    return low, high


def _noncentrality(t: float, degrees: int, probability: float) -> float:
    """Non-centrality at which P(T <= t) equals `probability`; the cdf falls with it."""
    low, high = t - 10.0 - 2.0 * abs(t), t + 10.0 + 2.0 * abs(t)
    for _ in range(80):
        middle = (low + high) / 2.0
        if stats.nct.cdf(t, degrees, middle) > probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2.0


def is_outside(value: float, interval: ReferenceInterval) -> Literal["above", "below", "within"]:
    """Side of the reference interval on which `value` lies."""
    if interval.low is None or interval.high is None:
        return "within"
    if value > interval.high:
        return "above"
    return "below" if value < interval.low else "within"


def measured_outside(measured: Measurement, interval: ReferenceInterval) -> bool:
    """True where the whole 95 % interval of the measurement lies outside the reference."""
    if measured.low is None or measured.high is None or interval.low is None:
        return False
    return measured.low > (interval.high or 0.0) or measured.high < interval.low
