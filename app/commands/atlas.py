"""`tomodx atlas`: the copies that a match found, put back into the volume."""

from pathlib import Path
from typing import Annotated, Any

import typer

from app.context import Settings
from engine.errors import BadInputError
from engine.io.mrc import GivenContrast


def register(cli: typer.Typer) -> None:
    """Add the commands of this file."""
    cli.command()(atlas)


def atlas(
    context: typer.Context,
    match: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of `tomodx match`.")],
    template: Annotated[
        list[Path],
        typer.Option("--template", metavar="T.mrc", help="Those that were matched; repeatable."),
    ],
    tomogram: Annotated[
        Path, typer.Option("--tomogram", metavar="FILE", help="The one that was matched.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="OUT", help="Folder for the atlas.")],
    minimum_probability: Annotated[
        float, typer.Option(metavar="P", help="Of the picks that are put into the atlas.")
    ] = 0.5,
    voxel_size_angst: Annotated[
        float | None, typer.Option(metavar="F", help="In Å; overrides the tomogram's header.")
    ] = None,
    contrast: Annotated[
        GivenContrast, typer.Option(help="Of protein in the tomogram; auto asks the copies.")
    ] = "auto",
) -> None:
    """Put the copies that a match found back into the volume: where, how many, how near."""
    # scipy and matplotlib take seconds that other commands should not wait for.
    from app.atlas import AtlasRequest, atlas_of_match  # noqa: PLC0415

    if not 0.0 <= minimum_probability <= 1.0:
        raise BadInputError(
            "expected a probability from 0 to 1 for --minimum-probability, found "
            f"{minimum_probability:g}"
        )
    settings: Settings = context.obj
    request = AtlasRequest(
        match_folder=match,
        templates=tuple(template),
        tomogram=tomogram,
        minimum_probability=minimum_probability,
        voxel_size_angst=voxel_size_angst,
        contrast=contrast,
    )
    with settings.progress(f"putting copies into {tomogram.name}") as on_progress:
        made = atlas_of_match(request, out, on_progress=on_progress)
    settings.emit(_as_json(made, out), _as_text(made, out))


def _as_json(made: Any, out: Path) -> dict[str, Any]:  # noqa: ANN401 - imported lazily
    from engine.io.atlas_files import atlas_summary  # noqa: PLC0415

    flags = [
        {"level": flag.level, "code": flag.code, "message": flag.message} for flag in made.flags
    ]
    return {
        **atlas_summary(made.scene), "out": str(out), "files": list(made.files), "flags": flags
    }  # fmt: skip


def _as_text(made: Any, out: Path) -> str:  # noqa: ANN401 - imported lazily
    scene = made.scene
    simulated = " (simulated)" if scene.simulated else ""
    lines = [f"{scene.tomogram.tomogram_id}{simulated}: atlas in {out}"]
    for row in scene.rows:
        nearest_nm = row.nearest_neighbour_median_nm
        distance = "" if nearest_nm is None else f"; nearest of its kind {nearest_nm:.1f} nm"
        found = row.abundance
        lines.append(
            f"  {row.template_id}: {row.n_placed} of {row.n_picks} picks placed (label "
            f"{row.class_id}); {found.per_um3:.4g} per um3 (95 % interval "
            f"{found.low_per_um3:.4g} to {found.high_per_um3:.4g}){distance}"
        )
    lines += [f"  {flag.level}: {flag.message}" for flag in made.flags]
    return "\n".join([*lines, "Research use only."])
