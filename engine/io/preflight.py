"""Whether a tomogram can be analysed, found in one pass without keeping it."""

import math
from dataclasses import dataclass
from pathlib import Path

from engine.data.measurements import QualityFlag
from engine.data.tomogram import Contrast, TiltRange
from engine.errors import BadInputError, MissingFileError
from engine.io.contrast import estimate_contrast
from engine.io.mrc import GivenContrast, contrast_doubt
from engine.io.mrc_faults import claim_faults, plausible, structure_faults
from engine.io.mrc_header import MrcHeader, read_header
from engine.io.mrc_scan import VolumeSummary, slabs, summary_for
from engine.io.wedge import estimate_tilt_range

# Fitted to runs of `tomodx analyze` on two cores, for the input and for the grid of the fine
# network: libraries and a tile, bytes a voxel; seconds, seconds a million voxels. A volume deeper
# than one tile is cut along every axis, and most of what is computed are halos.
FINE_ANGST = 24.0
BASE_GB, BYTES_A_VOXEL, BYTES_A_FINE_VOXEL = 1.5, 5.2, 1.8
BASE_S, SECONDS_A_MEGAVOXEL, SECONDS_A_FINE_MEGAVOXEL = 5.0, 0.08, 0.4
DEEP_ANGST, DEEP_FACTOR = 3500.0, 3.2
THIN_ANGST = 300.0


@dataclass(frozen=True)
class Preflight:
    """What `tomodx doctor` says about one file.

    Attributes
    ----------
    shape
        (z, y, x); None where the file cannot be read.
    voxel_size_angst
        The size that an analysis would use; None where none can be trusted.
    contrast
        Of dense matter: given or estimated; None where the voxels cannot be read.
    tilt_range
        As given, or read off the power spectrum; MRC files do not record it.
    memory_gb, time_s
        Peak memory and time of `tomodx analyze` on two cores.
    findings
        Every fault and doubt, faults first.
    """

    shape: tuple[int, int, int] | None
    voxel_size_angst: float | None
    contrast: Contrast | None
    tilt_range: TiltRange | None
    memory_gb: float | None
    time_s: float | None
    findings: tuple[QualityFlag, ...]

    @property
    def faults(self) -> tuple[QualityFlag, ...]:
        """Findings that forbid an analysis."""
        return tuple(finding for finding in self.findings if finding.level == "error")

    @property
    def ok(self) -> bool:
        """Whether `tomodx analyze` would accept the file."""
        return not self.faults


def inspect_tomogram(
    path: Path,
    *,
    voxel_size_angst: float | None = None,
    contrast: GivenContrast = "auto",
    tilt_range: TiltRange | None = None,
) -> Preflight:
    """Collect every fault and doubt of a file; never raises for a bad file.

    Parameters
    ----------
    path, voxel_size_angst, contrast, tilt_range
        As for `read_tomogram`.
    """
    try:
        header = read_header(path)
    except (BadInputError, MissingFileError) as error:
        return Preflight(None, None, None, tilt_range, None, None, (_as_finding(error),))
    findings = structure_faults(header)
    unreadable = bool(findings)
    findings += claim_faults(header, voxel_size_angst)
    sampling_angst = _sampling_angst(header, voxel_size_angst)
    found_contrast: Contrast | None = None
    if not unreadable:
        voxels = _inspect_voxels(header, sampling_angst, contrast)
        found_contrast = voxels.contrast
        findings += voxels.findings
        if tilt_range is None:
            tilt_range = voxels.tilt_range
            findings.append(_tilt_remark(tilt_range))
    findings += _remarks(header, sampling_angst)
    memory_gb, time_s = _cost(header.shape, sampling_angst)
    return Preflight(
        shape=header.shape,
        voxel_size_angst=sampling_angst,
        contrast=found_contrast,
        tilt_range=tilt_range,
        memory_gb=memory_gb,
        time_s=time_s,
        findings=tuple(sorted(findings, key=lambda f: ("error", "warning", "info").index(f.level))),
    )


