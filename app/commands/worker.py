"""`tomodx worker`: runs the jobs that pages and commands queued."""

from functools import lru_cache
from pathlib import Path
from typing import Annotated

import typer

from app.context import Settings, home_folder
from app.jobs import Tools, Worker
from app.method import AnalysisMethod
from app.pipeline import default_method
from cohorts.store import Store, open_store
from engine.errors import MissingFileError


def register(cli: typer.Typer) -> None:
    """Add the commands of this file."""
    cli.command("worker")(worker)


def worker(
    context: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="End when no job is left.")] = False,
    poll: Annotated[
        float, typer.Option(min=0.05, metavar="SECONDS", help="How often to look for jobs.")
    ] = 1.0,
    data_root: Annotated[
        Path | None,
        typer.Option(help="Folder that new tomograms may come from; default $TOMODX_HOME/data."),
    ] = None,
) -> None:
    """Run queued jobs; Ctrl-C hands the current one back and stops."""
    settings: Settings = context.obj
    if data_root is not None and not data_root.is_dir():
        raise MissingFileError(f"--data-root: expected a folder, found none at {data_root}")
    root = data_root or home_folder() / "data"
    store = open_store(settings.store_url)

    @lru_cache(maxsize=1)
    def method() -> AnalysisMethod:
        return default_method(settings.device)

    runner = Worker(store, settings, root.resolve(), Tools(method, _report))
    ended = runner.run(once=once, poll_s=poll)
    settings.emit({"n_jobs": ended}, f"{ended} jobs ended.")


def _report(store: Store, donor: str, out_folder: Path, settings: Settings) -> object:
    # Fonts, figures and PDF take a second to import: a worker that only analyses does without.
    from app.reporting import report_donor  # noqa: PLC0415

    return report_donor(store, donor, out_folder, settings)
