"""Files that ship inside the package: rules, templates, fonts, reference cohorts."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path

from engine.errors import BadInputError


def packaged_text(*parts: str) -> str:
    """UTF-8 text of a file below `diagnostics`."""
    return packaged_bytes(*parts).decode("utf-8")


def packaged_bytes(*parts: str) -> bytes:
    """Bytes of a file below `diagnostics`; BadInputError where it was not installed."""
    try:
        return files("diagnostics").joinpath(*parts).read_bytes()
    except OSError as error:
        raise BadInputError(
            f"expected {'/'.join(parts)} in the installed package, not found; reinstall TomoDx"
        ) from error


@contextmanager
def packaged_path(*parts: str) -> Iterator[Path]:
    """Give a path to a file below `diagnostics`, for readers that want one."""
    with as_file(files("diagnostics").joinpath(*parts)) as path:
        yield path


def is_packaged(*parts: str) -> bool:
    """Tell whether a file below `diagnostics` exists."""
    return files("diagnostics").joinpath(*parts).is_file()
