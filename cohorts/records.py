"""What a manifest says about donors and their tomograms."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from engine.errors import BadInputError

ManifestContrast = Literal["auto", "dark", "bright"]
Covariate = str | float


@dataclass(frozen=True)
class DonorRecord:
    """One donor.

    Attributes
    ----------
    donor
        Pseudonym.
    group, site
        None where the manifest leaves the cell empty (a case not yet diagnosed has no group).
    covariates
        Further columns that are the same in all rows of the donor; empty cells are absent.
    """

    donor: str
    group: str | None = None
    site: str | None = None
    covariates: Mapping[str, Covariate] = field(default_factory=dict)

    def __post_init__(self) -> None:
        fault = donor_name_fault(self.donor)
        if fault:
            raise BadInputError(fault, donor=self.donor)
        object.__setattr__(self, "covariates", MappingProxyType(dict(self.covariates)))


@dataclass(frozen=True)
class TomogramRecord:
    """One tomogram file of a donor.

    Attributes
    ----------
    tomogram_id
        Unique in the cohort.
    path
        Absolute.
    voxel_size_angst, tilt_min_deg, tilt_max_deg
        None where the manifest leaves the cell empty: then the file's header decides.
    covariates
        Further columns that differ between tomograms of a donor (grid, session, ...).
    """

    tomogram_id: str
    donor: str
    path: Path
    voxel_size_angst: float | None = None
    tilt_min_deg: float | None = None
    tilt_max_deg: float | None = None
    contrast: ManifestContrast = "auto"
    covariates: Mapping[str, Covariate] = field(default_factory=dict)

    def __post_init__(self) -> None:
        size = self.voxel_size_angst
        if size is not None and not (math.isfinite(size) and size > 0):
            raise BadInputError(f"{self.tomogram_id}: voxel size must be positive, found {size}")
        if (self.tilt_min_deg is None) != (self.tilt_max_deg is None):
            raise BadInputError(f"{self.tomogram_id}: give both ends of the tilt range or neither")
        if not self.path.is_absolute():
            raise BadInputError(f"{self.tomogram_id}: expected an absolute path, found {self.path}")
        object.__setattr__(self, "covariates", MappingProxyType(dict(self.covariates)))


@dataclass(frozen=True)
class Cohort:
    """Donors and their tomograms; every tomogram belongs to a donor listed."""

    donors: tuple[DonorRecord, ...]
    tomograms: tuple[TomogramRecord, ...]

    def __post_init__(self) -> None:
        names = [donor.donor for donor in self.donors]
        ids = [tomogram.tomogram_id for tomogram in self.tomograms]
        if len(set(names)) < len(names) or len(set(ids)) < len(ids):
            raise BadInputError("donors and tomogram ids must each be unique in a cohort")
        strangers = {tomogram.donor for tomogram in self.tomograms} - set(names)
        if strangers:
            raise BadInputError(f"tomograms of donors not in the cohort: {sorted(strangers)}")


def donor_name_fault(donor: str) -> str | None:
    """Why a donor's pseudonym cannot name a folder, or None."""
    if not donor or len(donor) > 80 or donor.startswith(".") or not donor.isprintable():
        return f"donor {donor!r}: expected 1 to 80 printable characters, not starting with a dot"
    if any(character in donor for character in '/\\:*?"<>|'):
        return f'donor {donor!r}: a pseudonym may not hold any of / \\ : * ? " < > |'
    return None
