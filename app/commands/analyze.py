"""`tomodx analyze`: segment one tomogram, separate instances, trace filaments, measure."""

from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from app.context import Settings
from engine.data.measurements import Measurement, TomogramAnalysis
from engine.data.tomogram import TiltRange
from engine.io.analysis_files import ANALYSIS_FILES, measurement_json, rounded
from engine.io.mrc import GivenContrast


def register(cli: typer.Typer) -> None:
    """Add the commands of this file."""
    cli.command()(analyze)


def analyze(
    context: typer.Context,
    tomogram: Annotated[Path, typer.Argument(help="MRC file (.mrc, .rec, .map; .gz, .bz2).")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the results.")],
    voxel_size_angst: Annotated[
        float | None, typer.Option(metavar="F", help="In Å; overrides the header.")
    ] = None,
    contrast: Annotated[
        GivenContrast, typer.Option(help="Of protein in the file; auto estimates it.")
    ] = "auto",
    tilt_range: Annotated[
        tuple[float, float] | None, typer.Option(metavar="MIN MAX", help="In degrees.")
    ] = None,
    coarse_model: Annotated[
        str | None, typer.Option(metavar="NAME|DIR", help="In place of the shipped one.")
    ] = None,
    fine_model: Annotated[
        str | None, typer.Option(metavar="NAME|DIR", help="In place of the shipped one.")
    ] = None,
) -> None:
    """Segment, separate instances, trace filaments, measure."""
    # Opening the networks' runtimes takes seconds that no other command should wait for.
    from app.analysis import analyse_file  # noqa: PLC0415

    settings: Settings = context.obj
    with settings.progress(f"analysing {tomogram.name}") as on_progress:
        analysis = analyse_file(
            tomogram,
            out,
            voxel_size_angst=voxel_size_angst,
            contrast=contrast,
            tilt_range=TiltRange(*tilt_range) if tilt_range else None,
            device=settings.device,
            coarse_model=coarse_model,
            fine_model=fine_model,
            on_progress=on_progress,
        )
    settings.emit(_as_json(analysis, out), _as_text(analysis, out))


def _as_json(analysis: TomogramAnalysis, out: Path) -> dict[str, Any]:
    measurements = analysis.measurements
    counts = Counter(organelle.organelle_class for organelle in analysis.instances.organelles)
    return {
        "tomogram": measurements.tomogram_id,
        "out": str(out),
        "files": list(ANALYSIS_FILES),
        "n_instances": dict(sorted(counts.items())),
        "n_filaments": len(analysis.filaments),
        "filament_lengths_nm": [rounded(line.length_nm) for line in analysis.filaments],
        "measurements": {
            name: measurement_json(value) for name, value in measurements.values.items()
        },
        "flags": [
            {"level": flag.level, "code": flag.code, "message": flag.message}
            for flag in measurements.flags
        ],
        "simulated": measurements.provenance.simulated,
    }


def _as_text(analysis: TomogramAnalysis, out: Path) -> str:
    measurements = analysis.measurements
    simulated = " (simulated)" if measurements.provenance.simulated else ""
    lines = [f"{measurements.tomogram_id}{simulated}: results in {out}"]
    lines += [f"  {name}: {_value_text(value)}" for name, value in measurements.values.items()]
    lines += [f"  {flag.level}: {flag.message}" for flag in measurements.flags]
    return "\n".join([*lines, "Research use only."])


def _value_text(value: Measurement) -> str:
    if value.value is None:
        return f"not assessable: {value.not_assessable}"
    unit = "" if value.unit == "1" else f" {value.unit}"
    interval = ""
    if value.low is not None and value.high is not None:
        interval = f" (95 % interval {value.low:.4g} to {value.high:.4g})"
    return f"{value.value:.4g}{unit}{interval}"
