"""Dense granules in the matrix of mitochondria, from the network of small bodies."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import ndimage

from engine.data.arrays import UInt16s
from engine.data.organelles import Organelle
from engine.segmentation.logits import code_of
from engine.segmentation.resampling import nearest_index
from engine.segmentation.small_bodies import SmallBodiesView

MATRIX_GRANULE = "matrix_granule"
# Of a voxel, where the network's card names no threshold.
LEAST_PROBABILITY = 0.5
# Less is noise: about five voxels of the network's grid.
LEAST_DIAMETER_NM = 10.0


def with_matrix_granules(
    organelles: Sequence[Organelle], ids: UInt16s, voxel_nm: float, view: SmallBodiesView
) -> tuple[Organelle, ...]:
    """Mitochondria with the number of granules in them and their mean diameter.

    A granule is a body of voxels that touch by faces, edges or corners, at least as large as a ball
    of 10 nm, in the mitochondrion that most of its voxels lie in. Organelles are as they were where
    the network does not look for granules.

    Parameters
    ----------
    ids
        uint16 (z, y, x), instances on the tomogram's grid.
    """
    if MATRIX_GRANULE not in view.codes:
        return tuple(organelles)
    codes = view.codes[MATRIX_GRANULE]
    found = codes >= code_of(view.thresholds.get(MATRIX_GRANULE, LEAST_PROBABILITY))
    inside = np.zeros(int(ids.max(initial=0)) + 1, dtype=np.int64)
    for one in organelles:
        if one.organelle_class == "mitochondrion":
            inside[one.instance_id] = one.instance_id
    at = [
        nearest_index(n, view.voxel_nm / voxel_nm, size)
        for n, size in zip(codes.shape, ids.shape, strict=True)
    ]
    owner = inside[ids[np.ix_(*at)]]
    bodies, count = ndimage.label(found & (owner > 0), structure=np.ones((3, 3, 3)))
    diameters: dict[int, list[float]] = {}
    for number, box in enumerate(ndimage.find_objects(bodies, count), start=1):
        own = bodies[box] == number
        diameter = (6.0 / np.pi * int(own.sum())) ** (1.0 / 3.0) * view.voxel_nm
        if diameter >= LEAST_DIAMETER_NM:
            host = int(np.bincount(owner[box][own]).argmax())
            diameters.setdefault(host, []).append(diameter)
    return tuple(
        _with_diameters(one, diameters.get(one.instance_id, []))
        if one.organelle_class == "mitochondrion"
        else one
        for one in organelles
    )


def _with_diameters(one: Organelle, diameters_nm: Sequence[float]) -> Organelle:
    mean = float(np.mean(diameters_nm)) if diameters_nm else None
    return replace(one, n_matrix_granules=len(diameters_nm), matrix_granule_diameter_nm=mean)
