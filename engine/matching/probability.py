"""From read-outs to the probability that a pick is what it is said to be.

A logistic model of the read-outs after Beck et al. (2009), doi:10.1038/nmeth.1369, and Förster,
Han & Beck (2010), doi:10.1016/S0076-6879(10)83011-3: score against noise, specificity, peak shape.
Their texts were not at hand; the combination and its weights are ours.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from engine.data.arrays import Float64s

# Intercept and weights of the design's columns, from `python -m app.bench.matching_calibration`:
# 5,158 picks, 13 % of them right, of 96 scenes with simulated chains of 8 to 12 voxels radius, SNR
# 0.01 to 0.3, other structures of equal size, filaments, membranes and gold beads. q says nothing
# beyond p there; in cross-validation over scenes the probabilities are off by 0.01 on average.
ALONE = (-7.0904, 0.2438, 0.3896, 1.4067, 1.5498)
WITH_RIVALS = (-8.1162, 0.2891, 0.5952, 1.4309, 1.6953, 0.5212)
# Beyond these a read-out says no more than that it is extreme.
# A wall or a bead is no more noise than a copy is: being no noise counts once.
LEAST_EXPECTED, MOST_EXPECTED = 0.1, 1e3
LEAST_P = 1e-4
LEAST_DISAGREEMENT = 0.005
MOST_MARGIN = 4.0
EXPLAINED = (0.02, 2.0)


@dataclass(frozen=True)
class Readouts:
    """What is known of each pick, each (n,).

    Attributes
    ----------
    expected_noise_picks
        Noise picks to be expected at or above its score in this tomogram.
    p_value
        Against null structures.
    peak_shape
        Correlation with the template's own peak.
    explained_share
        Of the variance beyond noise in its place.
    margin
        Sigmas above the best other template; NaN without one.
    """

    expected_noise_picks: Float64s
    p_value: Float64s
    peak_shape: Float64s
    explained_share: Float64s
    margin: Float64s


def design_columns(readouts: Readouts) -> Float64s:
    """Columns (n, 5) of the logistic model; the last is NaN where there is no margin."""
    return np.stack(
        [
            -np.log(readouts.expected_noise_picks.clip(LEAST_EXPECTED, MOST_EXPECTED)),
            -np.log(readouts.p_value.clip(LEAST_P, 1.0)),
            -np.log((1.0 - readouts.peak_shape).clip(LEAST_DISAGREEMENT, None)),
            np.log(readouts.explained_share.clip(*EXPLAINED)),
            readouts.margin.clip(-MOST_MARGIN, MOST_MARGIN),
        ],
        axis=1,
    )


def probabilities(readouts: Readouts) -> Float64s:
    """Probability (n,) that each pick is a copy of its template."""
    columns = design_columns(readouts)
    alone = ALONE[0] + columns[:, :-1] @ np.array(ALONE[1:])
    among = WITH_RIVALS[0] + np.nan_to_num(columns) @ np.array(WITH_RIVALS[1:])
    return np.asarray(expit(np.where(np.isnan(readouts.margin), alone, among)))
