"""SHA-256 of files, and output that is either whole or not there."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from engine.data.provenance import FileDigest
from engine.errors import OutputNotWritableError

# Names what a folder was written with, so that a later run may replace it and nothing else.
FOLDER_LIST = ".tomodx"
CHUNK_BYTES = 1 << 20


def sha256_of(path: Path) -> str:
    """SHA-256 (hex) of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def digest_of(path: Path) -> FileDigest:
    """Name (without its folder) and SHA-256 of a file."""
    return FileDigest(path.name, sha256_of(path))


def beside(path: Path) -> Path:
    """Name a place next to `path` that no other run uses: write there, then rename."""
    return path.with_name(f".{path.name}.partial-{os.getpid()}-{uuid4().hex[:8]}")


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Give a path to write to; it replaces `path` on success and vanishes on failure.

    Raises
    ------
    OutputNotWritableError
        The folder does not exist or cannot be written.
    """
    staging = beside(path.absolute())
    try:
        staging.touch()
        if path.is_dir():
            raise IsADirectoryError(None, "it is a folder", str(path))
    except OSError as error:
        with suppress(OSError):
            staging.unlink(missing_ok=True)
        raise _not_writable(path, error) from error
    try:
        yield staging
        staging.replace(path)
    finally:
        with suppress(OSError):
            staging.unlink(missing_ok=True)


def write_text_atomically(path: Path, text: str) -> None:
    """Write UTF-8 with Unix line ends; the old file stays whole until the new one is."""
    with atomic_file(path) as staging:
        staging.write_text(text, encoding="utf-8", newline="\n")


def require_writable(folder: Path) -> None:
    """Check that `fresh_folder(folder)` will work, before hours of computing; leaves nothing.

    Raises
    ------
    OutputNotWritableError
        As `fresh_folder`.
    """
    staging, made_parents = _stage(_real(folder))
    staging.rmdir()
    _remove_empty(made_parents)


@contextmanager
def fresh_folder(folder: Path) -> Iterator[Path]:
    """Give an empty folder to write into; it becomes `folder` on success, vanishes on failure.

    A folder that an earlier run wrote is replaced as a whole; one that holds anything else is
    never touched.

    Raises
    ------
    OutputNotWritableError
        The folder cannot be made, is a file, or holds files that TomoDx did not write.
    """
    folder = _real(folder)
    staging, made_parents = _stage(folder)
    done = False
    try:
        yield staging
        names = sorted(entry.name for entry in staging.iterdir())
        write_text_atomically(staging / FOLDER_LIST, "".join(f"{name}\n" for name in names))
        _swap(staging, folder)
        done = True
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        if not done:
            _remove_empty(made_parents)


def _not_writable(folder: Path, error: OSError) -> OutputNotWritableError:
    return OutputNotWritableError(
        f"expected an output place that can be written, found {folder} which cannot be made "
        f"({error.strerror or type(error).__name__}); choose another place",
        path=str(folder),
    )


def _real(folder: Path) -> Path:
    """Follow links: what is swapped is the folder itself, not a link to it."""
    try:
        real = folder.resolve()
    except (OSError, RuntimeError) as error:
        raise OutputNotWritableError(
            f"expected an output folder, found {folder} which leads nowhere; choose another folder",
            path=str(folder),
        ) from error
    if real == Path.cwd() or real in Path.cwd().parents:
        raise OutputNotWritableError(
            f"expected an output folder of its own, found {folder} in which the command runs; "
            "name a folder below it",
            path=str(folder),
        )
    return real


def _stage(folder: Path) -> tuple[Path, list[Path]]:
    """Make the staging folder beside `folder`; also the parents made for it, innermost first."""
    _refuse_foreign(folder)
    made: list[Path] = []
    staging = beside(folder)
    try:
        missing = [
            parent for parent in staging.parents if not parent.exists() and not parent.is_symlink()
        ]
        for parent in reversed(missing):
            parent.mkdir(exist_ok=True)
            made.insert(0, parent)
        staging.mkdir()
    except OSError as error:
        _remove_empty(made)
        raise _not_writable(folder, error) from error
    return staging, made


def _refuse_foreign(folder: Path) -> None:
    try:
        if not folder.exists():
            return
        if not folder.is_dir():
            raise OutputNotWritableError(
                f"expected an output folder, found {folder} which is a file; choose another folder",
                path=str(folder),
            )
        foreign = _foreign_names(folder)
    except OutputNotWritableError:
        raise
    except OSError as error:
        raise _not_writable(folder, error) from error
    if foreign:
        raise OutputNotWritableError(
            f"expected an empty output folder or one that TomoDx wrote, found {foreign[0]} in "
            f"{folder}; choose another folder or move that file",
            path=str(folder),
        )


def _foreign_names(folder: Path) -> list[str]:
    """Entries that no earlier run wrote, sorted."""
    listed = folder / FOLDER_LIST
    ours = {FOLDER_LIST}
    if listed.is_file():
        ours |= set(listed.read_text(encoding="utf-8").splitlines())
    return sorted(entry.name for entry in folder.iterdir() if entry.name not in ours)


def _swap(staging: Path, folder: Path) -> None:
    """Put `staging` in the place of `folder`; an older folder goes only when the new one is in."""
    if not folder.exists():
        staging.rename(folder)
        return
    _refuse_foreign(folder)
    old = beside(folder)
    folder.rename(old)
    try:
        staging.rename(folder)
    except OSError:
        old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def plain_name(text: str) -> str:
    """A name that every file system takes, from any text."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in text)
