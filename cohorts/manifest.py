"""The manifest: a CSV file that lists the tomograms of a cohort."""

import math
from collections import Counter, defaultdict
from pathlib import Path

import pandas as pd

from cohorts.records import (
    Cohort,
    Covariate,
    DonorRecord,
    ManifestContrast,
    TomogramRecord,
    donor_name_fault,
)
from cohorts.text_table import read_text_table
from engine.errors import BadInputError

COLUMNS = (
    "donor",
    "group",
    "site",
    "tomogram",
    "voxel_size_angst",
    "tilt_min_deg",
    "tilt_max_deg",
    "contrast",
)
_CONTRASTS: dict[str, ManifestContrast] = {
    "": "auto",
    "auto": "auto",
    "dark": "dark",
    "bright": "bright",
}


def read_manifest(path: Path) -> Cohort:
    """Read and check a manifest.

    Parameters
    ----------
    path
        CSV with the columns of `COLUMNS` and any covariates. `tomogram` is relative to the
        manifest's folder and must lie inside it, links resolved. The cells of group, site, voxel
        size, tilt range and contrast may be empty.

    Returns
    -------
    Cohort
        Donors and tomograms in the order of the file.

    Raises
    ------
    MissingFileError
        There is no such manifest.
    BadInputError
        Anything else; every fault of the file in one line.
    """
    table = read_text_table(path)
    missing = [column for column in COLUMNS if column not in table.columns]
    if missing:
        raise BadInputError(
            f"{path.name}: missing column {', '.join(missing)}; expected {', '.join(COLUMNS)}"
        )
    if not len(table):
        raise BadInputError(f"{path.name}: expected at least one tomogram, found an empty table")
    faults = [
        *_row_faults(table, path.parent),
        *_duplicates(table, path.parent),
        *_donor_faults(table),
    ]
    if faults:
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise BadInputError(f"{path.name}: {count}: {'; '.join(faults)}")
    return _cohort(table, path.parent)


def _row_faults(table: pd.DataFrame, folder: Path) -> list[str]:
    faults = []
    for line, row in _lines(table):
        name_fault = donor_name_fault(row["donor"])
        if name_fault:
            faults.append(f"line {line}: {name_fault}")
        if path_fault := _path_fault(row["tomogram"], folder):
            faults.append(f"line {line}: {path_fault}")
        faults += [f"line {line}: {fault}" for fault in _number_faults(row)]
        if row["contrast"].lower() not in _CONTRASTS:
            faults.append(
                f"line {line}: contrast must be dark, bright or auto, found {row['contrast']!r}"
            )
    return faults


def _path_fault(cell: str, folder: Path) -> str | None:
    if not cell:
        return "tomogram is empty"
    try:
        path = (folder / cell).resolve()
        path.stat(follow_symlinks=False)
    except FileNotFoundError:
        pass
    except (OSError, RuntimeError) as error:
        return f"tomogram {cell[:80]} cannot be opened: {error}"
    if not path.is_relative_to(folder.resolve()):
        return f"tomogram {cell} lies outside the manifest's folder"
    if not path.exists():
        return f"tomogram {cell}: no such file"
    return None if path.is_file() else f"tomogram {cell} is not a file"


def _number_faults(row: dict[str, str]) -> list[str]:
    faults = []
    values: dict[str, float | None] = {}
    for column in ("voxel_size_angst", "tilt_min_deg", "tilt_max_deg"):
        try:
            values[column] = _number(row[column])
        except ValueError:
            values[column] = None
            faults.append(f"{column} must be a number, found {row[column]!r}")
    size = values["voxel_size_angst"]
    if size is not None and size <= 0:
        faults.append(f"voxel_size_angst must be positive, found {size:g}")
    low, high = values["tilt_min_deg"], values["tilt_max_deg"]
    if (row["tilt_min_deg"] == "") != (row["tilt_max_deg"] == ""):
        faults.append("give both tilt_min_deg and tilt_max_deg, or neither")
    if low is not None and high is not None and not -90 <= low < high <= 90:
        faults.append(f"tilt range must rise within -90..90 degrees, found {low:g}..{high:g}")
    return faults


