"""Do predicted probabilities mean what they say: recalibration by logistic regression."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq, minimize_scalar

from diagnostics.validation_metrics import (
    N_BINS,
    Figure,
    bootstrapped,
    brier,
    calibration_error,
)
from engine.data.arrays import Bools, Float64s

HALF_CHI2_95 = 1.9207294103470283
"""Half the 95 % point of chi-square with one degree of freedom."""

FEW_EVENTS = 100
"""Fewer donors in the smaller class leave the slope too uncertain for a calibration claim: Van
Calster et al. (2016), doi:10.1016/j.jclinepi.2015.12.005, ask for 200 for a flexible curve."""

LOG_ODDS_LIMIT = 30.0
SLOPE_LIMIT = 1e3


@dataclass(frozen=True)
class Calibration:
    """Four figures of calibration.

    Attributes
    ----------
    intercept
        Calibration in the large: log-odds to add so that the mean probability is right; ideal 0.
    slope
        Factor on the log-odds; ideal 1, below 1 for probabilities too extreme.
    brier, ece
        Mean squared error, and mean gap over ten bins.
    """

    intercept: Figure
    slope: Figure
    brier: Figure
    ece: Figure

    def to_json(self) -> dict[str, object]:
        """Return the JSON object of the command line."""
        return {name: figure.to_json() for name, figure in vars(self).items()}


def calibration(labels: Bools, probabilities: Float64s, *, rng: np.random.Generator) -> Calibration:
    """Measure the calibration of out-of-sample probabilities.

    References
    ----------
    Cox (1958), doi:10.2307/2333203; Van Calster et al. (2019), doi:10.1186/s12916-019-1466-7.
    """
    labels = np.asarray(labels, dtype=bool)
    tiny = 1.0 / (1.0 + math.exp(LOG_ODDS_LIMIT))
    clipped = np.clip(probabilities, tiny, 1 - tiny)
    log_odds = np.log(clipped / (1 - clipped))
    ece_name = f"expected calibration error, {N_BINS} bins of equal width"
    return Calibration(
        intercept=_in_the_large(labels, log_odds),
        slope=_slope(labels, log_odds),
        brier=bootstrapped(brier, labels, probabilities, "Brier score", rng=rng),
        ece=bootstrapped(calibration_error, labels, probabilities, ece_name, rng=rng),
    )


def _log_likelihood(labels: Bools, log_odds: Float64s) -> float:
    return float(np.sum(labels * log_odds - np.logaddexp(0.0, log_odds)))


def _best_intercept(labels: Bools, offsets: Float64s) -> float:
    """Maximum-likelihood intercept with the offsets fixed; both classes must be there."""
    share = float(np.mean(labels))

    def excess(intercept: float) -> float:
        shifted = np.clip(offsets + intercept, -700, 700)
        return float(np.mean(1.0 / (1.0 + np.exp(-shifted)))) - share

    reach = 50.0 + float(np.abs(offsets).max())
    return float(brentq(excess, -reach, reach, xtol=1e-10))


def _in_the_large(labels: Bools, log_odds: Float64s) -> Figure:
    best = _best_intercept(labels, log_odds)
    peak = _log_likelihood(labels, log_odds + best)

    def likelihood(intercept: float) -> float:
        return _log_likelihood(labels, log_odds + intercept) - peak + HALF_CHI2_95

    low, high = _profile_end(likelihood, best, -1.0), _profile_end(likelihood, best, 1.0)
    return Figure(best, low, high, "logistic recalibration, slope 1; profile likelihood")


def _slope(labels: Bools, log_odds: Float64s) -> Figure:
    fault = _slope_fault(labels, log_odds)
    if fault:
        return Figure(None, None, None, f"not estimable: {fault}")

    def profile(slope: float) -> float:
        offsets = slope * log_odds
        return _log_likelihood(labels, offsets + _best_intercept(labels, offsets))

    spread = float(np.std(log_odds))
    found = minimize_scalar(lambda scaled: -profile(scaled / spread), bracket=(0.0, 1.0), tol=1e-9)
    best, peak = float(found.x) / spread, -float(found.fun)

    def likelihood(slope: float) -> float:
        return profile(slope) - peak + HALF_CHI2_95

    low, high = _profile_end(likelihood, best, -1.0), _profile_end(likelihood, best, 1.0)
    return Figure(best, low, high, "logistic recalibration; profile likelihood")


def _slope_fault(labels: Bools, log_odds: Float64s) -> str | None:
    if np.std(log_odds) < 1e-9:
        return "all predicted probabilities are the same"
    positive, negative = log_odds[labels], log_odds[~labels]
    if positive.min() >= negative.max() or positive.max() <= negative.min():
        return "the predicted probabilities separate the classes perfectly"
    return None


def _profile_end(likelihood: Callable[[float], float], best: float, sign: float) -> float | None:
    """Where the profile falls by `HALF_CHI2_95`; None where it does not within reach."""
    step = 0.25
    while likelihood(best + sign * step) > 0:
        step *= 2
        if step > SLOPE_LIMIT:
            return None
    return float(brentq(likelihood, best, best + sign * step, xtol=1e-8))
