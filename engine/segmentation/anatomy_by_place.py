"""Inside one mitochondrion, from a mask of all membranes: which is which, its place tells.

About the body's surface lies the outer membrane, a little deeper the inner boundary membrane, and
what is deeper than both is crista. Depths are taken within sections: along the beam a tilt series
measures neither a membrane nor, exactly, where the body ends.
"""

import numpy as np
from scipy import ndimage

from engine.data.arrays import Bools, Float32s, Float64s
from engine.segmentation.mitochondrion_anatomy import (
    BILAYER_NM,
    CRISTA_LUMEN_NM,
    FEWEST_VOXELS,
    MitochondrionAnatomy,
    closed,
)
from engine.segmentation.morphometry import volume_share

# Of a body's largest section: smaller ones are caps, whose membranes lie flat.
CAP_SHARE = 0.6
# Depth below the surface, and where the two membranes are looked for: the outer one about the
# surface, the inner one so much deeper.
BIN_NM = 2.0
DEPTHS_NM = np.arange(-20.0, 48.1, BIN_NM)
OUTER_WITHIN_NM, INNER_BELOW_NM = 10.0, (10.0, 34.0)
# Share of a depth that is membrane: below the first, it was not seen; where the gap between the
# two has more than the second of theirs, they were not told apart.
LEAST_SEEN, LARGEST_VALLEY = 0.3, 0.9
UNSEEN = MitochondrionAnatomy(None, None, None, None)


def anatomy_by_place(body: Bools, membrane: Bools, voxel_nm: float) -> MitochondrionAnatomy:
    """Spacing of the two membranes and share of cristae; junctions are not told this way.

    Parameters
    ----------
    body
        bool (z, y, x), one mitochondrion in a box with a margin within the sections.
    membrane
        bool (z, y, x), sheets about 8 nm thick in the same box.
    """
    areas = body.sum(axis=(1, 2))
    large = np.flatnonzero(areas >= CAP_SHARE * max(int(areas.max()), 1))
    middle = slice(int(large[0]), int(large[-1]) + 1)
    body, membrane = body[middle], membrane[middle]
    if int((body & membrane).sum()) < FEWEST_VOXELS:
        return UNSEEN
    depth_nm = _depth_within_sections_nm(body, voxel_nm)
    places = _two_membranes_nm(depth_nm, membrane)
    if places is None:
        return UNSEEN
    outer_nm, inner_nm = places
    deep = body & (depth_nm > inner_nm + BILAYER_NM)
    crista = closed(membrane & deep, CRISTA_LUMEN_NM / 2.0 / voxel_nm) & deep
    return MitochondrionAnatomy(inner_nm - outer_nm, volume_share(crista, body), None, None)


def _depth_within_sections_nm(body: Bools, voxel_nm: float) -> Float32s:
    """Below the outline in each section, negative outside; beyond the box the body goes on."""
    depth = np.full(body.shape, -np.inf, dtype=np.float32)
    for z, section in enumerate(body):
        if section.any():
            padded = np.pad(section, 1, mode="edge")
            inside = ndimage.distance_transform_edt(padded) - 0.5
            outside = ndimage.distance_transform_edt(~padded) - 0.5
            depth[z] = voxel_nm * np.where(padded, inside, -outside)[1:-1, 1:-1]
    return depth


def _two_membranes_nm(depth_nm: Float32s, membrane: Bools) -> tuple[float, float] | None:
    """Depths of the outer and the inner boundary membrane; None where they do not stand apart."""
    found, _ = np.histogram(depth_nm[membrane], DEPTHS_NM)
    there, _ = np.histogram(depth_nm, DEPTHS_NM)
    share = ndimage.gaussian_filter1d(found / np.maximum(there, 1), 1.0)
    centres = 0.5 * (DEPTHS_NM[1:] + DEPTHS_NM[:-1])
    outer = _highest(share, np.abs(centres) <= OUTER_WITHIN_NM)
    below = centres - centres[outer]
    inner = _highest(share, (below >= INNER_BELOW_NM[0]) & (below <= INNER_BELOW_NM[1]))
    lower = min(share[outer], share[inner])
    if lower < LEAST_SEEN or share[outer : inner + 1].min() > LARGEST_VALLEY * lower:
        return None
    return tuple(centres[at] + BIN_NM * _vertex(share, at) for at in (outer, inner))


def _highest(share: Float64s, among: Bools) -> int:
    places = np.flatnonzero(among)
    return int(places[np.argmax(share[places])])


def _vertex(share: Float64s, at: int) -> float:
    """Of the parabola through a bin and its neighbours, bins from its centre."""
    before, here, after = share[at - 1], share[at], share[min(at + 1, len(share) - 1)]
    bend = before - 2.0 * here + after
    return float(np.clip(0.5 * (before - after) / bend, -0.5, 0.5)) if bend < 0 else 0.0
