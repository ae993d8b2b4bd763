"""Sign of a tomogram's contrast, which no header records."""

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage, special

from engine.data.arrays import Float32s, Float64s
from engine.data.tomogram import Contrast

# Below this the estimate is used but flagged.
SURE = 0.9


@dataclass(frozen=True)
class ContrastEstimate:
    """Estimated sign and the probability that it is right, in [0.5, 1]."""

    contrast: Contrast
    confidence: float

    @property
    def is_sure(self) -> bool:
        """Whether the estimate needs no warning."""
        return self.confidence >= SURE


def estimate_contrast(volume: Float32s) -> ContrastEstimate:
    """Estimate whether dense matter is dark or bright.

    Protein, membranes and gold fill a small part of the volume and differ from the solvent much
    more than the solvent differs from itself: after gentle smoothing and removal of the local mean
    the intensities have one heavy tail, on the side of the dense matter. The estimate is the sign
    of their skewness; its confidence comes from the spread of the skewness over blocks.

    Parameters
    ----------
    volume
        Finite and not constant, sampled at 2 to 4 nm where possible (see `VolumeSummary`).

    Returns
    -------
    ContrastEstimate
        Confidence 0.5 where the intensities are symmetric or the volume is too small to tell.

    References
    ----------
    Own method. Departure from the plain third moment: values beyond `TAIL_LIMIT` standard
    deviations count as that much, so that one gold bead does not outvote the specimen.
    """
    detail = _detail(volume)
    cubes = _limited_cubes(detail)
    skewness = float(cubes.mean(dtype=np.float64))
    blocks = _block_means(cubes)
    spread = float(blocks.std(ddof=1)) / math.sqrt(len(blocks)) if len(blocks) > 1 else math.inf
    contrast: Contrast = "bright" if skewness > 0 else "dark"
    if skewness == 0 or spread == 0:
        return ContrastEstimate(contrast, 0.5 if skewness == 0 else 1.0)
    return ContrastEstimate(contrast, float(special.ndtr(abs(skewness) / spread)))


SMOOTHING_VOX = 1.5
LOCAL_MEAN_VOX = 8.0
TAIL_LIMIT = 6.0
BLOCKS_A_SIDE = 4


def _detail(volume: Float32s) -> Float32s:
    """Smoothed volume less its local mean; a thin axis is smoothed within itself."""
    smooth = ndimage.gaussian_filter(volume, SMOOTHING_VOX, mode="nearest")
    smooth -= ndimage.gaussian_filter(volume, LOCAL_MEAN_VOX, mode="nearest")
    return np.asarray(smooth, dtype=np.float32)


def _limited_cubes(detail: Float32s) -> Float32s:
    centred = detail - np.float32(detail.mean(dtype=np.float64))
    scale = float(centred.std(dtype=np.float64))
    if scale == 0:
        return np.zeros_like(detail)
    centred /= np.float32(scale)
    np.clip(centred, -TAIL_LIMIT, TAIL_LIMIT, out=centred)
    return np.asarray(centred**3, dtype=np.float32)


def _block_means(cubes: Float32s) -> Float64s:
    """Means over a grid of up to 4 x 4 x 4 blocks."""
    means = [
        block.mean(dtype=np.float64)
        for plane in np.array_split(cubes, min(BLOCKS_A_SIDE, cubes.shape[0]), axis=0)
        for row in np.array_split(plane, min(BLOCKS_A_SIDE, cubes.shape[1]), axis=1)
        for block in np.array_split(row, min(BLOCKS_A_SIDE, cubes.shape[2]), axis=2)
    ]
    return np.array(means, dtype=np.float64)
