"""`tomodx bench`: benchmarks as ratios and shares against a floor in the same run."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from app.context import Settings
from engine.io.digests import require_writable

Name = Literal["segmentation", "inference", "matching", "classification"]
Tier = Literal["quick", "full"]


def register(cli: typer.Typer) -> None:
    """Add the commands of this file."""
    cli.command()(bench)


def bench(
    context: typer.Context,
    name: Annotated[Name, typer.Argument(help="Which benchmark.")],
    tier: Annotated[Tier, typer.Option(help="quick: a smoke run; full: the figures.")] = "full",
    work: Annotated[
        Path,
        typer.Option(metavar="DIR", help="Keeps what is scored or trained: a stopped run goes on."),
    ] = Path("training"),
) -> None:
    """Run a benchmark and print its figures."""
    # Each benchmark imports torch and runtimes, seconds that other commands should not wait for.
    from app.bench import classification, inference, matching, segmentation  # noqa: PLC0415
    from app.bench.result import BenchResult  # noqa: PLC0415

    settings: Settings = context.obj
    if name in ("segmentation", "classification"):
        require_writable(work / ".probe")
    runs: dict[str, Callable[..., BenchResult]] = {
        "segmentation": partial(segmentation.run, work=work),
        "inference": inference.run,
        "matching": matching.run,
        "classification": partial(classification.run, work=work / "bench-classification"),
    }
    with settings.progress(f"benchmark {name}") as on_progress:
        result = runs[name](tier, settings.device, on_progress=on_progress)
    settings.emit(result.to_json(), result.to_text())
