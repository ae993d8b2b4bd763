"""What else could lie at a pick: other templates, and whether the peak has the right shape."""

from dataclasses import dataclass

import numpy as np

from engine.data.arrays import Float64s, Ints
from engine.matching.refinement import Refined, Refiner


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
    found: list[Candidates], refiners: list[Refiner], sigmas: list[float]
) -> list[Float64s]:
    """Sigmas by which each candidate's template beats the best other one at its place.

    Every other template is placed and turned at its best within a voxel of the candidate: the
    specificity read-out after Beck et al. (2009), doi:10.1038/nmeth.1369. Scores in units of
    their own sigma are comparable: for white noise that is the likelihood's square root.

    Returns
    -------
    list of Float64s
        As `found`; NaN where there is one template only.
    """
    margins = []
    for candidates in found:
        own = candidates.refined.scores / sigmas[candidates.template]
        best = np.full(len(own), np.nan)
        places = np.rint(candidates.refined.positions_vox).astype(np.int64)
        for number, refiner in enumerate(refiners):
            if number == candidates.template or not len(places):
                continue
            others = refiner.refine(places).scores / sigmas[number]
            best = np.fmax(best, others)
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
