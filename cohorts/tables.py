"""Feature tables: one row a tomogram, named numeric columns with units, the donor as the unit."""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cohorts.text_table import MISSING_WORDS, read_text_table
from engine.data.arrays import Float64s
from engine.errors import BadInputError

_WHO = {"donor", "patient", "subject", "specimen", "sample", "group", "site", "label"}
_WHERE = {"tomogram", "tomogram_id", "grid", "session", "batch", "path", "file", "index", "row"}
_HOW = {"voxel_size_angst", "voxel_size_nm", "tilt_min_deg", "tilt_max_deg", "tilt_step_deg"}
_WHICH = {"fold", "folds", "split", "contrast", "simulated", "seed", "replicate", "n_tomograms"}
ID_COLUMNS = frozenset(_WHO | _WHERE | _HOW | _WHICH)
"""Columns that identify or describe an acquisition; numbers in them are not features."""

_ID_PATTERN = re.compile(
    r"(^|_)(id|uid|uuid)$|(^|_)folds?(_(no|nr|number|index))?$|^unnamed: ?\d*$|^$"
)


@dataclass(frozen=True)
class FeatureTable:
    """Rows of features with the donor they come from.

    Attributes
    ----------
    frame
        One row a tomogram (or any repeat of a donor). Text columns as written, absent ones
        empty; feature columns float64, NaN = not assessable.
    features
        Numeric columns in use, in the order of the file.
    donor_column, label_column
        Who, and to which group the donor belongs (empty = not known).
    fold_column
        None, or the column by which validation leaves out.
    """

    frame: pd.DataFrame
    features: tuple[str, ...]
    donor_column: str = "donor"
    label_column: str = "group"
    fold_column: str | None = None

    def __post_init__(self) -> None:
        named = [self.donor_column, self.label_column, *self.features]
        absent = [name for name in named if name not in self.frame.columns]
        if absent:
            raise BadInputError(f"feature table: missing column {', '.join(absent)}")
        frame = self.frame.copy()
        frame.index = pd.RangeIndex(len(frame))
        frame[list(self.features)] = frame[list(self.features)].astype(np.float64)
        if np.isinf(frame[list(self.features)].to_numpy()).any():
            raise BadInputError("feature table: features must be finite or empty, found infinity")
        object.__setattr__(self, "frame", frame)

    @property
    def values(self) -> Float64s:
        """Features, (rows, features)."""
        return self.frame[list(self.features)].to_numpy(dtype=np.float64)

    @property
    def simulated(self) -> bool:
        """True where any row says that it comes from a simulated tomogram."""
        if "simulated" not in self.frame.columns:
            return False
        return any(str(cell).lower() in ("true", "1", "yes") for cell in self.frame["simulated"])

    @property
    def donors(self) -> list[str]:
        """Donor of each row."""
        return [str(donor) for donor in self.frame[self.donor_column]]


@dataclass(frozen=True)
class DonorMeans:
    """One row a donor: the mean of each feature over the rows in which it is assessable.

    Attributes
    ----------
    donors
        In the order of first appearance.
    labels
        Group of each donor; None where the table does not say.
    folds
        Value of the fold column; None where there is no such column.
    values
        (donors, features), NaN where no row of the donor is assessable.
    n
        (donors, features), rows that each mean rests on.
    """

    donors: tuple[str, ...]
    labels: tuple[str | None, ...]
    folds: tuple[str, ...] | None
    features: tuple[str, ...]
    values: Float64s
    n: Float64s

    def subset(self, keep: Sequence[bool]) -> "DonorMeans":
        """Return the donors for which `keep` is true."""
        index = np.flatnonzero(np.asarray(keep, dtype=bool))
        return DonorMeans(
            donors=tuple(self.donors[i] for i in index),
            labels=tuple(self.labels[i] for i in index),
            folds=None if self.folds is None else tuple(self.folds[i] for i in index),
            features=self.features,
            values=self.values[index],
            n=self.n[index],
        )

    def frame(self) -> pd.DataFrame:
        """Return a tidy table: donor, group, features."""
        frame = pd.DataFrame(self.values, columns=list(self.features))
        frame.insert(0, "group", [label or "" for label in self.labels])
        frame.insert(0, "donor", list(self.donors))
        return frame


