"""The `tomodx` command: global options, command groups, exit statuses."""

import logging
import sys
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

from app.commands import (
    analyze,
    atlas,
    bench,
    cohort,
    demo,
    doctor,
    match,
    models,
    picks,
    report,
    serve,
    simulate,
    template,
    worker,
)
from app.context import Device, Settings
from engine import __version__
from engine.errors import PipelineError

cli = typer.Typer(
    name="tomodx",
    help="Cryo-electron tomograms of patients' cells in, measurements and a report out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

COMMAND_FILES = (
    demo,
    doctor,
    analyze,
    match,
    picks,
    atlas,
    cohort,
    template,
    report,
    simulate,
    models,
    serve,
    worker,
    bench,
)
for _file in COMMAND_FILES:
    _file.register(cli)


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"tomodx {__version__}")
        raise typer.Exit


@cli.callback()
def set_up(
    context: typer.Context,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress, no summary.")] = False,
    device: Annotated[Device, typer.Option(help="Where networks and simulation run.")] = "auto",
    store: Annotated[
        str | None, typer.Option(metavar="PATH|URL", help="Store; default in $TOMODX_HOME.")
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Set the global options."""
    context.obj = Settings(as_json, quiet, device, store)
    logging.basicConfig(
        level=logging.WARNING, stream=sys.stderr, format="tomodx: %(levelname)s: %(message)s"
    )


def _fail(message: str, status: int) -> int:
    line = " ".join(str(message).split())
    sys.stderr.write(f"tomodx: error: {line}\n")
    return status


def run(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit status: 0 done, 1 failed, 2 bad input or arguments."""
    try:
        result: Any = cli(arguments, standalone_mode=False)
    except PipelineError as error:
        return _fail(str(error), error.exit_status)
    except TyperException as error:
        # Raised with the whole help as its message; its class is not public.
        if type(error).__name__ == "NoArgsIsHelpError":
            sys.stderr.write(error.format_message() + "\n")
            return 2
        return _fail(error.format_message(), 2)
    except (typer.Abort, KeyboardInterrupt):
        return _fail("interrupted; finished steps are kept, run the command again to go on", 1)
    except (OSError, MemoryError) as error:
        return _fail(str(error) or type(error).__name__, 1)
    return result if isinstance(result, int) else 0


def main() -> None:
    """Entry point of the console script."""
    sys.exit(run())
