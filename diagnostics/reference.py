"""The cohort a case is set against: donors, where they come from, the model locked on them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from cohorts.tables import DonorMeans, FeatureTable, donor_means, read_feature_table
from diagnostics.locked_model import LockedModel, model_from_json
from diagnostics.packaged import is_packaged, packaged_path, packaged_text
from diagnostics.training_table import table_sha256
from engine.data.arrays import Float64s
from engine.errors import BadInputError, ModelFileError

DEFAULT_REFERENCE = "platelet_simulated"
FILES = ("features.csv", "provenance.json", "model.json")


@dataclass(frozen=True)
class GroupSize:
    """A group of the cohort."""

    name: str
    n_donors: int
    n_tomograms: int


@dataclass(frozen=True)
class Reference:
    """Donors of a reference cohort.

    Attributes
    ----------
    name
        Folder in `diagnostics/reference`.
    means
        One row a donor.
    n_tomograms
        Of each donor, in the order of `means`.
    extremes
        Smallest and largest value of a feature in any one tomogram, where any is assessable.
    description
        One paragraph: who the donors are, how they were imaged or simulated.
    assumptions
        What was assumed and not found in a source.
    simulated
        True where any donor is.
    sha256
        `table_sha256` of the feature table; the model names the table it was locked on by it.
    """

    name: str
    means: DonorMeans
    n_tomograms: tuple[int, ...]
    extremes: Mapping[str, tuple[float, float]]
    description: str
    assumptions: tuple[str, ...]
    simulated: bool
    sha256: str

    def donor_values(self, feature: str, groups: Sequence[str] | None = None) -> Float64s:
        """Donor means of a feature, NaN where not assessable; all groups by default."""
        if feature not in self.means.features:
            return np.empty(0)
        column = self.means.values[:, self.means.features.index(feature)]
        if groups is None:
            return column
        return column[[label in groups for label in self.means.labels]]

    def sorted_values(self, feature: str, group: str) -> tuple[float, ...]:
        """Assessable donor means of one group, ascending."""
        values = self.donor_values(feature, (group,))
        return tuple(float(value) for value in np.sort(values[np.isfinite(values)]))

    def groups(self, order: Sequence[str]) -> tuple[GroupSize, ...]:
        """Size of each group, in the order given."""
        labels = self.means.labels
        return tuple(
            GroupSize(
                name=group,
                n_donors=sum(label == group for label in labels),
                n_tomograms=sum(
                    n for n, label in zip(self.n_tomograms, labels, strict=True) if label == group
                ),
            )
            for group in order
        )


def _extremes(table: FeatureTable) -> Mapping[str, tuple[float, float]]:
    known = {
        name: column[np.isfinite(column)]
        for name, column in zip(table.features, table.values.T, strict=True)
    }
    return MappingProxyType(
        {name: (float(v.min()), float(v.max())) for name, v in known.items() if len(v)}
    )


def reference_from_table(
    name: str,
    table: FeatureTable,
    *,
    description: str,
    assumptions: Sequence[str] = (),
    simulated: bool,
) -> Reference:
    """Reference cohort from a feature table with one row a tomogram."""
    means = donor_means(table)
    donors = table.donors
    return Reference(
        name=name,
        means=means,
        n_tomograms=tuple(donors.count(donor) for donor in means.donors),
        extremes=_extremes(table),
        description=description,
        assumptions=tuple(assumptions),
        simulated=simulated,
        sha256=table_sha256(table),
    )


def load_reference(name: str = DEFAULT_REFERENCE) -> tuple[Reference, LockedModel]:
    """Read a shipped reference cohort with the model locked on it.

    Raises
    ------
    BadInputError
        No cohort of that name is shipped.
    ModelFileError
        The model file was altered, or was locked on another table.
    """
    absent = [file for file in FILES if not is_packaged("reference", name, file)]
    if absent:
        raise BadInputError(
            f"expected a reference cohort {name!r} with {', '.join(FILES)}; "
            f"{', '.join(absent)} not found; reinstall TomoDx or rebuild the cohort"
        )
    with packaged_path("reference", name, "features.csv") as path:
        table = read_feature_table(path)
    origin: dict[str, Any] = json.loads(packaged_text("reference", name, "provenance.json"))
    reference = reference_from_table(
        name,
        table,
        description=str(origin["description"]),
        assumptions=[str(item) for item in origin.get("assumptions", ())],
        simulated=bool(origin["simulated"]),
    )
    model = model_from_json(packaged_text("reference", name, "model.json"))
    if model.training_sha256 != reference.sha256:
        raise ModelFileError(
            f"reference {name}: the model was locked on another table (expected "
            f"{model.training_sha256[:12]}, found {reference.sha256[:12]}); lock it again"
        )
    return reference, model
