"""`tomodx geometry`: surfaces and lines of an analysis for other programs."""

from pathlib import Path
from typing import Annotated

import typer

from app.context import Settings


def register(cli: typer.Typer) -> None:
    """Add the commands of this file."""
    cli.command()(geometry)


def geometry(
    context: typer.Context,
    analysis: Annotated[Path, typer.Argument(metavar="DIR", help="That `analyze` wrote.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the results.")],
    ome_zarr: Annotated[
        bool, typer.Option("--ome-zarr", help="Also tomogram, classes and instances as OME-Zarr.")
    ] = False,
) -> None:
    """Write an analysis' filaments (RELION STAR, IMOD) and organelles (PLY, glTF, OME-Zarr)."""
    # scipy and scikit-image take a second that other commands should not wait for.
    from app.geometry import geometry_of_analysis  # noqa: PLC0415

    settings: Settings = context.obj
    with settings.progress(f"surfaces of {analysis.name}") as on_progress:
        found = geometry_of_analysis(analysis, out, ome_zarr=ome_zarr, on_progress=on_progress)
    result = {
        "out": str(out),
        "n_organelles": found.n_organelles,
        "n_filaments": found.n_filaments,
        "files": list(found.files),
        "simulated": found.simulated,
    }
    settings.emit(
        result,
        f"{out}: {found.n_organelles} organelles, {found.n_filaments} filaments; "
        f"{', '.join(found.files)}\nResearch use only.",
    )
