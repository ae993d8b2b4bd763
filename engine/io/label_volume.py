"""Masks and instance ids of any program: MRC volumes and TIFF stacks."""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tifffile

from engine.data.arrays import AnyArray, UInt16s
from engine.errors import BadInputError, MissingFileError
from engine.io.mrc import LARGEST_ID, read_labels

TIFF_SUFFIXES = (".tif", ".tiff")
# What tifffile raises of damaged headers, cut data, unknown compressions and missing codecs.
TIFF_FAULTS = (
    tifffile.TiffFileError, OSError, EOFError, struct.error, ValueError, TypeError, LookupError,
    RuntimeError,
)  # fmt: skip
ANGST_PER_NM = 10.0


@dataclass(frozen=True)
class MaskVolume:
    """Ids (z, y, x), 0 = nothing, and the sides (z, y, x) of a voxel in nanometre."""

    ids: UInt16s
    spacing_nm: tuple[float, float, float]


def read_mask(path: Path, spacing_nm: tuple[float, float, float] | None = None) -> MaskVolume:
    """Read a mask or a label volume.

    Parameters
    ----------
    spacing_nm
        (z, y, x); overrides an MRC header and is needed for TIFF.

    Raises
    ------
    MissingFileError
        No such file.
    BadInputError
        No volume, values that are no ids, or no voxel size.
    """
    if not path.is_file():
        raise MissingFileError(
            f"expected a mask, found no file at {path}; check the path", path=str(path)
        )
    if spacing_nm is not None and not all(0 < nm < np.inf for nm in spacing_nm):
        raise BadInputError(f"expected voxels with positive sides, found {spacing_nm} nm")
    if path.suffix.lower() in TIFF_SUFFIXES:
        ids = _ids_of(path, _read_tiff(path))
        if spacing_nm is None:
            raise BadInputError(
                f"{path.name}: expected a voxel size for a TIFF stack, found none; give "
                "--voxel-size-nm Z Y X",
                path=str(path),
            )
        return MaskVolume(ids, spacing_nm)
    ids, side_angst = read_labels(path)
    if spacing_nm is None:
        if not side_angst > 0:
            raise BadInputError(
                f"{path.name}: expected a voxel size in the header, found {side_angst:g} Å; give "
                "--voxel-size-nm Z Y X",
                path=str(path),
            )
        spacing_nm = (side_angst / ANGST_PER_NM,) * 3
    return MaskVolume(ids, spacing_nm)


def _read_tiff(path: Path) -> AnyArray:
    try:
        return np.asarray(tifffile.imread(path))
    except TIFF_FAULTS as error:
        words = str(error).splitlines()[0] if str(error) else type(error).__name__
        hint = "pip install imagecodecs" if "imagecodecs" in words else "save it uncompressed"
        raise BadInputError(
            f"{path.name}: expected a TIFF stack, found one that cannot be read ({words}); {hint}",
            path=str(path),
        ) from error


def _ids_of(path: Path, values: AnyArray) -> UInt16s:
    if values.ndim != 3:
        raise BadInputError(
            f"{path.name}: expected a stack of sections (z, y, x), found {values.ndim} dimensions",
            path=str(path),
        )
    is_number = np.issubdtype(values.dtype, np.number) and not np.iscomplexobj(values)
    if values.dtype != bool and not is_number:
        raise BadInputError(f"{path.name}: expected whole numbers, found {values.dtype}")
    if values.size and (
        values.min() < 0 or values.max() > LARGEST_ID or (values != np.rint(values)).any()
    ):
        raise BadInputError(
            f"{path.name}: expected whole numbers of 0 to {LARGEST_ID}, found others; give a mask "
            "or a label volume",
            path=str(path),
        )
    return values.astype(np.uint16)
