"""Tomograms from MRC files and volumes to MRC files."""

import math
from pathlib import Path
from typing import Literal

import mrcfile
import numpy as np

from engine import __version__
from engine.data.arrays import AnyArray, Float32s, UInt16s
from engine.data.measurements import QualityFlag
from engine.data.provenance import Provenance, parameters_digest
from engine.data.tomogram import Contrast, TiltRange, Tomogram
from engine.errors import BadInputError
from engine.io.contrast import estimate_contrast
from engine.io.digests import atomic_file, digest_of
from engine.io.mrc_faults import claim_faults, structure_faults
from engine.io.mrc_header import MrcHeader, read_header
from engine.io.mrc_scan import SLAB_VOXELS, slabs, summary_for

GivenContrast = Literal["auto", "dark", "bright"]
LARGEST_ID = 65_535
TOMOGRAM_SUFFIXES = (".gz", ".bz2", ".mrc", ".rec", ".map", ".mrcs", ".ccp4")


def read_tomogram(
    path: Path,
    *,
    voxel_size_angst: float | None = None,
    contrast: GivenContrast = "auto",
    tilt_range: TiltRange | None = None,
) -> Tomogram:
    """Read a tomogram and turn protein bright.

    Parameters
    ----------
    path
        MRC file, plain or compressed (gzip, bzip2).
    voxel_size_angst
        Overrides the header; needed where the header's value cannot be trusted and where a volume
        is flagged as a stack of images.
    contrast
        Of dense matter in the file; `auto` estimates it.
    tilt_range
        Not recorded in MRC files.

    Raises
    ------
    MissingFileError
        No such file.
    BadInputError
        Anything that makes the volume unfit; one line that names every fault.
    """
    tomogram, _ = read_with_findings(
        path, voxel_size_angst=voxel_size_angst, contrast=contrast, tilt_range=tilt_range
    )
    return tomogram


def read_with_findings(
    path: Path,
    *,
    voxel_size_angst: float | None = None,
    contrast: GivenContrast = "auto",
    tilt_range: TiltRange | None = None,
) -> tuple[Tomogram, tuple[QualityFlag, ...]]:
    """Read as `read_tomogram`, with the doubts that do not forbid an analysis."""
    header = read_header(path)
    claims = claim_faults(header, voxel_size_angst)
    _raise_errors(structure_faults(header) + claims, path)
    sampling_angst = voxel_size_angst or header.voxel_xyz_angst[0]
    voxels, recorded, doubts = _read_voxels(header, sampling_angst, contrast)
    parameters = {"voxel_size_angst": voxel_size_angst, "contrast": contrast}
    tomogram = Tomogram(
        tomogram_id=tomogram_id_of(path),
        voxels=voxels,
        voxel_size_angst=sampling_angst,
        tilt_range=tilt_range,
        recorded_contrast=recorded,
        provenance=Provenance(
            software_version=__version__,
            parameters_sha256=parameters_digest(parameters),
            inputs=(digest_of(path),),
            simulated=header.simulated,
        ),
    )
    return tomogram, (*claims, *doubts)


def tomogram_id_of(path: Path) -> str:
    """File name without the suffixes of tomogram files."""
    name = path.name
    while (suffix := Path(name).suffix.lower()) in TOMOGRAM_SUFFIXES and suffix:
        name = name[: -len(suffix)]
    return name or path.name


def contrast_doubt(confidence: float, contrast: Contrast) -> QualityFlag:
    """Warn of a contrast sign that the intensities do not settle."""
    return QualityFlag(
        "warning",
        "contrast_uncertain",
        f"the intensities do not settle whether protein is dark or bright ({contrast} is assumed, "
        f"probability {confidence:.2f}); look at the volume and give --contrast",
    )