def _duplicates(table: pd.DataFrame, folder: Path) -> list[str]:
    faults = []
    pairs: dict[tuple[str, Path], list[str]] = defaultdict(list)
    owners: dict[Path, set[str]] = defaultdict(set)
    for line, row in _lines(table):
        if row["tomogram"]:
            path = (folder / row["tomogram"]).resolve()
            pairs[row["donor"], path].append(str(line))
            owners[path].add(row["donor"])
    for (donor, path), lines in pairs.items():
        if len(lines) > 1:
            faults.append(
                f"duplicate donor and tomogram: {donor}, {path.name} in lines {', '.join(lines)}"
            )
    for path, donors in owners.items():
        if len(donors) > 1:
            faults.append(
                f"tomogram {path.name} belongs to two donors: {', '.join(sorted(donors))}"
            )
    return faults


def _donor_faults(table: pd.DataFrame) -> list[str]:
    faults = []
    for column in ("group", "site"):
        for donor, cells in table.groupby("donor", sort=False)[column]:
            found = list(dict.fromkeys(str(cell) for cell in cells))
            if len(found) > 1:
                shown = ", ".join(value or "(empty)" for value in found)
                faults.append(f"donor {donor} has two {column}s: {shown}")
    return faults


def _cohort(table: pd.DataFrame, folder: Path) -> Cohort:
    extra = [column for column in table.columns if column not in COLUMNS and column]
    per_donor = {
        column: bool((table.groupby("donor")[column].nunique() <= 1).all()) for column in extra
    }
    names = _tomogram_ids(table)
    donors: dict[str, DonorRecord] = {}
    tomograms = []
    for (_, row), tomogram_id in zip(_lines(table), names, strict=True):
        donors.setdefault(
            row["donor"],
            DonorRecord(
                donor=row["donor"],
                group=row["group"] or None,
                site=row["site"] or None,
                covariates=_covariates(row, [name for name in extra if per_donor[name]]),
            ),
        )
        tomograms.append(
            TomogramRecord(
                tomogram_id=tomogram_id,
                donor=row["donor"],
                path=(folder / row["tomogram"]).resolve(),
                voxel_size_angst=_number(row["voxel_size_angst"]),
                tilt_min_deg=_number(row["tilt_min_deg"]),
                tilt_max_deg=_number(row["tilt_max_deg"]),
                contrast=_CONTRASTS[row["contrast"].lower()],
                covariates=_covariates(row, [name for name in extra if not per_donor[name]]),
            )
        )
    return Cohort(tuple(donors.values()), tuple(tomograms))


def _tomogram_ids(table: pd.DataFrame) -> list[str]:
    """Name each tomogram `DONOR_STEM`; with its folders where stems repeat within a donor."""
    stems = [_named(row["donor"], [Path(row["tomogram"]).stem]) for _, row in _lines(table)]
    counts = Counter(stems)
    return [
        stem
        if counts[stem] == 1
        else _named(row["donor"], Path(row["tomogram"]).with_suffix("").parts)
        for stem, (_, row) in zip(stems, _lines(table), strict=True)
    ]


def _named(donor: str, parts: "list[str] | tuple[str, ...]") -> str:
    name = "_".join(part for part in parts if part not in (".", ".."))
    separated = name.removeprefix(donor)
    known = separated != name and separated[:1] in ("", "_", "-", ".")
    return name if known else f"{donor}_{name}"


def _covariates(row: dict[str, str], columns: list[str]) -> dict[str, Covariate]:
    values: dict[str, Covariate] = {}
    for column in columns:
        if row[column]:
            try:
                values[column] = _number(row[column]) or 0.0
            except ValueError:
                values[column] = row[column]
    return values


def _number(cell: str) -> float | None:
    """Return a finite number, or None for an empty cell; ValueError for anything else."""
    if not cell:
        return None
    value = float(cell)
    if not math.isfinite(value):
        raise ValueError(cell)
    return value


def _lines(table: pd.DataFrame) -> list[tuple[int, dict[str, str]]]:
    """Return rows with the line of the file they stand in."""
    return [
        (int(line), {str(key): str(cell) for key, cell in record.items()})
        for line, record in zip(table.index, table.to_dict("records"), strict=True)
    ]
