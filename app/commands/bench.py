"""`tomodx bench`: benchmarks as ratios and shares against a floor in the same run."""

from typing import Annotated, Literal

import typer

from app.context import Settings

Name = Literal["segmentation", "inference", "matching"]
Tier = Literal["quick", "full"]


def register(cli: typer.Typer) -> None:
    """Add the commands of this file."""
    cli.command()(bench)


def bench(
    context: typer.Context,
    name: Annotated[Name, typer.Argument(help="Which benchmark.")],
    tier: Annotated[Tier, typer.Option(help="quick: a smoke run; full: the figures.")] = "full",
) -> None:
    """Run a benchmark and print its figures."""
    # Each benchmark imports torch and runtimes, seconds that other commands should not wait for.
    from app.bench import inference, matching, segmentation  # noqa: PLC0415

    settings: Settings = context.obj
    run = {
        "segmentation": segmentation.run,
        "inference": inference.run,
        "matching": matching.run,
    }[name]
    with settings.progress(f"benchmark {name}") as on_progress:
        result = run(tier, settings.device, on_progress)
    settings.emit(result.to_json(), result.to_text())
