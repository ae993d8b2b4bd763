"""Masks that say where to search."""

from pathlib import Path

import numpy as np

from engine.data.arrays import Bools
from engine.errors import BadInputError
from engine.io.mrc_faults import structure_faults
from engine.io.mrc_header import read_header
from engine.io.mrc_scan import slabs

INSIDE = 0.5


def read_search_mask(path: Path, shape: tuple[int, int, int]) -> Bools:
    """Where an MRC file is above 0.5, (z, y, x); its voxel size is not looked at.

    Parameters
    ----------
    shape
        Of the tomogram that is searched.

    Raises
    ------
    MissingFileError
        No such file.
    BadInputError
        No MRC file, another shape, or nothing above 0.5.
    """
    header = read_header(path)
    errors = [fault.message for fault in structure_faults(header)]
    if errors:
        raise BadInputError("; ".join(errors).replace("a tomogram", "a mask"), path=str(path))
    if header.shape != shape:
        wanted, found = ("x".join(str(n) for n in sides) for sides in (shape, header.shape))
        raise BadInputError(
            f"{path.name}: expected a mask of the tomogram's shape {wanted} (z, y, x), found "
            f"{found}; give the tomogram's own mask",
            path=str(path),
        )
    inside = np.empty(header.stored_shape, dtype=bool)
    for sections, slab in slabs(header):
        inside[sections] = slab > INSIDE
    if not inside.any():
        raise BadInputError(
            f"{path.name}: expected a mask with voxels above {INSIDE:g}, found none; give one "
            "with a region inside",
            path=str(path),
        )
    return np.ascontiguousarray(inside.transpose(header.to_zyx))
