"""Copies per volume, with an interval and what could have been missed."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaincinv

from engine.data.arrays import Float64s


@dataclass(frozen=True)
class Abundance:
    """Copies of one template in the searched volume.

    Attributes
    ----------
    copies
        Sum of the picks' probabilities.
    per_um3, low_per_um3, high_per_um3
        With a 95 % interval for counting and for the picks' doubt.
    detection_limit_per_um3
        Abundance at which 95 of 100 such volumes hold a copy at all.
    volume_um3
        Searched.
    """

    copies: float
    per_um3: float
    low_per_um3: float
    high_per_um3: float
    detection_limit_per_um3: float
    volume_um3: float


def abundance(probability: Float64s, n_searched_vox: int, voxel_size_angst: float) -> Abundance:
    """Abundance from picks' probabilities in so many voxels; as `abundance_in`."""
    return abundance_in(probability, n_searched_vox * (voxel_size_angst * 1e-4) ** 3)


def abundance_in(probability: Float64s, volume_um3: float) -> Abundance:
    """Abundance from picks' probabilities.

    The interval is that of a Poisson mean (Garwood 1936, doi:10.1093/biomet/28.3-4.437) with the
    variance of the picks' doubt added: a gamma distribution with the summed variance.
    """
    copies = float(probability.sum())
    doubt = float((probability * (1.0 - probability)).sum())
    low = high = 0.0
    if copies > 0:
        spread = (copies + doubt) / copies
        low = float(gammaincinv(copies / spread, 0.025)) * spread
        high = float(gammaincinv(copies / spread + 1.0, 0.975)) * spread
    else:
        high = -math.log(0.025)
    return Abundance(
        copies=copies,
        per_um3=copies / volume_um3,
        low_per_um3=0.0 if np.isnan(low) else low / volume_um3,
        high_per_um3=high / volume_um3,
        detection_limit_per_um3=-math.log(0.05) / volume_um3,
        volume_um3=volume_um3,
    )
