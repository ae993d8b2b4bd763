"""Cross-section of a traced tube: how wide it is, wall to wall."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import map_coordinates

from engine.data.arrays import Float64s
from engine.data.filaments import Filament
from engine.data.tomogram import Tomogram

WIDEST_NM, STEP_NM = 24.0, 0.25
# Walls are looked for between these distances from the axis.
WALL_RANGE_NM = (5.0, 18.0)
ALONG_NM = 4.0
# Ends may bend or fade.
END_SHARE = 0.05


@dataclass(frozen=True)
class TubeProfile:
    """Mean density across a tube, in the plane of the sections.

    Attributes
    ----------
    offset_nm, density
        (n,) from one side to the other.
    diameter_nm
        Distance of the two walls, middle to middle.
    """

    offset_nm: Float64s
    density: Float64s
    diameter_nm: float


def tube_profile(tomogram: Tomogram, filament: Filament) -> TubeProfile:
    """Average the density along a tube, across it in the sections' plane.

    Along the beam the missing wedge blurs the walls; in the plane they are sharp. Each wall is the
    highest point of its side, refined by a parabola.
    """
    nodes = filament.points_angst / 10.0
    steps = np.linalg.norm(np.diff(nodes, axis=0), axis=1)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    inner = (1.0 - 2.0 * END_SHARE) * along[-1]
    wanted = END_SHARE * along[-1] + np.linspace(0.0, inner, max(3, int(inner / ALONG_NM)))
    points = np.stack([np.interp(wanted, along, nodes[:, axis]) for axis in range(3)], axis=1)
    slope = np.gradient(points, axis=0)
    across = np.stack([np.zeros(len(slope)), slope[:, 2], -slope[:, 1]], axis=1)
    across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-12)
    offset_nm = np.arange(-WIDEST_NM, WIDEST_NM + STEP_NM / 2, STEP_NM)
    places = points[:, None] + offset_nm[None, :, None] * across[:, None]
    index = np.moveaxis(places, -1, 0) * (10.0 / tomogram.voxel_size_angst)
    sampled = map_coordinates(tomogram.voxels, index, order=3, mode="nearest", output=np.float64)
    density = sampled.mean(axis=0)
    right, left = _wall_nm(offset_nm, density), _wall_nm(-offset_nm[::-1], density[::-1])
    return TubeProfile(offset_nm, density, right + left)


def _wall_nm(offset_nm: Float64s, density: Float64s) -> float:
    """Distance of the wall on the positive side."""
    side = np.flatnonzero((offset_nm >= WALL_RANGE_NM[0]) & (offset_nm <= WALL_RANGE_NM[1]))
    top = int(side[np.argmax(density[side])])
    before, here, after = density[top - 1 : top + 2]
    curve = before - 2.0 * here + after
    shift = 0.5 * (before - after) / curve if curve < 0 else 0.0
    return float(offset_nm[top] + np.clip(shift, -1.0, 1.0) * STEP_NM)
