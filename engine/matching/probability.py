"""From read-outs to the probability that a pick is what it is said to be."""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from engine.data.arrays import Float64s


@dataclass(frozen=True)
class Readouts:
    """What is known of each pick, each (n,).

    Attributes
    ----------
    expected_noise_picks
        Noise picks to be expected at or above its score in this tomogram.
    p_value
        Against scrambled templates.
    margin
        Sigmas above the best other template; NaN without one.
    peak_shape
        Correlation with the template's own peak.
    """

    expected_noise_picks: Float64s
    p_value: Float64s
    margin: Float64s
    peak_shape: Float64s


def probabilities(readouts: Readouts) -> Float64s:
    """Probability (n,) that each pick is a copy of its template."""
    noise = -np.log(readouts.expected_noise_picks.clip(1e-12, 1e6))
    identity = -np.log(readouts.p_value.clip(1e-9, 1.0))
    return np.asarray(expit(0.5 * noise + 0.3 * identity + np.nan_to_num(readouts.margin)))