def write_volume(path: Path, voxels: AnyArray, voxel_size_angst: float, *, label: str = "") -> None:
    """Write a volume as MRC; the file is whole or not there, and the same bytes every time.

    Parameters
    ----------
    path
        Replaced where it exists.
    voxels
        (z, y, x); uint8 labels become mode 0 where ids are at most 127, otherwise mode 6; uint16
        mode 6; float32 mode 2.
    label
        Kept in the header's text labels, at most 80 ASCII characters; `TomoDx simulated` there
        marks a simulated volume.

    Raises
    ------
    BadInputError
        Another dtype, not 3-D, or a voxel size that is not positive.
    OutputNotWritableError
        The folder cannot be written.
    """
    mode = _mode_for(voxels)
    if not (math.isfinite(voxel_size_angst) and voxel_size_angst > 0):
        raise BadInputError(f"expected a positive voxel size, found {voxel_size_angst}")
    with (
        atomic_file(path) as staging,
        mrcfile.new_mmap(staging, shape=voxels.shape, mrc_mode=mode, overwrite=True) as volume,
    ):
        volume.set_volume()
        volume.voxel_size = voxel_size_angst
        _fill_data(volume, voxels)
        # mrcfile's own first label holds the time of day.
        texts = [f"TomoDx {__version__}", *([label] if label else [])]
        volume.header.label = b""
        for index, text in enumerate(texts):
            volume.header.label[index] = text.encode("ascii", "replace")[:80]
        volume.header.nlabl = len(texts)


def read_labels(path: Path) -> tuple[UInt16s, float]:
    """Ids (z, y, x) of a label volume and its voxel size in angstrom.

    Raises
    ------
    MissingFileError
        No such file.
    BadInputError
        No MRC volume, or values that are no ids of 0 to 65535.
    """
    header = read_header(path)
    errors = [fault.message for fault in structure_faults(header)]
    if errors:
        raise BadInputError("; ".join(errors), path=str(path))
    ids = np.empty(header.stored_shape, dtype=np.uint16)
    for sections, slab in slabs(header):
        if slab.min() < 0 or slab.max() > LARGEST_ID or (slab != np.rint(slab)).any():
            raise BadInputError(
                f"{path.name}: expected whole numbers of 0 to {LARGEST_ID}, found others; give a "
                "label volume",
                path=str(path),
            )
        ids[sections] = slab
    return np.ascontiguousarray(ids.transpose(header.to_zyx)), header.voxel_xyz_angst[0]


def _read_voxels(
    header: MrcHeader, sampling_angst: float, contrast: GivenContrast
) -> tuple[Float32s, Contrast, list[QualityFlag]]:
    """One pass over the file into the only full-size array."""
    voxels = np.empty(header.shape, dtype=np.float32)
    stored = voxels.transpose(np.argsort(header.to_zyx))
    summary = summary_for(header, sampling_angst)
    for sections, slab in slabs(header, summary.binning):
        stored[sections] = slab
        summary.add(slab)
    _raise_errors(summary.faults(header.path.name), header.path)
    doubts = []
    recorded: Contrast
    if contrast == "auto":
        estimate = estimate_contrast(summary.coarse)
        recorded = estimate.contrast
        if not estimate.is_sure:
            doubts.append(contrast_doubt(estimate.confidence, recorded))
    else:
        recorded = contrast
    if recorded == "dark":
        np.negative(voxels, out=voxels)
    return voxels, recorded, doubts


def _raise_errors(flags: list[QualityFlag], path: Path) -> None:
    errors = [flag for flag in flags if flag.level == "error"]
    if errors:
        raise BadInputError(
            "; ".join(flag.message for flag in errors),
            path=str(path),
            code=errors[0].code,
        )


def _mode_for(voxels: AnyArray) -> int:
    if voxels.ndim != 3 or voxels.size == 0:
        raise BadInputError(f"expected a volume (z, y, x), found shape {voxels.shape}")
    if voxels.dtype == np.uint8:
        return 0 if int(voxels.max()) <= np.iinfo(np.int8).max else 6
    if voxels.dtype == np.uint16:
        return 6
    if voxels.dtype == np.float32:
        return 2
    raise BadInputError(f"expected uint8, uint16 or float32 voxels, found {voxels.dtype}")


def _fill_data(volume: mrcfile.mrcmemmap.MrcMemmap, voxels: AnyArray) -> None:
    """Copy and sum by slabs: mrcfile's own statistics need a second volume and use float32."""
    total = total_squared = 0.0
    smallest, largest = math.inf, -math.inf
    step = max(1, SLAB_VOXELS // (voxels.shape[1] * voxels.shape[2]))
    for start in range(0, len(voxels), step):
        part = voxels[start : start + step]
        volume.data[start : start + step] = part
        exact = part.astype(np.float64)
        total += float(exact.sum())
        total_squared += float(np.square(exact, out=exact).sum())
        smallest, largest = min(smallest, float(part.min())), max(largest, float(part.max()))
    mean = total / voxels.size
    volume.header.dmin, volume.header.dmax, volume.header.dmean = smallest, largest, mean
    volume.header.rms = math.sqrt(max(0.0, total_squared / voxels.size - mean**2))
