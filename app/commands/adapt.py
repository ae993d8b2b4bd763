"""`tomodx adapt`: a shipped network fine-tuned on a site's own labels, whole or sparse."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from app.context import Settings
from engine.io.digests import require_writable
from engine.io.mrc import GivenContrast


def register(cli: typer.Typer) -> None:
    """Add the commands of this file."""
    cli.command()(adapt)


def adapt(
    context: typer.Context,
    task: Annotated[Literal["coarse", "fine"], typer.Argument(help="Which of the networks.")],
    labelled: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="NAME.mrc and NAME_labels.mrc: ids as in labels.json, 255 where not labelled.",
        ),
    ],
    name: Annotated[str, typer.Option(metavar="NAME", help="Of the new network.")],
    work: Annotated[
        Path, typer.Option("--work", metavar="DIR", help="Members and checkpoints; kept.")
    ] = Path("training"),
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="For the network; default in work.")
    ] = None,
    base: Annotated[
        str | None, typer.Option(metavar="NAME", help="Network to begin with; default the shipped.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, metavar="N", help="Of two patches each.")] = 200,
    contrast: Annotated[
        GivenContrast, typer.Option(help="Of protein in the files; auto estimates it.")
    ] = "auto",
) -> None:
    """Train a shipped network on with your own labelled tomograms; some sections suffice."""
    from app.adapting import adapt_network  # noqa: PLC0415
    from models.registry import own_models  # noqa: PLC0415

    settings: Settings = context.obj
    target = out or own_models(work)
    require_writable(work / ".probe")
    require_writable(target / ".probe")
    with settings.progress(f"adapting {task}") as on_progress:
        found = adapt_network(
            task, labelled, work, target, name=name, steps=steps, base=base, contrast=contrast,
            device="cuda" if settings.device == "cuda" else "cpu", on_progress=on_progress,
        )  # fmt: skip
    held = "one held-out tomogram of yours" if found.n_held_out else "held-out simulation"
    lines = "\n".join(f"  {each}: {value:.3f}" for each, value in found.metrics.items())
    settings.emit(
        {
            "name": name,
            "out": str(found.folder),
            "n_tomograms": found.n_tomograms,
            "n_held_out": found.n_held_out,
            "metrics": {each: round(value, 4) for each, value in found.metrics.items()},
        },
        f"{name} written to {found.folder}; use it with tomodx analyze --{task}-model "
        f"{found.folder}\non {held}:\n{lines}\nResearch use only.",
    )
