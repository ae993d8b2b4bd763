"""`tomodx classify`: what subtomograms are, how surely, and which are none of what is known."""

from pathlib import Path
from typing import Annotated, Any

import typer

from app.context import Settings
from engine.io.mrc import GivenContrast


def register(cli: typer.Typer) -> None:
    """Add the commands of this file."""
    cli.command()(classify)


def classify(
    context: typer.Context,
    subtomograms: Annotated[
        Path,
        typer.Argument(help="Stack (.h5, .mrc, .star); with --picks, the tomogram they lie in."),
    ],
    model: Annotated[str, typer.Option("--model", metavar="NAME", help="Or a model folder.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the results.")],
    picks: Annotated[
        Path | None,
        typer.Option(metavar="P.star", help="Particles (.star) or a match's picks.csv."),
    ] = None,
    examples: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="1-5 labelled ones a class (.h5, .star), or picks with classes: look for these.",
        ),
    ] = None,
    averaged: Annotated[
        bool,
        typer.Option("--averaged", help="Let the stack average what the examples stand for."),
    ] = False,
    voxel_size_angst: Annotated[
        float | None, typer.Option(metavar="F", help="In Å; overrides what the file records.")
    ] = None,
    contrast: Annotated[
        GivenContrast | None,
        typer.Option(help="Of protein; bright for stacks, estimated for tomograms where absent."),
    ] = None,
) -> None:
    """Name subtomograms: class, calibrated probability, embedding, none of these."""
    from app.classifying import ClassifyRequest, classify_file  # noqa: PLC0415

    settings: Settings = context.obj
    request = ClassifyRequest(
        subtomograms, model, picks, examples, averaged, voxel_size_angst, contrast
    )
    with settings.progress(f"classifying {subtomograms.name}") as on_progress:
        done = classify_file(request, out, device=settings.device, on_progress=on_progress)
    counts = _counts(done)
    simulated = " (simulated)" if done.stack.provenance.simulated else ""
    lines = [f"{len(done.stack)} subtomograms{simulated}: results in {out}"]
    lines += [f"  {name}: {count}" for name, count in counts.items()]
    if done.n_left_out:
        lines.append(f"  left out: {done.n_left_out} particles outside the tomogram")
    settings.emit(
        {
            "n": len(done.stack),
            "n_left_out": done.n_left_out,
            "counts": counts,
            "model": model,
            "simulated": done.stack.provenance.simulated,
            "out": str(out),
            "files": list(done.files),
        },
        "\n".join([*lines, "Research use only."]),
    )


def _counts(done: Any) -> dict[str, int]:  # noqa: ANN401 - imported lazily
    from engine.data.classification import NONE_OF_THESE  # noqa: PLC0415
    from engine.io.classification_files import class_names_of  # noqa: PLC0415

    names = class_names_of(done.found)
    return {name: names.count(name) for name in (*done.found.class_names, NONE_OF_THESE)}
