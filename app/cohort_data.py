"""What the cohort page shows: donor means of the shipped reference or of the store's donors."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from app.case_data import shipped_reference
from app.cohort_charts import GroupValues
from cohorts.store import Store
from diagnostics.case import case_features
from diagnostics.features.table import FEATURES, Feature
from diagnostics.locked_model import LockedModel
from diagnostics.panels import panel_named
from diagnostics.panels.rules import Panel
from diagnostics.reference import Reference
from engine.data.measurements import OrganelleMeasurements

NO_GROUP = "not given"


@dataclass(frozen=True)
class DonorValues:
    """Features of one donor by name; those not assessable are absent."""

    donor: str
    group: str
    values: dict[str, float]


@dataclass(frozen=True)
class CohortView:
    """Donors of a cohort, ready to draw.

    Attributes
    ----------
    groups
        Group and its label, in the order to draw.
    """

    donors: tuple[DonorValues, ...]
    groups: tuple[tuple[str, str], ...]
    simulated: bool

    def features(self, panel: Panel) -> list[Feature]:
        """Features that at least one donor has, those of the model first."""
        order = (*panel.features, *panel.supporting, *panel.comparability)
        known = {feature.name: feature for feature in FEATURES}
        names = [*order, *(name for name in known if name not in order)]
        present = {name for donor in self.donors for name in donor.values}
        return [known[name] for name in names if name in present]

    def by_group(self, feature: str) -> list[GroupValues]:
        """Donor means of one feature, group by group."""
        found = []
        for group, label in self.groups:
            having = [d for d in self.donors if d.group == group and feature in d.values]
            found.append(
                GroupValues(
                    group=group,
                    label=label,
                    donors=tuple(d.donor for d in having),
                    values=tuple(d.values[feature] for d in having),
                )
            )
        return found


def reference_cohort() -> tuple[CohortView, Reference, LockedModel, Panel]:
    """Gather the shipped reference cohort.

    Raises
    ------
    PipelineError
        It is not installed or was altered.
    """
    reference, model = shipped_reference()
    panel = panel_named(model.panel)
    donors = tuple(
        DonorValues(
            donor,
            group or NO_GROUP,
            {
                name: float(value)
                for name, value in zip(reference.means.features, values, strict=True)
                if math.isfinite(value)
            },
        )
        for donor, group, values in zip(
            reference.means.donors, reference.means.labels, reference.means.values, strict=True
        )
    )
    groups = tuple((group, panel.group_label(group)) for group in panel.groups)
    return CohortView(donors, groups, reference.simulated), reference, model, panel


def store_cohort(store: Store) -> CohortView:
    """Gather the donors of the store that have at least one analysed tomogram."""
    of_tomogram = {row.tomogram_id: row.donor for row in store.tomograms()}
    measured: dict[str, list[OrganelleMeasurements]] = {}
    for item in store.measurements():
        measured.setdefault(of_tomogram[item.tomogram_id], []).append(item)
    donors = tuple(
        _donor_values(row.donor, row.group or NO_GROUP, measured[row.donor])
        for row in store.donors()
        if row.donor in measured
    )
    groups = sorted({donor.group for donor in donors}, key=lambda name: (name == NO_GROUP, name))
    simulated = any(item.provenance.simulated for items in measured.values() for item in items)
    return CohortView(donors, tuple((name, name.capitalize()) for name in groups), simulated)


def _donor_values(donor: str, group: str, measured: Sequence[OrganelleMeasurements]) -> DonorValues:
    features = case_features(donor, measured)
    known = {name: item.value for name, item in features.values.items() if item.value is not None}
    return DonorValues(donor, group, known)
