"""`provenance.json`: what a folder of results rests on, and the digest of every file in it."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from engine.data.provenance import Provenance
from engine.io.digests import sha256_of, write_text_atomically

PROVENANCE = "provenance.json"


def write_provenance(folder: Path, provenance: Provenance) -> tuple[str, ...]:
    """Write it beside the files that are in the folder by now; the last file to be written.

    Returns
    -------
    tuple of str
        Names of all files, its own last.

    Raises
    ------
    OutputNotWritableError
        The folder cannot be written.
    """
    files = sorted(path.name for path in folder.iterdir())
    record = {
        **asdict(provenance),
        "outputs": {name: _digest(folder / name) for name in files},
    }
    write_text_atomically(folder / PROVENANCE, json.dumps(record, indent=1, sort_keys=True) + "\n")
    return (*files, PROVENANCE)


def _digest(path: Path) -> str:
    """SHA-256 (hex) of a file; of a folder that of the names and digests of all its files."""
    if path.is_file():
        return sha256_of(path)
    whole = hashlib.sha256()
    for one in sorted(each for each in path.rglob("*") if each.is_file()):
        whole.update(f"{one.relative_to(path).as_posix()} {sha256_of(one)}\n".encode())
    return whole.hexdigest()