def read_feature_table(
    path: Path,
    *,
    donor: str = "donor",
    label: str = "group",
    folds: str | None = None,
    features: Sequence[str] = (),
) -> FeatureTable:
    """Read a tidy CSV file.

    Parameters
    ----------
    path
        UTF-8, `.` decimal, one header row.
    donor, label, folds
        Names of columns.
    features
        Columns to use; by default every numeric column that does not identify a row or describe
        its acquisition (see `ID_COLUMNS`, and names that end in `_id`).

    Raises
    ------
    MissingFileError
        There is no such file.
    BadInputError
        Not a table, a column is missing or not numeric, a donor is empty, a value is infinite.
    """
    table = read_text_table(path)
    roles = [name for name in (donor, label, folds) if name is not None]
    absent = [name for name in [*roles, *features] if name not in table.columns]
    if absent:
        raise BadInputError(
            f"{path.name}: expected the column {', '.join(absent)}, found "
            f"{', '.join(table.columns)}"
        )
    if not len(table):
        raise BadInputError(f"{path.name}: expected rows below the header, found none")
    if (table[donor] == "").any():
        line = table.index[table[donor] == ""][0]
        raise BadInputError(f"{path.name}: line {line} has no {donor}; name the donor of every row")
    numbers = {name: _numbers(table[name]) for name in table.columns if name not in roles}
    chosen = _choose(path.name, numbers, features)
    for name in chosen:
        table[name] = numbers[name]
    return FeatureTable(table, tuple(chosen), donor, label, folds)


def write_feature_table(table: FeatureTable, path: Path) -> None:
    """Write a tidy CSV file; a value that is not assessable is an empty cell."""
    path.write_text(csv_text(table.frame), encoding="utf-8", newline="\n")


def csv_text(frame: pd.DataFrame) -> str:
    """Return a frame as CSV: booleans as true/false, floats in full, absent as empty."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(frame.columns)
    for row in frame.itertuples(index=False, name=None):
        writer.writerow([_cell(value) for value in row])
    return stream.getvalue()


def donor_means(table: FeatureTable) -> DonorMeans:
    """Average the rows of each donor, feature by feature, over those that are assessable.

    Raises
    ------
    BadInputError
        A donor has two labels, or two values of the fold column: the split would leak.
    """
    grouped = table.frame.groupby(table.donor_column, sort=False)
    means = grouped[list(table.features)].mean()
    counts = grouped[list(table.features)].count()
    order = means.index
    labels = _one_value(table, table.label_column)
    folds = None if table.fold_column is None else _one_value(table, table.fold_column)
    if folds is not None and None in folds.values():
        without = [donor for donor, fold in folds.items() if fold is None]
        raise BadInputError(f"{table.fold_column}: donors without a fold: {', '.join(without)}")
    return DonorMeans(
        donors=tuple(str(donor) for donor in order),
        labels=tuple(labels[str(donor)] for donor in order),
        folds=None if folds is None else tuple(str(folds[str(donor)]) for donor in order),
        features=table.features,
        values=means.to_numpy(dtype=np.float64),
        n=counts.to_numpy(dtype=np.float64),
    )


def _one_value(table: FeatureTable, column: str) -> dict[str, str | None]:
    """Return the single non-empty value of each donor; all offenders in one error."""
    values: dict[str, str | None] = {}
    faults = []
    for donor, cells in table.frame.groupby(table.donor_column, sort=False)[column]:
        found = sorted({str(cell) for cell in cells if str(cell) not in ("", "nan", "None")})
        if len(found) > 1:
            faults.append(f"{donor} ({', '.join(found)})")
        values[str(donor)] = found[0] if found else None
    if faults:
        raise BadInputError(
            f"{column}: the donor is the unit and must have one value; found several for "
            f"{'; '.join(faults)}"
        )
    return values


def _numbers(column: "pd.Series[str]") -> "pd.Series[float] | None":
    """Return the column as numbers, or None where a cell is neither number nor empty."""
    cells = column.where(~column.str.lower().isin(MISSING_WORDS))
    numbers = pd.to_numeric(cells, errors="coerce")
    return None if (numbers.isna() & cells.notna()).any() else numbers.astype(np.float64)


def _choose(
    name: str, numbers: dict[str, "pd.Series[float] | None"], wanted: Sequence[str]
) -> list[str]:
    if wanted:
        text = [column for column in wanted if numbers.get(column) is None]
        if text:
            raise BadInputError(f"{name}: expected numbers in {', '.join(text)}, found text")
        return list(dict.fromkeys(wanted))
    chosen = [
        column
        for column, values in numbers.items()
        if values is not None and values.notna().any() and not _identifies(column)
    ]
    if not chosen:
        raise BadInputError(
            f"{name}: expected at least one numeric feature column, found none among "
            f"{', '.join(numbers) or 'no columns'}"
        )
    return chosen


def _identifies(column: str) -> bool:
    lowered = column.strip().lower()
    return lowered in ID_COLUMNS or _ID_PATTERN.search(lowered) is not None


def _cell(value: object) -> object:
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float | np.floating):
        return "" if np.isnan(value) else repr(float(value))
    return "" if value is None else value
