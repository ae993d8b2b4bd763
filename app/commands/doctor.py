"""`tomodx doctor`: can this tomogram be analysed, and what will it cost."""

from pathlib import Path
from typing import Annotated, Any

import typer

from app.context import Settings
from engine.data.tomogram import TiltRange
from engine.errors import BadInputError
from engine.io.mrc import GivenContrast
from engine.io.preflight import Preflight, inspect_tomogram


def register(cli: typer.Typer) -> None:
    """Add the commands of this file."""
    cli.command()(doctor)


def doctor(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="MRC file (.mrc, .rec, .map; .gz, .bz2).")],
    voxel_size_angst: Annotated[
        float | None, typer.Option(metavar="F", help="In Å; overrides the header.")
    ] = None,
    contrast: Annotated[
        GivenContrast, typer.Option(help="Of protein in the file; auto estimates it.")
    ] = "auto",
    tilt_range: Annotated[
        tuple[float, float] | None, typer.Option(metavar="MIN MAX", help="In degrees.")
    ] = None,
) -> None:
    """Check axes, voxel size, contrast, tilt range; estimate memory and time.

    Exit status 0 where `tomodx analyze` would accept the file, 2 where it would not.
    """
    settings: Settings = context.obj
    preflight = inspect_tomogram(
        file,
        voxel_size_angst=voxel_size_angst,
        contrast=contrast,
        tilt_range=TiltRange(*tilt_range) if tilt_range else None,
    )
    settings.emit(_as_json(preflight), _as_text(preflight, file))
    if not preflight.ok:
        raise BadInputError("; ".join(fault.message for fault in preflight.faults), path=str(file))


def _as_json(preflight: Preflight) -> dict[str, Any]:
    tilts = preflight.tilt_range
    return {
        "ok": preflight.ok,
        "shape": list(preflight.shape) if preflight.shape else None,
        "voxel_size_angst": preflight.voxel_size_angst,
        "contrast": preflight.contrast,
        "tilt_range_deg": [tilts.min_deg, tilts.max_deg] if tilts else None,
        "memory_gb": preflight.memory_gb,
        "time_s": preflight.time_s,
        "findings": [
            {"level": finding.level, "code": finding.code, "message": finding.message}
            for finding in preflight.findings
        ],
    }


def _as_text(preflight: Preflight, file: Path) -> str:
    """Print what is known; faults go to stderr as the error line."""
    lines = [f"{file.name}: {'fit for analysis' if preflight.ok else 'not fit for analysis'}"]
    if preflight.shape:
        lines.append(f"  size (z, y, x): {' x '.join(map(str, preflight.shape))} voxels")
    if preflight.voxel_size_angst:
        lines.append(f"  voxel size: {preflight.voxel_size_angst:g} Å")
    if preflight.contrast:
        lines.append(f"  contrast: protein {preflight.contrast}")
    if preflight.tilt_range:
        low_deg, high_deg = preflight.tilt_range.min_deg, preflight.tilt_range.max_deg
        lines.append(f"  tilt range: {low_deg:g} to {high_deg:g} degrees")
    if preflight.ok:
        lines.append(f"  memory: {preflight.memory_gb:g} GB, time: {preflight.time_s:g} s")
    lines += [
        f"  {finding.level}: {finding.message}"
        for finding in preflight.findings
        if finding.level != "error"
    ]
    return "\n".join(lines)
