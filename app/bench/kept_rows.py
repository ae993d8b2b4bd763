"""Rows of a benchmark's parts on disk: a stopped run goes on with the part that it was in."""

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

from pydantic import TypeAdapter

from app.bench.result import BenchRow
from engine.io.digests import write_text_atomically

ROWS = TypeAdapter(list[BenchRow])


def digest_of_files(paths: Iterable[Path], words: Iterable[str] = ()) -> str:
    """Of names and contents of files, whatever their order, and of words beside them."""
    found = hashlib.sha256("\n".join(sorted(words)).encode())
    for path in sorted(paths):
        found.update(path.name.encode())
        found.update(path.read_bytes())
    return found.hexdigest()[:12]


class KeptRows:
    """Rows by part, of one state of the program and its networks.

    Parameters
    ----------
    folder
        Holds a folder for each key.
    key
        Of all that rows rest on: where anything else was measured, it is measured anew.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self._folder = folder / key

    def measured(self, part: str, measure: Callable[[], list[BenchRow]]) -> list[BenchRow]:
        """Rows of a part: those that are kept, else measured and kept."""
        path = self._folder / f"{part}.json"
        if path.is_file():
            return ROWS.validate_json(path.read_bytes())
        rows = measure()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text_atomically(path, ROWS.dump_json(rows, indent=1).decode())
        return rows
