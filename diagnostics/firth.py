"""Firth's penalised logistic regression, for one labelling or for many at once."""

from dataclasses import dataclass

import numpy as np

from engine.data.arrays import Bools, Float64s

MAX_STEPS = 60
TOLERANCE = 1e-7
MAX_STEP = 5.0


def firth_fits(x: Float64s, labels: Bools) -> tuple[Float64s, Float64s]:
    """Fit one penalised regression per labelling, with the intercept of FLIC.

    Parameters
    ----------
    x
        (n, p), finite, standardised, of full column rank.
    labels
        (b, n), True = positive.

    Returns
    -------
    weights, intercepts
        (b, p) and (b,), as `discriminants` gives them. Zero for a labelling with one class only.

    References
    ----------
    Firth (1993), doi:10.1093/biomet/80.1.27; Heinze and Schemper (2002), doi:10.1002/sim.1047;
    the intercept refitted so that the mean probability is the observed share (FLIC): Puhr et
    al. (2017), doi:10.1002/sim.7273. The tests hold it against the package firthmodels and
    published coefficients; it is our own because a permutation test needs tens of thousands of
    fits, and because separated classes must not end in a failed line search.
    """
    b, n = labels.shape
    design = _Design.of(np.column_stack([np.ones(n), x]))
    observed = labels.astype(np.float64)
    coefficients = np.zeros((b, design.rows.shape[1]))
    best = _penalised(design, observed, coefficients)
    active: Bools = np.ones(b, dtype=np.bool_)
    for _ in range(MAX_STEPS):
        rows = np.flatnonzero(active)
        if not len(rows):
            break
        step = _newton_step(design, observed[rows], coefficients[rows])
        moved, value, used = _line_search(
            design, observed[rows], coefficients[rows], best[rows], step
        )
        coefficients[rows], best[rows] = moved, value
        active[rows] = np.max(np.abs(used), axis=1) > TOLERANCE
    usable: Bools = np.asarray(labels.any(axis=1) & ~labels.all(axis=1))
    weights = np.where(usable[:, None], coefficients[:, 1:], 0.0)
    intercepts = refit_intercepts(weights @ x.T, observed, coefficients[:, 0])
    return weights, np.where(usable, intercepts, 0.0)


def refit_intercepts(offsets: Float64s, observed: Float64s, start: Float64s) -> Float64s:
    """Maximum-likelihood intercepts with the rest of the log-odds fixed; (b, n) in, (b,) out.

    Newton's steps, kept between bounds that close in: the mean probability rises with the
    intercept, whatever the offsets.
    """
    share = observed.mean(axis=1)
    intercept = start.copy()
    low, high = start - 50.0, start + 50.0
    for _ in range(100):
        probability = _expit(offsets + intercept[:, None])
        excess = probability.mean(axis=1) - share
        if np.abs(excess).max(initial=0.0) < 1e-13:
            break
        low = np.where(excess < 0, intercept, low)
        high = np.where(excess > 0, intercept, high)
        slope = np.maximum((probability * (1 - probability)).mean(axis=1), 1e-300)
        proposed = intercept - excess / slope
        inside = (proposed > low) & (proposed < high)
        intercept = np.where(inside, proposed, 0.5 * (low + high))
    return intercept


def _expit(log_odds: Float64s) -> Float64s:
    probability: Float64s = 1.0 / (1.0 + np.exp(-np.clip(log_odds, -500, 500)))
    return probability


@dataclass(frozen=True)
class _Design:
    """Rows (n, q) and their outer products (n, q * q): sums over rows become matrix products."""

    rows: Float64s
    squares: Float64s

    @classmethod
    def of(cls, rows: Float64s) -> "_Design":
        outer = rows[:, :, None] * rows[:, None, :]
        return cls(rows, outer.reshape(len(rows), -1))

    def information(self, spread: Float64s) -> Float64s:
        """Fisher information (b, q, q) for p (1 - p) of shape (b, n)."""
        q = self.rows.shape[1]
        return (spread @ self.squares).reshape(-1, q, q)


def _spread(design: _Design, coefficients: Float64s) -> tuple[Float64s, Float64s]:
    probability = _expit(coefficients @ design.rows.T)
    return probability, probability * (1 - probability)


def _penalised(design: _Design, observed: Float64s, coefficients: Float64s) -> Float64s:
    """Log likelihood plus half the log determinant of the information."""
    log_odds = coefficients @ design.rows.T
    likelihood = (observed * log_odds - np.logaddexp(0.0, log_odds)).sum(axis=1)
    information = design.information(_spread(design, coefficients)[1])
    penalised: Float64s = likelihood + 0.5 * np.linalg.slogdet(information)[1]
    return penalised


def _newton_step(design: _Design, observed: Float64s, coefficients: Float64s) -> Float64s:
    probability, spread = _spread(design, coefficients)
    information = design.information(spread)
    ridge = 1e-12 * np.trace(information, axis1=1, axis2=2)
    inverse = np.linalg.inv(information + ridge[:, None, None] * np.eye(information.shape[1]))
    leverage = spread * (inverse.reshape(len(inverse), -1) @ design.squares.T)
    score = (observed - probability + leverage * (0.5 - probability)) @ design.rows
    step = np.einsum("bpq,bq->bp", inverse, score)
    largest = np.abs(step).max(axis=1)
    limited: Float64s = step * np.minimum(1.0, MAX_STEP / np.maximum(largest, 1e-300))[:, None]
    return limited


def _line_search(
    design: _Design, observed: Float64s, start: Float64s, value: Float64s, step: Float64s
) -> tuple[Float64s, Float64s, Float64s]:
    """Halve each step until the penalised likelihood does not fall."""
    for _ in range(25):
        moved = start + step
        reached = _penalised(design, observed, moved)
        worse = ~(reached >= value - 1e-10)
        if not worse.any():
            break
        step = np.where(worse[:, None], 0.5 * step, step)
    keep = (reached >= value - 1e-10)[:, None]
    return np.where(keep, moved, start), np.where(keep[:, 0], reached, value), step * keep
