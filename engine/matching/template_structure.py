"""Where the structure lies in the map of a template: background, sign, region, extent.

Nothing about such a map is known beforehand: its box may be tight or roomy, its background offset
or noisy, protein bright or dark, or sharpened until its mean vanishes. So the region is found from
the local *power* about the background, which no sign changes, and the sign from what the region
holds.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from engine.data.arrays import Bools, Float32s, Float64s, read_only
from engine.data.tomogram import Contrast

MASS_SHARE = 0.99
# Voxels; joins the pieces of a sharpened map, averages noise over about 150 voxels.
POWER_SMOOTHING_VOX = 1.5
# Of the local power: well above its scatter in the background, and 14 % of the typical amplitude.
POWER_SIGMAS, POWER_SHARE = 5.0, 0.02
# The strongest place of white noise alone reaches 8 to 10 in a million voxels (measured).
PEAK_SIGMAS = 12.0
# Smaller pieces are dust.
PIECE_SHARE = 0.05
# Of the density: what counts as structure within the region.
DENSITY_SIGMAS, DENSITY_SHARE = 3.0, 0.25
# Voxels; lowers white noise by a factor of 7.
DENSITY_SMOOTHING_VOX = 1.0
# Skewness about the background; a solid density has one beyond 1, a sharpened one between.
CLEARLY_DARK = -0.1
MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True)
class Structure:
    """What stands out of the background of a map.

    Attributes
    ----------
    background
        Value of the surroundings, in the units of the map.
    noise
        Standard deviation of the surroundings.
    skewness
        Third moment about the background over the 3/2 power of the second, within the region.
    contrast
        Sign of the structure against the background.
    density
        float32, shape of the map: value above the background, the structure positive.
    measured
        The density as its extent is measured: smoothed by a voxel where noise calls for it.
    threshold
        Of `measured`: above it lies structure.
    region
        True in and closely around the structure; dust and neighbours are left out. All of the
        box's inner sphere where nothing stands out.
    stands_out
        Whether anything does.
    """

    background: float
    noise: float
    skewness: float
    contrast: Contrast
    density: Float32s
    measured: Float32s
    threshold: float
    region: Bools
    stands_out: bool

    @property
    def mass(self) -> Float64s:
        """Density above the threshold within the region, 0 elsewhere; continuous in the density."""
        above = np.where(self.region, self.measured.astype(np.float64) - self.threshold, 0.0)
        return np.maximum(above, 0.0)

    def mass_centre_vox(self) -> Float64s:
        """Centre of mass (3,), (z, y, x) indices; the middle of the box where there is none."""
        mass = self.mass
        total = float(mass.sum())
        if total <= 0:
            return np.array([n // 2 for n in mass.shape], dtype=np.float64)
        moments: list[float] = [
            (mass.sum(axis=tuple(a for a in range(3) if a != axis)) @ np.arange(n)) / total
            for axis, n in enumerate(mass.shape)
        ]
        return np.array(moments)

    def radius_vox(self, centre_vox: Float64s | None = None) -> float:
        """Radius of the sphere that holds 99 % of the density above the threshold.

        Parameters
        ----------
        centre_vox
            (z, y, x) indices; by default voxel `n // 2`.
        """
        shape = self.density.shape
        middle = np.array([n // 2 for n in shape]) if centre_vox is None else centre_vox
        inside = self.mass > 0
        if not inside.any():
            return float(min(shape) - 1) / 2
        weight = self.measured[inside].astype(np.float64)
        distance = np.sqrt(((np.argwhere(inside) - middle) ** 2).sum(axis=1))
        order = np.argsort(distance, kind="stable")
        held = np.cumsum(weight[order])
        radius = float(np.interp(MASS_SHARE * held[-1], held, distance[order]))
        return max(radius, 0.5)


def find_structure(voxels: Float32s, contrast: Contrast | None = None) -> Structure:
    """Find what stands out of a map's background.

    Parameters
    ----------
    voxels
        Finite (z, y, x), the structure near the middle.
    contrast
        Sign of the structure; by default from the skewness, bright unless clearly dark.

    References
    ----------
    Own method, described at the top of this file.
    """
    corners = _corners(voxels.shape)
    background = float(np.median(voxels[corners]))
    density = (voxels.astype(np.float64) - background).astype(np.float32)
    noise = MAD_TO_SIGMA * float(np.median(np.abs(density[corners])))
    region, stands_out = _region(density, corners)
    skewness = _skewness(density[region].astype(np.float64))
    taken: Contrast = contrast or ("dark" if skewness < CLEARLY_DARK else "bright")
    if taken == "dark":
        density = -density
    measured, threshold = _measured(density, region, corners, noise)
    return Structure(
        background=background,
        noise=noise,
        skewness=skewness,
        contrast=taken,
        density=read_only(density),
        measured=read_only(measured),
        threshold=threshold,
        region=read_only(region),
        stands_out=stands_out,
    )


def _measured(
    density: Float32s, region: Bools, corners: Bools, noise: float
) -> tuple[Float32s, float]:
    """The density to measure extents on, and the value above which it is structure."""
    level = DENSITY_SHARE * _typical(density[region])
    if level >= DENSITY_SIGMAS * noise:
        return density, level
    smooth = np.asarray(ndimage.gaussian_filter(density, DENSITY_SMOOTHING_VOX), dtype=np.float32)
    noise = MAD_TO_SIGMA * float(np.median(np.abs(smooth[corners])))
    return smooth, max(DENSITY_SIGMAS * noise, DENSITY_SHARE * _typical(smooth[region]))


def _typical(values: Float32s) -> float:
    """Mean of the positive values, weighted by themselves."""
    positive = np.maximum(values, 0.0).astype(np.float64)
    total = float(positive.sum())
    return float((positive**2).sum()) / total if total > 0 else 0.0


def _skewness(values: Float64s) -> float:
    """About 0, not about the mean."""
    power = float(np.mean(values**2)) if values.size else 0.0
    if power <= 0:
        return 0.0
    return float(np.mean(values**3)) / (power * math.sqrt(power))


def _relative_radius(shape: tuple[int, ...]) -> Float64s:
    """Distance from the middle; 1 on the ellipsoid that touches the faces."""
    axes = [(np.arange(n) - n // 2) / max(0.5, n / 2) for n in shape]
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    return np.asarray(np.sqrt(z**2 + y**2 + x**2))


def _corners(shape: tuple[int, ...]) -> Bools:
    """The 48 % of a box outside the ellipsoid that touches its faces."""
    return np.asarray(_relative_radius(shape) > 1.0)


def _region(density: Float32s, corners: Bools) -> tuple[Bools, bool]:
    """Where local power stands out, dust and neighbours dropped; and whether it does anywhere."""
    power = ndimage.gaussian_filter(
        np.square(density, dtype=np.float64), POWER_SMOOTHING_VOX, mode="reflect"
    )
    level = float(np.median(power[corners]))
    scatter = MAD_TO_SIGMA * float(np.median(np.abs(power[corners] - level)))
    excess = np.maximum(power - level - POWER_SIGMAS * scatter, 0.0)
    total = float(excess.sum())
    if total <= 0 or not float(excess.max()) > (PEAK_SIGMAS - POWER_SIGMAS) * scatter:
        return ~corners, False
    typical = float((excess**2).sum()) / total
    return _main_pieces(excess, excess > POWER_SHARE * typical), True


def _main_pieces(excess: Float64s, region: Bools) -> Bools:
    """The piece that is strong and central, and those of some size that lie among it."""
    pieces, n_pieces = ndimage.label(region, structure=np.ones((3, 3, 3)))
    if n_pieces == 1:
        return region
    ids = np.arange(1, n_pieces + 1)
    strength = np.asarray(ndimage.sum_labels(excess, pieces, ids))
    radius = _relative_radius(region.shape)
    central = np.asarray(ndimage.sum_labels(excess * np.exp(-4.0 * radius**2), pieces, ids))
    main = int(np.argmax(central))
    reach = float(radius[pieces == ids[main]].max())
    middle = np.asarray(ndimage.mean(radius, pieces, ids))
    kept = (strength >= PIECE_SHARE * strength[main]) & (middle <= reach)
    kept[main] = True
    return np.asarray(np.concatenate(([False], kept))[pieces])
