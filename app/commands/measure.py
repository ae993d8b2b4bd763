"""`tomodx measure`: bodies in a mask of any program."""

from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from app.context import Settings


def register(cli: typer.Typer) -> None:
    """Add the commands of this file."""
    cli.command()(measure)


def measure(
    context: typer.Context,
    mask: Annotated[Path, typer.Argument(metavar="MASK", help="MRC volume or TIFF stack.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the results.")],
    voxel_size_nm: Annotated[
        tuple[float, float, float] | None,
        typer.Option(metavar="Z Y X", help="Sides of a voxel; overrides an MRC header."),
    ] = None,
    instances: Annotated[
        bool, typer.Option("--instances", help="Each value is one body, not all values a mask.")
    ] = False,
    part: Annotated[
        int | None,
        typer.Option(metavar="N", help="Value of a part of the bodies: its share is measured."),
    ] = None,
    outer_surface: Annotated[
        bool, typer.Option("--outer-surface", help="Surface next to the voxels outside.")
    ] = False,
    smallest_um3: Annotated[
        float, typer.Option(metavar="F", help="Smaller bodies are left out.")
    ] = 0.0,
) -> None:
    """Count and measure the bodies in a mask: volume, surface, length, branches."""
    # scikit-image and matplotlib take seconds that other commands should not wait for.
    from app.mask_measuring import MaskRequest, measure_mask  # noqa: PLC0415

    settings: Settings = context.obj
    request = MaskRequest(
        path=mask,
        spacing_nm=voxel_size_nm,
        meaning="instances" if instances else "mask",
        part=part,
        surface="outer" if outer_surface else "smooth",
        smallest_um3=smallest_um3,
    )
    with settings.progress(f"measuring {mask.name}") as on_progress:
        found = measure_mask(request, out, on_progress=on_progress)
    shapes = [body.shape for body in found.bodies]
    totals = {
        "n_bodies": len(shapes),
        "n_touching_border": sum(body.touches_border for body in found.bodies),
        "n_left_out": found.n_left_out,
        "volume_um3": sum(shape.volume_um3 for shape in shapes),
        "surface_um2": sum(shape.surface_um2 for shape in shapes),
        "length_nm_median": float(np.median([s.length_nm for s in shapes])) if shapes else None,
    }
    settings.emit(
        {"out": str(out), **totals, "files": list(found.files)},
        f"{mask.name}: {totals['n_bodies']} bodies ({totals['n_touching_border']} cut by a face), "
        f"{totals['volume_um3']:.4g} µm³, surface {totals['surface_um2']:.4g} µm²; see "
        f"{out / 'bodies.csv'}\nResearch use only.",
    )
