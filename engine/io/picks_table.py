"""`picks.csv`, the tidy table of picks that a match writes, read back."""

import csv
import math
from pathlib import Path

import numpy as np

from engine.data.arrays import Float64s
from engine.data.orientations import no_rotations, rotations_from_relion
from engine.data.particles import ParticleSet
from engine.errors import BadInputError, MissingFileError

CLASS_COLUMN = "template"
POSITION_COLUMNS = ("z_nm", "y_nm", "x_nm")
ANGLE_COLUMNS = ("rot_deg", "tilt_deg", "psi_deg")
NEEDED_COLUMNS = (CLASS_COLUMN, *POSITION_COLUMNS, *ANGLE_COLUMNS, "probability")
ANGST_PER_NM = 10.0


def read_picks_csv(path: Path, *, tomogram_id: str) -> ParticleSet:
    """Read the picks of one tomogram.

    Parameters
    ----------
    path
        Comma-separated, with a header: template, position in nanometre, RELION's angles in
        degrees; every further column becomes a figure, an empty cell NaN.
    tomogram_id
        Not in the table; given to every particle.

    Returns
    -------
    ParticleSet
        In the order of the file; empty where it holds a header alone.

    Raises
    ------
    MissingFileError
        No such file.
    BadInputError
        Not text, a column that is missing or stands twice, a row of another length, a cell that
        is no number, a position or angle that is missing.
    """
    names, rows = _read_rows(path)
    columns = {name: [row[i] for row in rows] for i, name in enumerate(names)}
    numbers = {
        name: _numbers(path, name, cells, may_lack=name not in (*POSITION_COLUMNS, *ANGLE_COLUMNS))
        for name, cells in columns.items()
        if name != CLASS_COLUMN
    }
    classes = tuple(cell.strip() for cell in columns[CLASS_COLUMN])
    if "" in classes:
        raise BadInputError(
            f"{path.name}: expected a template's name in every row, found none in row "
            f"{classes.index('') + 1}; give the table as the match wrote it"
        )
    positions_nm = np.stack([numbers.pop(name) for name in POSITION_COLUMNS], axis=1)
    angles_deg = np.stack([numbers.pop(name) for name in ANGLE_COLUMNS], axis=1)
    return ParticleSet(
        positions_angst=positions_nm * ANGST_PER_NM,
        rotations=rotations_from_relion(angles_deg) if len(rows) else no_rotations(),
        tomogram_ids=(tomogram_id,) * len(rows),
        class_names=classes,
        figures=numbers,
    )


def _read_rows(path: Path) -> tuple[list[str], list[list[str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            table = [row for row in csv.reader(stream) if row]
    except FileNotFoundError as error:
        raise MissingFileError(
            f"expected a table of picks, found none at {path}; give a folder of `tomodx match`",
            path=str(path),
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadInputError(
            f"{path.name}: expected a comma-separated table, found another kind of file; give the "
            "table as the match wrote it",
            path=str(path),
        ) from error
    if not table:
        raise BadInputError(
            f"{path.name}: expected a header and rows, found an empty file; run the match again",
            path=str(path),
        )
    names = [name.strip() for name in table[0]]
    _require_columns(path, names)
    for number, row in enumerate(table[1:], 1):
        if len(row) != len(names):
            raise BadInputError(
                f"{path.name}: expected {len(names)} cells in row {number}, found {len(row)}; "
                "give the table as the match wrote it"
            )
    return names, table[1:]


def _require_columns(path: Path, names: list[str]) -> None:
    missing = [name for name in NEEDED_COLUMNS if name not in names]
    if missing:
        raise BadInputError(
            f"{path.name}: expected the columns {', '.join(NEEDED_COLUMNS)}, found no "
            f"{', '.join(missing)}; give the table as the match wrote it"
        )
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadInputError(
            f"{path.name}: expected every column once, found {twice[0]!r} twice; remove one"
        )


def _numbers(path: Path, name: str, cells: list[str], *, may_lack: bool) -> Float64s:
    values = np.empty(len(cells))
    for index, cell in enumerate(cells):
        try:
            values[index] = float(cell) if cell.strip() or not may_lack else math.nan
        except ValueError as error:
            raise _no_number(path, name, index, cell) from error
        if not (may_lack or math.isfinite(values[index])):
            raise _no_number(path, name, index, cell)
    if name == "probability" and not (np.isnan(values) | ((values >= 0) & (values <= 1))).all():
        index = int(np.flatnonzero(~((values >= 0) & (values <= 1)))[0])
        raise BadInputError(
            f"{path.name}: expected probabilities in [0, 1], found {cells[index]} in row "
            f"{index + 1}; correct it or run the match again"
        )
    return values


def _no_number(path: Path, name: str, index: int, cell: str) -> BadInputError:
    return BadInputError(
        f"{path.name}: expected a number in column {name}, row {index + 1}, found "
        f"{cell.strip()[:40]!r}; correct it or run the match again"
    )
