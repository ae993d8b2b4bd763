"""`tomodx serve`: the web application, with a worker of its own unless told otherwise."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer

from app.context import Settings, home_folder
from app.web_site import Site, set_site
from cohorts.store import open_store
from engine.errors import BadInputError, MissingFileError, OutputNotWritableError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
WORKER_PATIENCE_S = 10.0


def register(cli: typer.Typer) -> None:
    """Add the commands of this file."""
    cli.command("serve")(serve)


def serve(
    context: typer.Context,
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8501,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    data_root: Annotated[
        Path | None,
        typer.Option(help="Folder that new tomograms may come from; default $TOMODX_HOME/data."),
    ] = None,
    worker: Annotated[
        bool, typer.Option(help="Run a worker for the jobs that pages ask for.")
    ] = True,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="A further name that browsers may call this machine by; repeat it."),
    ] = None,
) -> None:
    """Start the web application; Ctrl-C stops it."""
    settings: Settings = context.obj
    root = data_folder(data_root)
    require_free(host, port)
    store = open_store(settings.store_url)
    store.close()
    set_site(Site(settings, root, has_worker=worker))
    address = f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"
    result = {"url": address, "store": settings.store_url, "data_root": str(root)}
    settings.emit(result, f"TomoDx is at {address}\nCtrl-C stops it.")
    sys.stdout.flush()
    with worker_process(settings, root) if worker else no_worker():
        run_server(host, port, host_names(host, allow_host or []))


def data_folder(chosen: Path | None) -> Path:
    """Resolve the data root; the default one is made where it is not there.

    Raises
    ------
    MissingFileError, OutputNotWritableError
        The folder chosen does not exist; the default one cannot be made.
    """
    if chosen is None:
        root = home_folder() / "data"
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputNotWritableError(f"cannot make the data folder {root}: {error}") from None
        return root.resolve()
    if not chosen.is_dir():
        raise MissingFileError(f"--data-root: expected a folder, found none at {chosen}")
    return chosen.resolve()


def require_free(host: str, port: int) -> None:
    """Refuse an address that cannot be listened on.

    Raises
    ------
    BadInputError
        The port is taken, or the address is not one of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As the server does: a port whose last user has just gone is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise BadInputError(
                f"cannot listen on {host} port {port} ({error.strerror or error}); "
                "choose another with --port"
            ) from None


def host_names(host: str, further: list[str]) -> frozenset[str]:
    """Names that browsers may use: loopback, the address itself, this machine, those given."""
    names = {*LOOPBACK, host, socket.gethostname(), *further}
    return frozenset(name.lower() for name in names if name)


def run_server(host: str, port: int, allowed_hosts: frozenset[str]) -> None:
    """Serve until interrupted."""
    # Streamlit takes a second to import: other commands should not wait for it.
    from app.server import build_app, streamlit_options  # noqa: PLC0415

    # The server ends tidily on SIGTERM and then raises it again: by then it must not kill us, or
    # the worker would outlive the server.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Interrupted at one moment the server raises, at another it just returns.
    with suppress(KeyboardInterrupt):
        build_app(allowed_hosts).run(config=streamlit_options(host, port))
    sys.stderr.write("tomodx: stopped\n")


@contextmanager
def no_worker() -> Iterator[None]:
    """Leave the jobs to a worker started elsewhere."""
    yield


@contextmanager
def worker_process(settings: Settings, data_root: Path) -> Iterator[None]:
    """Run `tomodx worker` beside the server; it ends with it."""
    start = "from app.cli import main; main()"
    command = [sys.executable, "-c", start, "--quiet", "--device", settings.device]
    if settings.store:
        command += ["--store", settings.store]
    # Its own group: Ctrl-C reaches the server first, which then ends the worker.
    command += ["worker", "--data-root", str(data_root)]
    with subprocess.Popen(command, start_new_session=True) as process:
        try:
            yield
        finally:
            stop_process(process)


def stop_process(process: "subprocess.Popen[bytes]") -> None:
    """Interrupt a process and its children, and end what does not heed it."""
    if process.poll() is not None:
        return
    os.killpg(process.pid, signal.SIGINT)
    try:
        process.wait(WORKER_PATIENCE_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
