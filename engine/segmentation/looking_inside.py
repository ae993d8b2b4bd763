"""What the fine network saw inside mitochondria and between organelles, object by object."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import ndimage

from engine.data.arrays import Bools, Float64s, UInt16s
from engine.data.organelles import Organelle
from engine.segmentation.bit_volume import BitVolume
from engine.segmentation.coarse import CoarseFindings
from engine.segmentation.fine import FineView
from engine.segmentation.mitochondrion_anatomy import mitochondrion_anatomy
from engine.segmentation.tiling import Box

OUTER, INNER = "outer_mitochondrial_membrane", "inner_mitochondrial_membrane"
RIBOSOME = "ribosome"
MARGIN_NM = 12.0
# The network marks balls of 16 nm about the centres; less than this share of one is noise.
RIBOSOME_BALL_NM3 = 2145.0
SMALLEST_RIBOSOME_SHARE, LARGEST_RIBOSOME_SHARE = 0.25, 3.0
SLAB_SECTIONS, SLAB_OVERLAP_NM = 64, 30.0


def with_anatomy(
    organelles: Sequence[Organelle],
    ids: UInt16s,
    voxel_nm: float,
    coarse: CoarseFindings,
    fine: FineView,
) -> tuple[Organelle, ...]:
    """Mitochondria with their distance to the cell's outline and what their membranes say."""
    outline_nm = _distance_to_outline_nm(coarse)
    boxes = ndimage.find_objects(ids)
    ratio = voxel_nm / coarse.voxel_size_nm
    seen = []
    for one in organelles:
        box = boxes[one.instance_id - 1] if one.instance_id <= len(boxes) else None
        if one.organelle_class != "mitochondrion" or box is None:
            seen.append(one)
            continue
        distance_nm = _nearest_nm(outline_nm, ids, box, one.instance_id, ratio)
        found = replace(one, membrane_distance_nm=distance_nm)
        if OUTER in fine.masks and INNER in fine.masks:
            room = _with_margin(box, ids.shape, MARGIN_NM / voxel_nm)
            anatomy = mitochondrion_anatomy(
                ids[room] == one.instance_id,
                fine.masks[OUTER].read(room),
                fine.masks[INNER].read(room),
                voxel_nm,
            )
            found = replace(
                found,
                membrane_spacing_nm=anatomy.spacing_nm,
                crista_volume_ratio=anatomy.crista_volume_ratio,
                n_crista_junctions=anatomy.n_junctions,
            )
        seen.append(found)
    return tuple(seen)


def ribosome_centres_angst(
    mask: BitVolume, shape: tuple[int, int, int], voxel_nm: float
) -> Float64s:
    """Centres (n, 3), (z, y, x), of the bodies of a mask that have about a ribosome's volume.

    Two that touch are told apart where a neck is narrower than half of a ball. Slab by slab; a
    slab sees a little beyond itself and keeps what has its centre inside.
    """
    beyond = int(np.ceil(SLAB_OVERLAP_NM / voxel_nm))
    found = [np.empty((0, 3))]
    for start in range(0, shape[0], SLAB_SECTIONS):
        low, high = max(0, start - beyond), min(shape[0], start + SLAB_SECTIONS + beyond)
        slab = mask.read((slice(low, high), slice(0, shape[1]), slice(0, shape[2])))
        centres = _centres_vox(slab, RIBOSOME_BALL_NM3 / voxel_nm**3) + np.array([low, 0, 0])
        own = (centres[:, 0] >= start) & (centres[:, 0] < start + SLAB_SECTIONS)
        found.append(centres[own])
    return 10.0 * voxel_nm * np.concatenate(found)


def _centres_vox(mask: Bools, ball_vox: float) -> Float64s:
    bodies, _ = ndimage.label(mask)
    centres = []
    for number, box in enumerate(ndimage.find_objects(bodies), start=1):
        own = bodies[box] == number
        size = own.sum() / ball_vox
        if size < SMALLEST_RIBOSOME_SHARE:
            continue
        for piece in [own] if size < 1.5 else _parted(own):
            share = piece.sum() / ball_vox
            if SMALLEST_RIBOSOME_SHARE <= share <= LARGEST_RIBOSOME_SHARE:
                corner = np.array([part.start for part in box])
                centres.append(np.argwhere(piece).mean(axis=0) + corner)
    return np.array(centres, dtype=np.float64).reshape(-1, 3)


def _parted(own: Bools) -> list[Bools]:
    """A body cut where it is narrow: every voxel goes to the nearest of its deep cores."""
    depth = ndimage.distance_transform_edt(np.pad(own, 1))[1:-1, 1:-1, 1:-1]
    cores, n = ndimage.label(depth > 0.5 * depth.max())
    if n < 2:
        return [own]
    nearest = ndimage.distance_transform_edt(
        cores == 0, return_distances=False, return_indices=True
    )
    owner = np.where(own, cores[tuple(nearest)], 0)
    return [owner == number for number in range(1, n + 1)]


def _with_margin(box: tuple[slice, ...], shape: tuple[int, ...], margin_vox: float) -> Box:
    margin = int(np.ceil(margin_vox))
    z, y, x = (
        slice(max(0, part.start - margin), min(n, part.stop + margin))
        for part, n in zip(box, shape, strict=True)
    )
    return z, y, x


def _distance_to_outline_nm(coarse: CoarseFindings) -> np.ndarray | None:
    """Distance (z, y, x) on the coarse grid to where there is no cell; None where all is cell."""
    void = coarse.winner == coarse.names.index("void")
    if not void.any():
        return None
    return np.asarray(ndimage.distance_transform_edt(~void) * coarse.voxel_size_nm)


def _nearest_nm(
    outline_nm: np.ndarray | None,
    ids: UInt16s,
    box: tuple[slice, ...],
    number: int,
    ratio: float,
) -> float | None:
    if outline_nm is None:
        return None
    corner = np.array([part.start for part in box])
    voxels = np.argwhere(ids[box] == number)[::7] + corner
    index = np.minimum(np.rint(voxels * ratio).astype(np.int64), np.array(outline_nm.shape) - 1)
    return float(outline_nm[tuple(index.T)].min())
