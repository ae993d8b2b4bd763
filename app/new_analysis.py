"""Choosing a tomogram below the data root and asking for its analysis; free of Streamlit."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cohorts.records import donor_name_fault
from cohorts.store import Store
from engine.data.tomogram import TiltRange
from engine.errors import BadInputError, MissingFileError
from engine.io.preflight import Preflight, inspect_tomogram

SUFFIXES = frozenset((".mrc", ".rec", ".map", ".mrcs", ".ali", ".st"))
# A listing is for choosing by eye; below these limits it takes a fraction of a second.
MAX_FILES, MAX_ENTRIES, MAX_DEPTH = 2000, 50_000, 6
# Checking reads the whole file: below this size it is done without being asked for.
CHECKED_AT_ONCE_BYTES = 300_000_000
FROM_HEADER = "auto"


@dataclass(frozen=True)
class DataFile:
    """A tomogram that may be chosen; `name` is its path below the data root."""

    name: str
    n_bytes: int

    @property
    def label(self) -> str:
        """Name and size."""
        if self.n_bytes >= 1e9:
            return f"{self.name} ({self.n_bytes / 1e9:.1f} GB)"
        return f"{self.name} ({self.n_bytes / 1e6:.1f} MB)"


@dataclass(frozen=True)
class Wish:
    """What a user wants analysed; absent acquisition data are taken from the file.

    Attributes
    ----------
    name
        Path below the data root.
    contrast
        Of dense matter in the file: `auto`, `dark` or `bright`.
    """

    name: str
    donor: str
    voxel_size_angst: float | None = None
    contrast: str = FROM_HEADER
    tilt_min_deg: float | None = None
    tilt_max_deg: float | None = None
    report: bool = True

    def payload(self) -> dict[str, Any]:
        """Keys of an `analyze` job; absent ones are left out."""
        content = {
            "path": self.name,
            "donor": self.donor,
            "voxel_size_angst": self.voxel_size_angst,
            "contrast": self.contrast,
            "tilt_min_deg": self.tilt_min_deg,
            "tilt_max_deg": self.tilt_max_deg,
            "report": self.report,
        }
        return {name: value for name, value in content.items() if value is not None}


def list_data_files(root: Path) -> list[DataFile]:
    """Tomograms below the data root by name; links that lead out of it are left out."""
    found = []
    for path in _walk(root):
        try:
            if path.suffix.lower() in SUFFIXES and path.resolve().is_relative_to(root):
                found.append(DataFile(path.relative_to(root).as_posix(), path.stat().st_size))
        except OSError:
            continue
        if len(found) >= MAX_FILES:
            break
    return sorted(found, key=lambda file: file.name)


def _walk(root: Path) -> Iterator[Path]:
    """Files below a folder, hidden ones left out, within the limits."""
    n_seen = 0
    for folder, folders, files in os.walk(root):
        here = Path(folder)
        depth = len(here.relative_to(root).parts)
        kept = sorted(name for name in folders if not name.startswith("."))
        folders[:] = kept if depth < MAX_DEPTH else []
        for name in sorted(files):
            n_seen += 1
            if n_seen > MAX_ENTRIES:
                return
            if not name.startswith("."):
                yield here / name


def resolve_below(root: Path, name: str) -> Path:
    """The file of a name, refused where it lies outside the data root.

    Raises
    ------
    BadInputError, MissingFileError
        Outside; not there.
    """
    path = (root / name).resolve()
    if not path.is_relative_to(root.resolve()):
        raise BadInputError("the file lies outside the data folder")
    if not path.is_file():
        raise MissingFileError(f"{name} is no longer in the data folder; reload the page")
    return path


def wish_faults(wish: Wish) -> list[str]:
    """Everything that is wrong with a wish, one sentence each."""
    faults = []
    donor_fault = donor_name_fault(wish.donor.strip())
    if donor_fault:
        faults.append('Donor: give a pseudonym, at most 80 characters, none of / \\ : * ? " < > |')
    if wish.voxel_size_angst is not None and not 0.5 <= wish.voxel_size_angst <= 200:
        faults.append("Voxel size: expected 0.5 to 200 Å")
    if (wish.tilt_min_deg is None) != (wish.tilt_max_deg is None):
        faults.append("Tilt range: give both ends or neither")
    elif wish.tilt_min_deg is not None and wish.tilt_max_deg is not None:
        try:
            TiltRange(wish.tilt_min_deg, wish.tilt_max_deg)
        except BadInputError as error:
            faults.append(f"Tilt range: {error}")
    return faults


def check_file(root: Path, wish: Wish) -> Preflight:
    """Inspect the chosen file as the analysis would read it; takes seconds per gigabyte.

    Raises
    ------
    BadInputError, MissingFileError
        The file lies outside the data root or has gone.
    """
    tilts = None
    if wish.tilt_min_deg is not None and wish.tilt_max_deg is not None:
        tilts = TiltRange(wish.tilt_min_deg, wish.tilt_max_deg)
    contrast: Any = wish.contrast
    return inspect_tomogram(
        resolve_below(root, wish.name),
        voxel_size_angst=wish.voxel_size_angst,
        contrast=contrast,
        tilt_range=tilts,
    )


def queue_analysis(store: Store, root: Path, wish: Wish) -> int:
    """Queue the analysis; returns the job's id.

    Raises
    ------
    BadInputError, MissingFileError
        The wish has faults, or the file has gone.
    """
    faults = wish_faults(wish)
    if faults:
        raise BadInputError("; ".join(faults))
    resolve_below(root, wish.name)
    return store.enqueue_job("analyze", wish.payload())
