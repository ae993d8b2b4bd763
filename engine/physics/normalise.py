"""Grey values brought to a common scale."""

import numpy as np

from engine.data.arrays import Float32s
from engine.errors import BadInputError

# A robust scale: half the distance between these percentiles is one sigma of a normal.
LOW_PERCENTILE, HIGH_PERCENTILE = 15.865525, 84.134475
MAX_SAMPLES = 2_000_000


def robust_centre_and_scale(voxels: Float32s) -> tuple[float, float]:
    """Median and robust sigma of a volume, from at most two million evenly spaced voxels.

    Gold and carbon reach tens of sigmas and would dominate a mean and variance.

    Raises
    ------
    BadInputError
        The volume is (nearly) constant.
    """
    step = max(1, voxels.size // MAX_SAMPLES)
    # An odd step cannot resonate with an even row length.
    sample = voxels.reshape(-1)[:: step | 1].astype(np.float64)
    low, centre, high = np.percentile(sample, [LOW_PERCENTILE, 50.0, HIGH_PERCENTILE])
    scale = (high - low) / 2.0
    if scale <= 0:
        scale = float(sample.std())
    if not scale > 0:
        raise BadInputError("the volume is constant: nothing can be seen in it")
    return float(centre), float(scale)
