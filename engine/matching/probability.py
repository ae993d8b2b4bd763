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
# simulated chains of 8 to 12 voxels radius, SNR 0.004 to 0.1, decoys of equal size.
# The peak's shape tells nothing in them: they hold no membranes, gold or edges.
ALONE = (-2.4614, 0.1346, 0.444, 0.0, -0.0274)
WITH_RIVALS = (-1.9511, 0.2973, 0.1697, 0.0, -0.0373, 1.2711)
# Beyond these a read-out says no more than that it is extreme.
LEAST_EXPECTED, MOST_EXPECTED = 1e-8, 1e3
LEAST_P = 1e-4
MOST_MARGIN = 4.0


@dataclass(frozen=True)
class Readouts:
    """What is known of each pick, each (n,).

    Attributes
    ----------
    expected_noise_picks
        Noise picks to be expected at or above its score in this tomogram.
    p_value, q_value
        Against null structures, and the same over all picks of the template in this tomogram.
    margin
        Sigmas above the best other template; NaN without one.
    peak_shape
        Correlation with the template's own peak.
    """

    expected_noise_picks: Float64s
    p_value: Float64s
    q_value: Float64s
    margin: Float64s
    peak_shape: Float64s


def design_columns(readouts: Readouts) -> Float64s:
    """Columns (n, 5) of the logistic model: logarithms, peak shape, bounded margin or NaN."""
    return np.stack(
        [
            -np.log(readouts.expected_noise_picks.clip(LEAST_EXPECTED, MOST_EXPECTED)),
            -np.log(readouts.p_value.clip(LEAST_P, 1.0)),
            -np.log(readouts.q_value.clip(LEAST_P, 1.0)),
            readouts.peak_shape,
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
