"""Microtubules along the rim of a flat cell: how many turns, and how much of the rim has any."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage.measure import find_contours

from engine.data.arrays import Bools, Float64s
from engine.data.filaments import Filament
from engine.segmentation.filament_shape import chords

# The band lies this near to the membrane, and runs along it within this angle.
BAND_DEPTH_NM, BAND_ANGLE_DEG = 150.0, 30.0
RIM_STEP_NM = 25.0
# Less of a rim in view says nothing about a band.
SHORTEST_RIM_NM = 300.0
SMOOTHING_NM = 25.0


@dataclass(frozen=True)
class MarginalBand:
    """The rim in view and the microtubules along it.

    Attributes
    ----------
    rim_nm
        Length of rim in view.
    crossings
        (n,) microtubules that run along the rim at places 25 nm apart.
    """

    rim_nm: float
    crossings: Float64s

    @property
    def turns(self) -> float:
        """Mean number of microtubules in a cross-section of the band."""
        return float(self.crossings.mean())

    @property
    def integrity(self) -> float:
        """Share of the rim that has at least one."""
        return float((self.crossings > 0).mean())


def marginal_band(
    specimen: Bools, voxel_nm: float, filaments: Sequence[Filament]
) -> MarginalBand | None:
    """Count the microtubules along the cell's rim.

    Parameters
    ----------
    specimen
        bool (z, y, x): the cell.

    Returns
    -------
    MarginalBand or None
        None where less than 300 nm of rim are in view.
    """
    rim, tangents = _rim(specimen, voxel_nm)
    if len(rim) * RIM_STEP_NM < SHORTEST_RIM_NM:
        return None
    tree = cKDTree(rim)
    crossings = np.zeros(len(rim))
    for one in filaments:
        places, directions = _chord_places(one)
        if len(places) == 0:
            continue
        distance, nearest = tree.query(places[:, 1:])
        flat = directions[:, 1:]
        along = np.abs((flat * tangents[nearest]).sum(axis=1))
        aligned = along >= np.cos(np.radians(BAND_ANGLE_DEG))
        beside = np.unique(nearest[(distance <= BAND_DEPTH_NM) & aligned])
        # Chords are as long as the rim's steps: single places between two of them are covered.
        reached = np.zeros(len(rim), dtype=bool)
        reached[beside] = True
        crossings += ndimage.binary_closing(reached, np.ones(3))
    return MarginalBand(len(rim) * RIM_STEP_NM, crossings)


def _chord_places(filament: Filament) -> tuple[Float64s, Float64s]:
    """Middles (n, 3) in nm and directions of a filament's chords."""
    directions = chords(filament)
    nodes = filament.points_angst / 10.0
    index = np.linspace(0, len(nodes) - 1, 2 * len(directions) + 1)[1::2]
    return nodes[np.rint(index).astype(int)], directions


def _rim(specimen: Bools, voxel_nm: float) -> tuple[Float64s, Float64s]:
    """Places (n, 2) in nm (y, x) every 25 nm along the cell's outline, and unit tangents.

    The outline is that of the cell seen along the beam, where it is not cut by the field.
    """
    outline = specimen.any(axis=0)
    if outline.all() or not outline.any():
        return np.empty((0, 2)), np.empty((0, 2))
    soft = ndimage.gaussian_filter(
        ndimage.binary_fill_holes(outline).astype(np.float64), SMOOTHING_NM / voxel_nm,
        mode="nearest",
    )  # fmt: skip
    places, tangents = [np.empty((0, 2))], [np.empty((0, 2))]
    for contour in find_contours(soft, 0.5):
        line = contour * voxel_nm
        steps = np.linalg.norm(np.diff(line, axis=0), axis=1)
        along = np.concatenate([[0.0], np.cumsum(steps)])
        # Small islands are debris, not a cell.
        if along[-1] < SHORTEST_RIM_NM:
            continue
        wanted = np.arange(0.0, along[-1], RIM_STEP_NM)
        dense = np.stack([np.interp(wanted, along, line[:, axis]) for axis in range(2)], axis=1)
        slope = np.gradient(dense, axis=0)
        places.append(dense)
        tangents.append(slope / np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 1e-12))
    return np.concatenate(places), np.concatenate(tangents)
