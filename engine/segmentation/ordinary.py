"""How far a tomogram lies from what the networks were trained on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import kurtosis, skew

from engine.data.arrays import Float32s, Float64s

# Shells of the power spectrum, cycles a voxel of the coarse grid.
BANDS = ((0.02, 0.05), (0.05, 0.1), (0.1, 0.17), (0.17, 0.25), (0.25, 0.4))
# About the beam's axis: no tilt series up to 70 degrees measures anything there.
NEVER_MEASURED = np.tan(np.radians(18.0))
SHARE_LIMIT = 1e-3
ALLOWANCE = 1.25
# Of a large volume the middle is enough.
LARGEST = (128, 256, 256)
DESCRIPTORS = (
    "skewness", "kurtosis", "power_1", "power_2", "power_3", "power_4", "power_5", "wedge",
    "certainty", "entropy", "cell_share", "body_contrast",
)  # fmt: skip


def describe(image: Float32s, probabilities: Float32s, names: Sequence[str]) -> Float64s:
    """Numbers (`DESCRIPTORS`) that change when a tomogram is not what it is taken for.

    Parameters
    ----------
    image
        (z, y, x) on the coarse grid, centre and scale removed robustly.
    probabilities
        (c, z, y, x) of the coarse network, and the names of its classes.
    """
    # A network that was shown another sampling may have answered for a voxel more or less a side.
    both = [min(sizes) for sizes in zip(image.shape, probabilities.shape[1:], strict=True)]
    middle = tuple(
        slice((n - min(n, most)) // 2, (n + min(n, most)) // 2)
        for n, most in zip(both, LARGEST, strict=True)
    )
    probabilities = probabilities[(slice(None), *middle)]
    values = np.clip(image[middle], -8.0, 8.0).astype(np.float64)
    surest = probabilities.max(axis=0)
    entropy = -(probabilities * np.log(np.maximum(probabilities, 1e-6))).sum(axis=0)
    index = {name: number for number, name in enumerate(names)}
    cell = 1.0 - probabilities[index["void"]] - probabilities[index["artefact"]]
    bodies = probabilities[[index["mitochondrion"], index["alpha_granule"]]].sum(axis=0)
    cytoplasm = probabilities[index["background"]]
    share = float(np.clip(cell.mean(), SHARE_LIMIT, 1.0 - SHARE_LIMIT))
    return np.array(
        [
            skew(values, axis=None),
            np.log(kurtosis(values, axis=None, fisher=False)),
            *_power(values),
            np.log(1.0 - min(float(surest.mean()), 1.0 - 1e-4)),
            np.log(float(entropy.mean()) + 1e-4),
            np.log(share / (1.0 - share)),
            _weighted_mean(values, bodies) - _weighted_mean(values, cytoplasm),
        ]
    )


def _weighted_mean(values: Float64s, weights: Float32s) -> float:
    total = float(weights.sum())
    # A body of a few voxels says nothing: the mean is drawn to that of the volume, 0.
    return float((values * weights).sum() / (total + 500.0))


def _power(values: Float64s) -> Float64s:
    """Log shares of the bands in the power, and of what lies in the cone never measured."""
    power = np.abs(np.fft.rfftn(values - values.mean())) ** 2
    z = np.fft.fftfreq(values.shape[0])[:, None, None]
    y = np.fft.fftfreq(values.shape[1])[None, :, None]
    x = np.fft.rfftfreq(values.shape[2])[None, None, :]
    radius = np.sqrt(z**2 + y**2 + x**2)
    cone = (np.abs(x) < NEVER_MEASURED * np.abs(z)) & (np.abs(z) > 0)
    total = power[(radius >= BANDS[0][0]) & (radius < BANDS[-1][1])].mean()
    shares = []
    for low, high in BANDS:
        band = (radius >= low) & (radius < high) & ~cone
        shares.append(np.log(power[band].mean() / total) if band.any() else 0.0)
    middle = (radius >= BANDS[1][0]) & (radius < BANDS[3][1])
    inside, outside = power[middle & cone], power[middle & ~cone]
    wedge = np.log(inside.mean() / outside.mean()) if inside.size and outside.size else 0.0
    return np.array([*shares, wedge])


@dataclass(frozen=True)
class Ordinary:
    """Where descriptors of ordinary tomograms lie.

    Attributes
    ----------
    centre, whitening
        Mean (d,) and (d, d) matrix that makes their covariance one.
    limit
        Distance that fewer than one ordinary tomogram in a hundred exceeds.
    coarse_sha256
        Of the coarse network that the descriptors rest on.
    """

    centre: Float64s
    whitening: Float64s
    limit: float
    coarse_sha256: str

    def distance(self, description: Float64s) -> float:
        """Mahalanobis distance of a tomogram's descriptors."""
        return float(np.linalg.norm(self.whitening @ (description - self.centre)))


def fit_ordinary(descriptions: Float64s, coarse_sha256: str, shrinkage: float = 0.1) -> Ordinary:
    """Fit to descriptors (n, d) of ordinary tomograms.

    The covariance is drawn towards its diagonal; the limit is the 99th percentile of distances
    when each tomogram is left out in turn, and a quarter more: real fields have other sizes.
    """
    n = len(descriptions)
    left_out = [
        _fitted(np.delete(descriptions, index, axis=0), shrinkage).distance(descriptions[index])
        for index in range(n)
    ]
    whole = _fitted(descriptions, shrinkage)
    limit = ALLOWANCE * float(np.quantile(left_out, 0.99))
    return Ordinary(whole.centre, whole.whitening, limit, coarse_sha256)


def _fitted(descriptions: Float64s, shrinkage: float) -> Ordinary:
    centre = descriptions.mean(axis=0)
    covariance = np.cov(descriptions.T)
    covariance = (1.0 - shrinkage) * covariance + shrinkage * np.diag(np.diag(covariance))
    values, vectors = np.linalg.eigh(covariance)
    whitening = (vectors / np.sqrt(np.maximum(values, 1e-9))).T
    return Ordinary(centre, whitening, np.inf, "")
