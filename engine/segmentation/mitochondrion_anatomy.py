"""Inside one mitochondrion: cristae, and the spacing of its two membranes."""

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from engine.data.arrays import Bools
from engine.segmentation.morphometry import spacing_between_nm, volume_share

# Between the walls of one crista lies up to this much lumen; it belongs to the crista.
CRISTA_LUMEN_NM = 16.0
# From the outer membrane's middle: an inner membrane nearer than this is one sheet with it, one
# farther than this hangs inside.
SPACING_RANGE_NM = (5.0, 40.0)
BILAYER_NM = 8.0
# The space between the membranes is not everywhere as wide as at its median.
INTERMEMBRANE_REACH = 1.3
# Of the layer in which junctions are looked for, and the smallest cross-section in it: half of
# that of a tubular crista 20 nm wide.
JUNCTION_LAYER_NM = 6.0
SMALLEST_JUNCTION_NM3 = 0.5 * JUNCTION_LAYER_NM * math.pi * 10.0**2
# Fewer voxels of a membrane are noise.
FEWEST_VOXELS = 50


@dataclass(frozen=True)
class MitochondrionAnatomy:
    """What the membranes of one mitochondrion say.

    Attributes
    ----------
    spacing_nm
        Median distance between outer and inner boundary membrane, middle to middle; None where one
        was not seen.
    crista_volume_ratio
        Volume of cristae (membranes and what they enclose) over that of the mitochondrion; None
        where no inner membrane was seen.
    crista_area_per_volume
        Area of crista membrane over the mitochondrion's volume, 1/um; None as above.
    n_junctions
        Places where a crista reaches the inner boundary membrane; None as above.
    """

    spacing_nm: float | None
    crista_volume_ratio: float | None
    crista_area_per_volume: float | None
    n_junctions: int | None


def mitochondrion_anatomy(
    body: Bools, outer: Bools, inner: Bools, voxel_nm: float
) -> MitochondrionAnatomy:
    """Measure one mitochondrion.

    Parameters
    ----------
    body
        bool (z, y, x), one mitochondrion in a box with a margin; a face that cuts it is the box's.
    outer, inner
        bool (z, y, x), the two membranes in the same box, sheets about 8 nm thick.

    Notes
    -----
    Boundary membrane is the inner membrane that borders on the space between the membranes; what
    lies deeper is crista. Beyond a cut face the body goes on.
    """
    own = ndimage.binary_dilation(body, iterations=max(1, round(BILAYER_NM / 2.0 / voxel_nm)))
    outer, inner = outer & own, inner & own
    if inner.sum() < FEWEST_VOXELS:
        return MitochondrionAnatomy(None, None, None, None)
    spacing = None
    if outer.sum() >= FEWEST_VOXELS:
        gaps = spacing_between_nm(outer, inner, (voxel_nm,) * 3)
        # Surfaces of two sheets are a bilayer nearer than their middles.
        near = gaps[gaps < SPACING_RANGE_NM[1]]
        spacing = float(np.median(near)) + BILAYER_NM / 2.0 if len(near) else None
    depth_nm = _depth_nm(body, voxel_nm)
    usual_nm = spacing if spacing is not None else _usual_depth_nm(depth_nm[inner & body])
    # The space between the membranes, and no more of the cristae that open into it than their
    # mouths; membrane that borders on it is boundary membrane.
    between = body & ~inner & (depth_nm <= INTERMEMBRANE_REACH * usual_nm)
    from_between_nm = ndimage.distance_transform_edt(~(between | ~body)) * voxel_nm
    deep = body & (from_between_nm > BILAYER_NM)
    walls = inner & deep
    crista = closed(walls, CRISTA_LUMEN_NM / 2.0 / voxel_nm) & deep
    area_um2 = float(walls.sum()) * voxel_nm**3 / BILAYER_NM * 1e-6
    volume_um3 = float(body.sum()) * voxel_nm**3 * 1e-9
    junctions = _n_junctions(crista, from_between_nm, voxel_nm)
    return MitochondrionAnatomy(
        spacing, volume_share(crista, body), area_um2 / volume_um3, junctions
    )


def _n_junctions(crista: Bools, from_between_nm: np.ndarray, voxel_nm: float) -> int:
    """Separate cross-sections of cristae just below the inner boundary membrane.

    A mouth narrower than a crista with its walls is one place; specks are noise.
    """
    below = crista & (from_between_nm <= BILAYER_NM + JUNCTION_LAYER_NM)
    places, n = ndimage.label(below, structure=np.ones((3, 3, 3)))
    sizes = np.bincount(places.reshape(-1), minlength=n + 1)[1:] * voxel_nm**3
    return int((sizes >= SMALLEST_JUNCTION_NM3).sum())


def _depth_nm(body: Bools, voxel_nm: float) -> np.ndarray:
    padded = np.pad(body, 1, mode="edge")
    inside = ndimage.distance_transform_edt(padded)[1:-1, 1:-1, 1:-1]
    return np.asarray(inside * voxel_nm)


def _usual_depth_nm(depths_nm: np.ndarray) -> float:
    """Where most boundary membrane lies, where the outer one was not seen."""
    shallow = depths_nm[depths_nm < SPACING_RANGE_NM[1]]
    return float(np.median(shallow)) if len(shallow) else SPACING_RANGE_NM[1]


def closed(mask: Bools, reach_vox: float) -> Bools:
    """Closing with a ball, in a box as large as it needs."""
    room = math.ceil(reach_vox) + 1
    padded = np.pad(mask, room)
    grown = ndimage.distance_transform_edt(~padded) <= reach_vox
    closed = ndimage.distance_transform_edt(grown) > reach_vox
    own = slice(room, -room)
    return np.asarray((closed | padded)[own, own, own])
