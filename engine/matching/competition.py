"""What else could lie at a pick: other templates, and whether the peak has the right shape."""

from dataclasses import dataclass

import numpy as np

from engine.data.arrays import Float32s, Float64s, Ints
from engine.matching.refinement import Refined, Refiner

N_RIVALS = 2
NEAR_VOX = 2


@dataclass(frozen=True)
class Candidates:
    """Candidates of one template.

    Attributes
    ----------
    template
        Its number.
    positions_vox, scan_scores
        int (n, 3) and float64 (n,): where the scan found them and its score.
    refined
        After refinement.
    """

    template: int
    positions_vox: Ints
    scan_scores: Float64s
    refined: Refined


def rivals_at(
    found: list[Candidates], refiners: list[Refiner], sigmas: list[float], scores: Float32s
) -> list[Float64s]:
    """Sigmas by which each candidate's template beats the best other one at its place.

    The two other templates that the scan scores best there are placed and turned at their best:
    the specificity read-out after Beck et al. (2009), doi:10.1038/nmeth.1369. Scores in units of
    their own sigma are comparable: for white noise that is the likelihood's square root.

    Parameters
    ----------
    sigmas
        Comparable ones, one a template.
    scores
        (n_templates, z, y, x).

    Returns
    -------
    list of Float64s
        As `found`; NaN where there is one template only.
    """
    margins = []
    for candidates in found:
        own = candidates.refined.scores / sigmas[candidates.template]
        best = np.full(len(own), np.nan)
        for index, place in enumerate(candidates.positions_vox):
            box = tuple(slice(max(0, c - NEAR_VOX), c + NEAR_VOX + 1) for c in place)
            near = scores[(slice(None), *box)].reshape(len(scores), -1).max(axis=1)
            order = np.argsort(-near / np.array(sigmas))
            others = [int(n) for n in order if n != candidates.template][:N_RIVALS]
            for number in others:
                middle = np.rint(candidates.refined.positions_vox[index]).astype(np.int64)
                refined = refiners[number].refine(middle[None])
                best[index] = np.fmax(best[index], refined.scores[0] / sigmas[number])
        margins.append(own - best)
    return margins


def shape_agreement(refiner: Refiner, candidates: Candidates) -> Float64s:
    """Correlation of the scores around each candidate with the template's own peak, (n,).

    The third read-out after Beck et al. (2009): membranes, gold and edges score, but not with
    the template's autocorrelation around them.
    """
    places = np.rint(candidates.refined.positions_vox).astype(np.int64)
    return np.array(
        [
            refiner.peak_shape(place, candidates.refined.rotations[index])
            for index, place in enumerate(places)
        ]
    )
