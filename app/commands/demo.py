"""`tomodx demo`."""

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.commands.report import report_result, report_text
from app.commands.serve import serve
from app.context import Settings

if TYPE_CHECKING:
    from app.demo import Demo

SEED = 2015


def register(cli: typer.Typer) -> None:
    """Add the commands of this file."""
    cli.command("demo")(demo)


def demo(
    context: typer.Context,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where everything goes.")] = (
        Path("demo")
    ),
    seed: Annotated[int, typer.Option(min=0, help="Another seed is another case.")] = SEED,
    serve_after: Annotated[
        bool, typer.Option("--serve", help="Then start the web application.")
    ] = False,
) -> None:
    """Simulate one new case, analyse it, set it against the shipped cohort, write the report."""
    # Importing torch takes seconds that other commands should not wait for.
    from app.demo import run_demo  # noqa: PLC0415
    from app.demo_case import DemoParams  # noqa: PLC0415

    settings: Settings = context.obj
    with settings.progress("demo") as on_progress:
        made = run_demo(out, DemoParams(seed=seed), settings, on_progress)
    settings.emit(demo_result(made), demo_text(made))
    if serve_after:
        context.obj = made.settings
        serve(context, data_root=made.data_root)


def demo_result(made: "Demo") -> dict[str, Any]:
    """JSON object of the command."""
    return {
        **report_result(made.written),
        "out": str(made.folder.absolute()),
        "store": made.settings.store_url,
        "truth": [asdict(counts) for counts in made.truth],
        "serve": serve_command(made),
    }


def demo_text(made: "Demo") -> str:
    """Summary for people."""
    counts = ", ".join(str(one.mitochondria) for one in made.truth)
    lengths = ", ".join(f"{one.microtubule_length_nm / 1000:.1f}" for one in made.truth)
    return "\n".join(
        (
            report_text(made.written),
            f"Truth of the simulation, tomogram by tomogram: mitochondria {counts}; "
            f"microtubule length {lengths} µm.",
            f"Open the case in the application: {serve_command(made)}",
        )
    )


def serve_command(made: "Demo") -> str:
    """Command that opens the application on the demo's store."""
    store = made.settings.store or ""
    data = made.data_root.absolute()
    store_path = store if "://" in store else str(Path(store).absolute())
    return shlex.join(["tomodx", "--store", store_path, "serve", "--data-root", str(data)])
