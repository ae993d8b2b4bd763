"""IMOD models (.mod): filaments as open contours.

"IMOD Binary File Format, Version 1, Revision 2", https://bio3d.colorado.edu/imod/doc/binspec.html.
Coordinates are voxels; the centre of the first voxel is (0.5, 0.5, 0): x and y start at the outer
edge, z in the middle of the first section.
"""

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engine.data.filaments import Filament
from engine.errors import BadInputError
from engine.io.digests import atomic_file

IDENTIFIER, END = b"IMODV1.2", b"IEOF"
NAME_BYTES, OBJECT_NAME_BYTES = 128, 64
# Bits 10 to 13 and 15: z starts at -0.5, not written by 3dmod yet, clipping planes and materials in
# their newer form, angles stored correctly.
MODEL_FLAGS = 0b1011_1100_0000_0000
OPEN_CONTOURS = 1 << 3
NANOMETRE = -9
FIRST_VOXEL_XYZ = (0.5, 0.5, 0.0)
# Of 3dmod, kept at its own defaults.
BLACK, WHITE, RESOLUTION, THRESHOLD, LINE_WIDTH = 0, 255, 3, 128, 2


def write_imod_model(
    path: Path,
    filaments: Sequence[Filament],
    *,
    shape: tuple[int, int, int],
    voxel_size_angst: float,
    colour: str,
) -> None:
    """Write filaments as one object a class; the same filaments give the same bytes.

    Parameters
    ----------
    shape
        (z, y, x) of the tomogram, voxels.
    colour
        `#rrggbb`.

    Raises
    ------
    BadInputError
        A voxel size that is not positive.
    OutputNotWritableError
        The folder cannot be written.
    """
    if not voxel_size_angst > 0:
        raise BadInputError(f"expected a positive voxel size, found {voxel_size_angst:g} Å")
    classes = list(dict.fromkeys(line.filament_class for line in filaments))
    parts = [IDENTIFIER, _model(path.stem, shape, len(classes), voxel_size_angst)]
    for name in classes:
        own = [line for line in filaments if line.filament_class == name]
        parts.append(_object(name, len(own), colour))
        parts += [_contour(line, voxel_size_angst) for line in own]
    with atomic_file(path) as staging:
        staging.write_bytes(b"".join([*parts, END]))


def _model(
    name: str, shape: tuple[int, int, int], n_objects: int, voxel_size_angst: float
) -> bytes:
    z, y, x = shape
    return struct.pack(
        f">{NAME_BYTES}s3iiI4i3f3f5if2i3f",
        name.encode("ascii", "replace")[: NAME_BYTES - 1],
        x, y, z, n_objects, MODEL_FLAGS,
        1, 1, BLACK, WHITE,
        0.0, 0.0, 0.0, 1.0, 1.0, 1.0,
        0, 0, 0, RESOLUTION, THRESHOLD,
        voxel_size_angst / 10.0, NANOMETRE, 0,
        0.0, 0.0, 0.0,
    )  # fmt: skip


def _object(name: str, n_contours: int, colour: str) -> bytes:
    red, green, blue = (int(colour[i : i + 2], 16) / 255.0 for i in (1, 3, 5))
    return b"OBJT" + struct.pack(
        f">{OBJECT_NAME_BYTES}s64xiI2i3fi8B2i",
        name.encode("ascii", "replace")[: OBJECT_NAME_BYTES - 1],
        n_contours, OPEN_CONTOURS, 0, 1,
        red, green, blue, 0,
        1, 3, LINE_WIDTH, LINE_WIDTH, 0, 0, 0, 0,
        0, 0,
    )  # fmt: skip


def _contour(line: Filament, voxel_size_angst: float) -> bytes:
    points = line.points_angst[:, ::-1] / voxel_size_angst + np.array(FIRST_VOXEL_XYZ)
    values: bytes = points.astype(">f4").tobytes()
    return b"CONT" + struct.pack(">iIii", len(points), 0, 0, 0) + values
