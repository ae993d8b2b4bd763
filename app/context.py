"""What every command shares: where things are stored, how results and progress are printed."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

Device = Literal["auto", "cpu", "cuda"]
OnProgress = Callable[[float], None]


def home_folder() -> Path:
    """`$TOMODX_HOME`, by default `~/.tomodx`; not created here."""
    return Path(os.environ.get("TOMODX_HOME") or Path.home() / ".tomodx")


@dataclass(frozen=True)
class Settings:
    """Global options of one command."""

    json: bool = False
    quiet: bool = False
    device: Device = "auto"
    store: str | None = None

    @property
    def store_url(self) -> str:
        """SQLAlchemy URL of the store; a plain path means SQLite there."""
        if self.store and "://" in self.store:
            return self.store
        path = Path(self.store) if self.store else home_folder() / "store.sqlite"
        return f"sqlite:///{path.absolute()}"

    @property
    def artifacts_folder(self) -> Path:
        """Folder of the files that steps write, beside the store."""
        if self.store and "://" not in self.store:
            return Path(self.store).absolute().parent / "artifacts"
        return home_folder() / "artifacts"

    def emit(self, result: dict[str, Any], text: str) -> None:
        """Print the result: one JSON object with `--json`, otherwise `text`."""
        if self.json:
            sys.stdout.write(json.dumps(result, allow_nan=False) + "\n")
        elif not self.quiet:
            sys.stdout.write(text.rstrip("\n") + "\n")

    @contextmanager
    def progress(self, title: str) -> Iterator[OnProgress]:
        """Progress of one long task on stderr; the callback takes a fraction in [0, 1]."""
        if self.quiet:
            yield lambda fraction: None
            return
        console = Console(stderr=True)
        if not console.is_terminal:
            yield _line_progress(title)
            return
        columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(title, total=1.0)
            yield lambda fraction: bar.update(task, completed=fraction)


def _line_progress(title: str) -> OnProgress:
    """Progress for logs and pipes: a line at every tenth."""
    reached = -1

    def update(fraction: float) -> None:
        nonlocal reached
        tenth = int(fraction * 10)
        if tenth > reached:
            reached = tenth
            sys.stderr.write(f"{title}: {tenth * 10} %\n")

    return update
