"""Linear discriminant analysis, for one labelling or for many at once."""

import numpy as np

from engine.data.arrays import Bools, Float64s

SHRINK_BELOW_ROWS_PER_FEATURE = 5
"""With fewer training donors per feature the pooled covariance is shrunk: its inverse is then
dominated by its smallest, worst known eigenvalues (two features: below ten donors)."""

RELATIVE_RIDGE = 1e-8
"""Keeps features that repeat each other solvable; far below what two decimals could show."""


def discriminants(
    x: Float64s, labels: Bools, prior: float | None = None
) -> tuple[Float64s, Float64s]:
    """Fit one discriminant per labelling.

    Parameters
    ----------
    x
        (n, p), finite, standardised.
    labels
        (b, n), True = positive.
    prior
        Probability of the positive class; None takes its share in each labelling.

    Returns
    -------
    weights, intercepts
        (b, p) and (b,): log-odds are `x @ weights + intercept`. Zero for a labelling with one
        class only.

    References
    ----------
    Fisher (1936), doi:10.1111/j.1469-1809.1936.tb02137.x; pooled covariance with n - 2 in the
    denominator. Shrinkage to a multiple of the identity by Ledoit and Wolf (2004),
    doi:10.1016/S0047-259X(03)00096-4, below `SHRINK_BELOW_ROWS_PER_FEATURE`.
    """
    n, p = x.shape
    positive = labels.astype(np.float64)
    n_positive = positive.sum(axis=1)
    n_negative = n - n_positive
    usable = (n_positive > 0) & (n_negative > 0)
    mean_positive = positive @ x / np.maximum(n_positive, 1)[:, None]
    mean_negative = (1 - positive) @ x / np.maximum(n_negative, 1)[:, None]
    covariance = _pooled(x, n_positive, n_negative, mean_positive, mean_negative)
    if n < SHRINK_BELOW_ROWS_PER_FEATURE * p:
        covariance = _shrunk(covariance, x, labels, mean_positive, mean_negative)
    size = np.trace(covariance, axis1=1, axis2=2) / max(p, 1)
    covariance += (RELATIVE_RIDGE * size + 1e-12)[:, None, None] * np.eye(p)
    difference = mean_positive - mean_negative
    weights = np.linalg.solve(covariance, difference[:, :, None])[:, :, 0]
    middle = 0.5 * (mean_positive + mean_negative)
    share = np.clip(n_positive / n, 0.5 / n, 1 - 0.5 / n)
    chance = share if prior is None else np.full(len(labels), prior)
    intercepts = np.log(chance / (1 - chance)) - np.einsum("bp,bp->b", middle, weights)
    weights = np.where(usable[:, None], weights, 0.0)
    return weights, np.where(usable, intercepts, 0.0)


def _pooled(
    x: Float64s,
    n_positive: Float64s,
    n_negative: Float64s,
    mean_positive: Float64s,
    mean_negative: Float64s,
) -> Float64s:
    """Within-class covariance (b, p, p): the total scatter less that of the class means."""
    n = len(x)
    between = np.einsum("b,bp,bq->bpq", n_positive, mean_positive, mean_positive)
    between += np.einsum("b,bp,bq->bpq", n_negative, mean_negative, mean_negative)
    scatter: Float64s = (x.T @ x)[None] - between
    return scatter / max(n - 2, 1)


def _shrunk(
    covariance: Float64s,
    x: Float64s,
    labels: Bools,
    mean_positive: Float64s,
    mean_negative: Float64s,
) -> Float64s:
    """Ledoit-Wolf shrinkage of each covariance, from the residuals about the class means."""
    n, p = x.shape
    degrees = max(n - 2, 1)
    own_mean = np.where(labels[:, :, None], mean_positive[:, None], mean_negative[:, None])
    squares = ((x[None] - own_mean) ** 2).sum(axis=2)
    size = np.trace(covariance, axis1=1, axis2=2) / p
    target = size[:, None, None] * np.eye(p)
    distance = ((covariance - target) ** 2).sum(axis=(1, 2)) / p
    norm = (covariance**2).sum(axis=(1, 2))
    noise = ((squares**2).sum(axis=1) / degrees - norm) / degrees / p
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = np.where(distance > 0, np.clip(noise / distance, 0.0, 1.0), 1.0)
    shrunk: Float64s = (1 - weight)[:, None, None] * covariance + weight[:, None, None] * target
    return shrunk
