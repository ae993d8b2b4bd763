"""Bodies in a mask that another program made: one row each, and where they are."""

import csv
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from io import StringIO
from pathlib import Path
from typing import Literal

import numpy as np
from scipy import ndimage

from engine import __version__
from engine.data.arrays import Bools, Ints
from engine.data.provenance import Provenance, parameters_digest
from engine.errors import BadInputError
from engine.io.digests import (
    digest_of,
    fresh_folder,
    require_writable,
    write_text_atomically,
)
from engine.io.label_volume import MaskVolume, read_mask
from engine.io.mask_picture import write_mask_picture
from engine.io.provenance_file import write_provenance
from engine.segmentation.morphometry import (
    BodyShape,
    SurfaceRule,
    body_shape,
    connected_bodies,
    volume_share,
)

TABLE, PICTURE = "bodies.csv", "bodies.png"
Meaning = Literal["mask", "instances"]
COLUMNS = (
    "body_id", "volume_um3", "surface_um2", "sphericity", "smallest_diameter_nm", "length_nm",
    "n_branches", "z_nm", "y_nm", "x_nm", "touches_border",
)  # fmt: skip


@dataclass(frozen=True)
class MaskRequest:
    """What a user asks for.

    Attributes
    ----------
    meaning
        Of the values: a mask, whose touching voxels are one body, or an id for each body.
    part
        In a mask: the value of a part of the bodies (cristae, say), whose share is measured.
    smallest_um3
        Smaller bodies are left out.
    """

    path: Path
    spacing_nm: tuple[float, float, float] | None = None
    meaning: Meaning = "mask"
    part: int | None = None
    surface: SurfaceRule = "smooth"
    smallest_um3: float = 0.0


@dataclass(frozen=True)
class MeasuredBody:
    """One body: its shape, place, and the share that its part takes (None where none is asked)."""

    body_id: int
    shape: BodyShape
    centroid_nm: tuple[float, float, float]
    touches_border: bool
    part_share: float | None


@dataclass(frozen=True)
class MeasuredMask:
    """All bodies of a mask, and how many were too small."""

    bodies: tuple[MeasuredBody, ...]
    n_left_out: int
    files: tuple[str, ...]


def measure_mask(
    request: MaskRequest,
    out_folder: Path,
    *,
    on_progress: Callable[[float], None] | None = None,
) -> MeasuredMask:
    """Read, separate, measure and write.

    Raises
    ------
    MissingFileError, BadInputError
        No mask, nothing in it, or a part that it does not hold.
    OutputNotWritableError
        The folder cannot be made or holds files of others.
    """
    report = on_progress or (lambda fraction: None)
    require_writable(out_folder)
    volume = read_mask(request.path, request.spacing_nm)
    if not volume.ids.any():
        raise BadInputError(
            f"{request.path.name}: expected a mask with something in it, found zeros alone",
            path=str(request.path),
        )
    if request.part is not None and not (volume.ids == request.part).any():
        raise BadInputError(
            f"{request.path.name}: expected voxels of the part {request.part}, found none; it "
            f"holds {', '.join(str(v) for v in np.unique(volume.ids)[:10])}",
            path=str(request.path),
        )
    ids, n = _separated(volume, request)
    bodies, n_left_out = [], 0
    voxel_um3 = float(np.prod(volume.spacing_nm)) * 1e-9
    for count, (number, box, mask) in enumerate(_bodies(ids)):
        if mask.sum() * voxel_um3 < request.smallest_um3:
            n_left_out += 1
            ids[box][mask] = 0
        else:
            bodies.append(_measured(number, box, mask, volume, request))
        report((count + 1) / n)
    with fresh_folder(out_folder) as staging:
        write_text_atomically(staging / TABLE, _table(bodies, request.part is not None))
        write_mask_picture(staging / PICTURE, ids, volume.spacing_nm, request.path.name)
        files = write_provenance(
            staging,
            Provenance(
                software_version=__version__,
                parameters_sha256=parameters_digest(_parameters(request)),
                inputs=(digest_of(request.path),),
            ),
        )
    return MeasuredMask(tuple(bodies), n_left_out, files)


def _parameters(request: MaskRequest) -> dict[str, object]:
    values = asdict(request)
    del values["path"]
    return values


def _separated(volume: MaskVolume, request: MaskRequest) -> tuple[Ints, int]:
    if request.meaning == "mask":
        return connected_bodies(volume.ids > 0)
    ids = volume.ids.astype(np.int64)
    return ids, len(np.unique(ids)) - 1


def _bodies(ids: Ints) -> Iterator[tuple[int, tuple[slice, slice, slice], Bools]]:
    for number, box in enumerate(ndimage.find_objects(ids), start=1):
        if box is not None:
            yield number, box, ids[box] == number


def _measured(
    number: int,
    box: tuple[slice, slice, slice],
    mask: Bools,
    volume: MaskVolume,
    request: MaskRequest,
) -> MeasuredBody:
    centroid = (np.argwhere(mask).mean(axis=0) + [part.start for part in box]) * volume.spacing_nm
    share = None
    if request.part is not None:
        share = volume_share((volume.ids[box] == request.part) & mask, mask)
    return MeasuredBody(
        body_id=number,
        shape=body_shape(mask, volume.spacing_nm, request.surface),
        centroid_nm=(float(centroid[0]), float(centroid[1]), float(centroid[2])),
        touches_border=any(
            part.start == 0 or part.stop == n for part, n in zip(box, volume.ids.shape, strict=True)
        ),
        part_share=share,
    )


def _table(bodies: list[MeasuredBody], with_part: bool) -> str:
    stream = StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([*COLUMNS, *(["part_share"] if with_part else [])])
    for body in bodies:
        shape = body.shape
        writer.writerow(
            [
                body.body_id,
                f"{shape.volume_um3:.6g}",
                f"{shape.surface_um2:.6g}",
                f"{shape.sphericity:.4f}",
                f"{shape.smallest_diameter_nm:.2f}",
                f"{shape.length_nm:.2f}",
                shape.n_branches,
                *(f"{nm:.3f}" for nm in body.centroid_nm),
                "true" if body.touches_border else "false",
                *([f"{body.part_share:.5f}"] if with_part else []),
            ]
        )
    return stream.getvalue()
