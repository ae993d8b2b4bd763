"""CSV files as text cells, with every fault of form in one line."""

import csv
import io
from pathlib import Path

import pandas as pd

from engine.errors import BadInputError, MissingFileError

MISSING_WORDS = frozenset(("", "na", "n/a", "nan", "null", "none", "<na>", "-nan", "#n/a"))
"""What other programs write in a numeric cell for a value that is absent (lower case)."""


def read_text_table(path: Path) -> pd.DataFrame:
    """Read a CSV file with a header; every cell as text, stripped, absent cells empty.

    The index holds the lines of the file.

    Raises
    ------
    MissingFileError
        There is no such file.
    BadInputError
        A folder, not UTF-8 text, no header, a column named twice, or a row with more cells than
        the header.
    """
    if not path.exists():
        raise MissingFileError(f"{path}: no such file")
    if path.is_dir():
        raise BadInputError(f"{path}: expected a CSV file, found a folder")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInputError(
            f"{path.name}: expected a CSV file in UTF-8, found other bytes"
        ) from error
    if "\0" in text:
        raise BadInputError(f"{path.name}: expected a CSV file, found binary data")
    return _parse(path.name, text)


def _parse(name: str, text: str) -> pd.DataFrame:
    reader = csv.reader(io.StringIO(text))
    try:
        numbered = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise BadInputError(f"{name}: expected a CSV file: {error}") from error
    rows = {line: row for line, row in numbered if any(cell.strip() for cell in row)}
    if not rows:
        raise BadInputError(f"{name}: expected a header row, found an empty file")
    header = [cell.strip() for cell in rows.pop(min(rows))]
    twice = sorted({column for column in header if header.count(column) > 1})
    if twice:
        raise BadInputError(f"{name}: column named twice: {', '.join(map(repr, twice))}")
    body = []
    for line, row in rows.items():
        if any(cell.strip() for cell in row[len(header) :]):
            raise BadInputError(
                f"{name}: line {line} has {len(row)} cells, the header {len(header)}"
            )
        cells = [cell.strip() for cell in row[: len(header)]]
        body.append(cells + [""] * (len(header) - len(cells)))
    return pd.DataFrame(body, columns=header, index=list(rows), dtype="object")
