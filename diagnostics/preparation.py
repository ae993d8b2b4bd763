"""Filling and scaling features with what the training donors say, and nothing else."""

from dataclasses import dataclass

import numpy as np

from engine.data.arrays import Float64s
from engine.errors import BadInputError


@dataclass(frozen=True)
class Preparation:
    """Per feature: the value for an absent one, the centre and the scale.

    Attributes
    ----------
    fill
        Mean of the training donors that have the feature; equal to the centre, so that an
        absent value neither raises nor lowers the probability.
    scale
        Their standard deviation; 0 marks a feature without any (constant, absent, or a linear
        function of others where full rank is asked for): it is not used.
    """

    fill: tuple[float, ...]
    scale: tuple[float, ...]

    def apply(self, x: Float64s) -> Float64s:
        """Standardise (n, p); absent values and unused features become 0."""
        if x.ndim != 2 or x.shape[1] != len(self.fill):
            raise BadInputError(
                f"classifier: expected {len(self.fill)} features, found shape {x.shape}"
            )
        scale = np.array(self.scale)
        used = scale > 0
        centred = np.where(np.isnan(x), 0.0, x - np.array(self.fill))
        standardised: Float64s = np.where(used, centred / np.where(used, scale, 1.0), 0.0)
        return standardised


def prepare(x: Float64s, *, full_rank: bool = False) -> Preparation:
    """Learn a preparation from training donors (n, p), NaN = absent.

    Parameters
    ----------
    x
        Features.
    full_rank
        Leave out features that others determine, keeping the earlier ones.
    """
    present = ~np.isnan(x)
    counts = present.sum(axis=0)
    sums = np.where(present, x, 0.0).sum(axis=0)
    fill = np.where(counts > 0, sums / np.maximum(counts, 1), 0.0)
    centred = np.where(present, x - fill, 0.0)
    scale = np.sqrt((centred**2).sum(axis=0) / np.maximum(counts, 1))
    scale[scale <= 1e-10 * np.maximum(np.abs(fill), 1e-200)] = 0.0
    preparation = Preparation(tuple(fill.tolist()), tuple(scale.tolist()))
    if not full_rank:
        return preparation
    kept = _independent(preparation.apply(x))
    return Preparation(preparation.fill, tuple(np.where(kept, scale, 0.0).tolist()))


def _independent(x: Float64s) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    """Mark columns that with the constant and the columns before them stay independent."""
    n, p = x.shape
    kept = np.zeros(p, dtype=bool)
    basis = [np.full(n, 1.0 / np.sqrt(n))]
    for column in range(p):
        rest = x[:, column].copy()
        for vector in basis * 2:
            rest -= (rest @ vector) * vector
        length = float(np.linalg.norm(rest))
        if length > 1e-7 * np.sqrt(n) and len(basis) < n:
            kept[column] = True
            basis.append(rest / length)
    return kept
