"""What the fine network saw inside mitochondria, object by object."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import ndimage

from engine.data.arrays import Bools, UInt16s
from engine.data.organelles import Organelle
from engine.segmentation.anatomy_by_place import anatomy_by_place
from engine.segmentation.coarse import CoarseFindings
from engine.segmentation.fine import FineView
from engine.segmentation.mitochondrion_anatomy import MitochondrionAnatomy, mitochondrion_anatomy
from engine.segmentation.tiling import Box

MEMBRANE = "membrane"
OUTER, INNER = "outer_mitochondrial_membrane", "inner_mitochondrial_membrane"
MARGIN_NM = 20.0


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
        room = _with_margin(box, ids.shape, MARGIN_NM / voxel_nm)
        anatomy = _anatomy(ids[room] == one.instance_id, room, voxel_nm, fine)
        seen.append(
            replace(
                found,
                membrane_spacing_nm=anatomy.spacing_nm,
                crista_volume_ratio=anatomy.crista_volume_ratio,
                n_crista_junctions=anatomy.n_junctions,
            )
        )
    return tuple(seen)


def _anatomy(body: Bools, room: Box, voxel_nm: float, fine: FineView) -> MitochondrionAnatomy:
    """From the two membranes where the network tells them apart, else from all by their place."""
    if OUTER in fine.masks and INNER in fine.masks:
        outer, inner = (fine.masks[name].read(room) for name in (OUTER, INNER))
        return mitochondrion_anatomy(body, outer, inner, voxel_nm)
    if MEMBRANE in fine.masks:
        return anatomy_by_place(body, fine.masks[MEMBRANE].read(room), voxel_nm)
    return MitochondrionAnatomy(None, None, None, None)


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
