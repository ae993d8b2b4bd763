"""`tomodx correct`: a reader accepts, rejects, merges or splits instances of an analysis."""

import getpass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer

from app.context import Settings

Kind = Literal["accept", "reject", "merge", "split", "show"]


def register(cli: typer.Typer) -> None:
    """Add the commands of this file."""
    cli.command()(correct)


def correct(
    context: typer.Context,
    analysis: Annotated[Path, typer.Argument(metavar="DIR", help="That `analyze` wrote.")],
    kind: Annotated[Kind, typer.Argument(help="What to do; show: what has been done.")],
    instances: Annotated[
        list[int] | None, typer.Argument(metavar="[ID]…", help="One instance; two to merge.")
    ] = None,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; kept in the log.")] = "",
    at: Annotated[
        list[str] | None,
        typer.Option(metavar="Z,Y,X", help="Place (nm) in each part of a split; repeat."),
    ] = None,
    reader: Annotated[
        str | None, typer.Option(metavar="NAME", help="Pseudonym; default the user's name.")
    ] = None,
) -> None:
    """Correct the instances of an analysis; log and result lie beside it, it stays as it is."""
    # SciPy and scikit-image take a second that other commands should not wait for.
    from app.correcting import correct_analysis, place_of  # noqa: PLC0415
    from engine.segmentation.corrections import Correction  # noqa: PLC0415

    settings: Settings = context.obj
    new = None
    if kind != "show":
        new = Correction(
            kind=kind,
            instance_ids=tuple(instances or ()),
            reason=reason,
            reader=reader or getpass.getuser(),
            when=datetime.now(UTC).isoformat(timespec="seconds"),
            seeds_nm=tuple(place_of(text) for text in at or ()),
        )
    with settings.progress(f"correcting {analysis.name}"):
        found = correct_analysis(analysis, new)
    changed = {name: both for name, both in found.counts.items() if both[0] != both[1]}
    words = "; ".join(f"{name}: {a} automatic, {b} corrected" for name, (a, b) in changed.items())
    settings.emit(
        {
            "out": str(found.folder),
            "n_corrections": found.n_corrections,
            "counts": {
                name: {"automatic": a, "corrected": b} for name, (a, b) in found.counts.items()
            },
        },
        f"{found.folder}: {found.n_corrections} corrections; {words or 'counts as before'}\n"
        "Research use only.",
    )
