"""The `tomodx` command: global options, command groups, exit statuses."""

import logging
import os
import sys
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

from app.context import Device, Settings
from engine import __version__
from engine.errors import PipelineError

# How typer reports Ctrl-C.
INTERRUPTED = 130
# In the order of the help; the file in `app/commands` that registers each command.
COMMAND_FILES = {
    "demo": "demo",
    "doctor": "doctor",
    "analyze": "analyze",
    "match": "match",
    "classify": "classify",
    "picks": "picks",
    "atlas": "atlas",
    "geometry": "geometry",
    "measure": "measure",
    "correct": "correct",
    "cohort": "cohort",
    "template": "template",
    "report": "report",
    "simulate": "simulate",
    "reference": "simulate",
    "train": "models",
    "adapt": "adapt",
    "export": "models",
    "models": "models",
    "serve": "serve",
    "worker": "worker",
    "bench": "bench",
}


def build_cli(arguments: list[str]) -> typer.Typer:
    """The command with the subcommands that the arguments may mean, or all where they name none.

    Some subcommands take seconds to import; the others should not wait for them.
    """
    named = [name for name in COMMAND_FILES if name in arguments]
    cli = typer.Typer(
        name="tomodx",
        help="Cryo-electron tomograms of patients' cells in, measurements and a report out.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    for file in dict.fromkeys(COMMAND_FILES[name] for name in named or COMMAND_FILES):
        import_module(f"app.commands.{file}").register(cli)
    cli.callback()(set_up)
    return cli


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"tomodx {__version__}")
        raise typer.Exit


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
        given = sys.argv[1:] if arguments is None else arguments
        result: Any = build_cli(given)(given, standalone_mode=False)
    except PipelineError as error:
        return _fail(str(error), error.exit_status)
    except TyperException as error:
        # Raised with the whole help as its message; its class is not public.
        if type(error).__name__ == "NoArgsIsHelpError":
            sys.stderr.write(error.format_message() + "\n")
            return 2
        return _fail(error.format_message(), 2)
    except (typer.Abort, KeyboardInterrupt):
        result = INTERRUPTED
    except (OSError, MemoryError) as error:
        return _fail(str(error) or type(error).__name__, 1)
    if result == INTERRUPTED:
        return _fail("interrupted; finished steps are kept, run the command again to go on", 1)
    return result if isinstance(result, int) else 0


def main() -> None:
    """Entry point of the console script."""
    # Threads that wait for work sleep instead of spinning: a sixth less CPU time for a match, the
    # same wall time. Read by OpenMP when torch is first imported, which no command has done yet.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.exit(run())
