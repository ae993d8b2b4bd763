"""Soft masks for templates: a sphere, or the shape of the density."""

import numpy as np
from scipy import ndimage

from engine.data.arrays import Bools, Float32s, Float64s
from engine.errors import BadInputError

EDGE_VOX = 3.0
# Between the structure and the edge: its outermost slope belongs to what is compared.
MARGIN_VOX = 1.0
SMALLEST_EDGE_VOX = 1.0


def largest_radius_vox(box_vox: int) -> float:
    """Radius at which a sphere about voxel `n // 2` must have fallen to 0 to stay in its box."""
    return float((box_vox + 1) // 2)


def distance_from_centre(box_vox: int) -> Float64s:
    """Distance (n, n, n) in voxels from voxel `n // 2`."""
    square = (np.arange(box_vox, dtype=np.float64) - box_vox // 2) ** 2
    return np.asarray(np.sqrt(square[:, None, None] + square[None, :, None] + square[None, None]))


def cosine_edge(distance_vox: Float64s, edge_vox: float) -> Float32s:
    """Weight 1 up to distance 0, falling as half a cosine to 0 at `edge_vox`."""
    if edge_vox <= 0:
        return np.asarray(distance_vox <= 0, dtype=np.float32)
    phase = np.clip(distance_vox / edge_vox, 0.0, 1.0)
    return np.asarray(0.5 + 0.5 * np.cos(np.pi * phase), dtype=np.float32)


def soft_sphere(box_vox: int, radius_vox: float, edge_vox: float = EDGE_VOX) -> Float32s:
    """Sphere about voxel `n // 2`: 1 within `radius_vox`, 0 beyond `radius_vox + edge_vox`.

    Returns
    -------
    Float32s
        (n, n, n) in [0, 1].

    Raises
    ------
    BadInputError
        A radius or an edge that is negative, or a sphere that leaves the box.
    """
    if not (np.isfinite(radius_vox) and radius_vox > 0 and edge_vox >= 0):
        raise BadInputError(
            f"expected a positive mask radius, found {radius_vox:g} voxels with an edge of "
            f"{edge_vox:g}; correct the mask radius"
        )
    if radius_vox + edge_vox > largest_radius_vox(box_vox) + 1e-6:
        raise BadInputError(
            f"expected a mask that fits within the box of {box_vox} voxels, found a sphere of "
            f"radius {radius_vox:.1f} voxels with an edge of {edge_vox:.1f}; take a larger box or "
            "a smaller mask"
        )
    return cosine_edge(distance_from_centre(box_vox) - radius_vox, edge_vox)


def sphere_around(box_vox: int, structure_radius_vox: float) -> Float32s:
    """Soft sphere that holds a structure, with a margin, an edge of 3 voxels, and within the box.

    Where the box is tight first the margin shrinks, then the edge down to one voxel, then the
    radius.
    """
    outer_vox = min(structure_radius_vox + MARGIN_VOX + EDGE_VOX, largest_radius_vox(box_vox))
    edge_vox = float(np.clip(outer_vox - structure_radius_vox, SMALLEST_EDGE_VOX, EDGE_VOX))
    return soft_sphere(box_vox, max(outer_vox - edge_vox, 0.5), edge_vox)


def density_mask(inside: Bools, dilation_vox: float, edge_vox: float = EDGE_VOX) -> Float32s:
    """The shape of a density, widened, with a soft edge.

    Parameters
    ----------
    inside
        (n, n, n), where the density lies above its threshold; holes are filled.
    dilation_vox
        Distance by which the shape grows.

    Returns
    -------
    Float32s
        1 in the widened shape, 0 beyond `edge_vox` from it; 0 outside the box's inner sphere, so
        that it may turn.

    Raises
    ------
    BadInputError
        Nothing is inside.
    """
    if not inside.any():
        raise BadInputError(
            "expected a mask with a region, found no density above the threshold; take a "
            "spherical mask"
        )
    filled = ndimage.binary_fill_holes(inside)
    # From the faces of the outermost voxels: half a voxel less than from their centres.
    distance_vox = np.maximum(ndimage.distance_transform_edt(~filled) - 0.5, 0.0)
    mask = cosine_edge(distance_vox - dilation_vox, edge_vox)
    limit_vox = largest_radius_vox(len(inside))
    return np.asarray(mask * soft_sphere(len(inside), limit_vox - 1.0, 1.0), dtype=np.float32)