def _cost(shape: tuple[int, int, int], sampling_angst: float | None) -> tuple[float, float]:
    """Memory in GB and seconds; without a voxel size as if it were the fine network's."""
    sampling_angst = sampling_angst or FINE_ANGST
    megavoxels = math.prod(shape) / 1e6
    fine_megavoxels = megavoxels * (sampling_angst / FINE_ANGST) ** 3
    factor = DEEP_FACTOR if shape[0] * sampling_angst > DEEP_ANGST else 1.0
    memory = BASE_GB + (BYTES_A_VOXEL * megavoxels + BYTES_A_FINE_VOXEL * fine_megavoxels) / 1e3
    time_s = BASE_S + SECONDS_A_MEGAVOXEL * megavoxels
    time_s += SECONDS_A_FINE_MEGAVOXEL * factor * fine_megavoxels
    return round(memory, 1), round(time_s)


def _as_finding(error: BadInputError | MissingFileError) -> QualityFlag:
    return QualityFlag("error", str(error.fields.get("code", "unreadable")), str(error))


def _sampling_angst(header: MrcHeader, given_angst: float | None) -> float | None:
    if given_angst is not None:
        return given_angst if math.isfinite(given_angst) and given_angst > 0 else None
    claimed_angst = header.voxel_xyz_angst[0]
    faults = {fault.code for fault in claim_faults(header, None)}
    return claimed_angst if plausible(claimed_angst) and faults <= {"image_stack"} else None


@dataclass(frozen=True)
class _VoxelVerdict:
    """What one pass over the voxels gives."""

    contrast: Contrast | None
    tilt_range: TiltRange | None
    findings: list[QualityFlag]


def _inspect_voxels(
    header: MrcHeader, sampling_angst: float | None, contrast: GivenContrast
) -> _VoxelVerdict:
    given = None if contrast == "auto" else contrast
    try:
        summary = _summarise(header, sampling_angst)
    except BadInputError as error:
        return _VoxelVerdict(given, None, [_as_finding(error)])
    faults = summary.faults(header.path.name)
    if faults:
        return _VoxelVerdict(given, None, faults)
    tilt_range = estimate_tilt_range(summary.coarse.transpose(header.to_zyx))
    if given:
        return _VoxelVerdict(given, tilt_range, [])
    estimate = estimate_contrast(summary.coarse)
    remark = contrast_doubt(estimate.confidence, estimate.contrast)
    if estimate.is_sure:
        message = (
            f"dense matter is {estimate.contrast} (estimated, probability "
            f"{estimate.confidence:.2f}); give --contrast where that is wrong"
        )
        remark = QualityFlag("info", "contrast_estimated", message)
    return _VoxelVerdict(estimate.contrast, tilt_range, [remark])


def _tilt_remark(estimated: TiltRange | None) -> QualityFlag:
    if estimated:
        return QualityFlag(
            "info",
            "tilt_range_estimated",
            f"the tilt range, {estimated.min_deg:g} to {estimated.max_deg:g} degrees, is read off "
            "the empty wedge of the spectrum (to about 3 degrees); give --tilt-range MIN MAX to "
            "have the true one recorded",
        )
    return QualityFlag(
        "info",
        "tilt_range_unknown",
        "MRC files do not record the tilt range and the spectrum shows no empty wedge; give "
        "--tilt-range MIN MAX to have it recorded",
    )


def _summarise(header: MrcHeader, sampling_angst: float | None) -> VolumeSummary:
    summary = summary_for(header, sampling_angst)
    for _, slab in slabs(header, summary.binning):
        summary.add(slab)
    return summary


def _remarks(header: MrcHeader, sampling_angst: float | None) -> list[QualityFlag]:
    remarks = []
    if header.axis_order_readable and header.stored_axes != (3, 2, 1):
        order = "".join("xyz"[axis - 1] for axis in reversed(header.stored_axes))
        remarks.append(
            QualityFlag(
                "warning",
                "axes_reordered",
                f"columns, rows and sections lie in the order {order}; they are turned to xyz",
            )
        )
    if header.simulated:
        remarks.append(
            QualityFlag("info", "simulated", "the header says that TomoDx simulated this volume")
        )
    depth_angst = header.shape[0] * sampling_angst if sampling_angst else math.inf
    if depth_angst < THIN_ANGST:
        remarks.append(
            QualityFlag(
                "warning",
                "thin",
                f"only {depth_angst / 10:.0f} nm deep: organelles are cut by both faces",
            )
        )
    return remarks
