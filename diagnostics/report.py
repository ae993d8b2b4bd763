"""Build the report of one case from values alone: no disk, no clock, no chance."""

from collections.abc import Sequence

from diagnostics.case import CaseFeatures
from diagnostics.features.table import FEATURES, Feature
from diagnostics.locked_model import LockedModel
from diagnostics.panels import panel_named
from diagnostics.panels.rules import Panel
from diagnostics.prediction import predict_case
from diagnostics.reference import Reference
from diagnostics.report_text import headline, limits, methods, remark
from diagnostics.report_values import (
    CaseReport,
    MeasuredFeature,
    Role,
    TomogramEvidence,
)
from diagnostics.single_case import compare_single_case, reference_interval
from engine import __version__
from engine.data.measurements import QualityFlag
from engine.errors import BadInputError


def build_report(
    case: CaseFeatures,
    reference: Reference,
    model: LockedModel,
    evidence: Sequence[TomogramEvidence],
    *,
    date: str | None = None,
) -> CaseReport:
    """Set a case against a reference cohort.

    Parameters
    ----------
    case
        From `case_features`.
    reference
        Cohort; its controls give the reference ranges.
    model
        Locked on that cohort; BadInputError where it was locked on another.
    evidence
        One per tomogram of the case, any order.
    date
        Printed as given; left out where None, so that the same input gives the same bytes.
    """
    if model.training_sha256 != reference.sha256:
        raise BadInputError(
            f"the model was locked on a cohort other than {reference.name}: expected the table "
            f"{model.training_sha256[:12]}, found {reference.sha256[:12]}"
        )
    panel = panel_named(model.panel)
    prediction = predict_case(case, reference, model, panel)
    rows = tuple(_row(feature, case, reference, panel) for feature in _ordered(panel))
    return CaseReport(
        donor=case.donor,
        date=date,
        software_version=__version__,
        simulated_case=case.simulated,
        simulated_reference=reference.simulated,
        panel=panel,
        headline=headline(case, reference, model, panel, prediction, rows),
        prediction=prediction,
        features=rows,
        flags=_flags(case, panel),
        evidence=tuple(sorted(evidence, key=lambda item: item.tomogram_id)),
        reference_name=reference.name,
        reference_description=reference.description,
        reference_assumptions=reference.assumptions,
        reference_sha256=reference.sha256,
        reference_groups=reference.groups(panel.groups),
        model=model,
        methods=methods(reference, model, panel),
        limits=limits(reference, model, panel),
        provenances=tuple((item.tomogram_id, item.provenance) for item in case.tomograms),
    )


def _ordered(panel: Panel) -> list[Feature]:
    """The features of the table in the order model, supporting, recording."""
    names = (*panel.features, *panel.supporting, *panel.comparability)
    known = {feature.name: feature for feature in FEATURES}
    return [known[name] for name in names]


def _role(name: str, panel: Panel) -> Role:
    if name in panel.features:
        return "model"
    return "supporting" if name in panel.supporting else "recording"


def _row(
    feature: Feature, case: CaseFeatures, reference: Reference, panel: Panel
) -> MeasuredFeature:
    measured = case.values[feature.name]
    controls = reference.donor_values(feature.name, panel.control_groups)
    interval = reference_interval(controls, feature.upper_bound)
    value = measured.value
    return MeasuredFeature(
        feature=feature,
        role=_role(feature.name, panel),
        measured=measured,
        per_tomogram=tuple(
            (item.tomogram_id, item.values[feature.name])
            for item in case.tomograms
            if feature.name in item.values
        ),
        reference=interval,
        single_case=None if value is None else compare_single_case(value, controls),
        cohort=tuple(
            (group, reference.sorted_values(feature.name, group)) for group in panel.groups
        ),
        remark=remark(feature, measured, interval),
    )


def _flags(case: CaseFeatures, panel: Panel) -> tuple[QualityFlag, ...]:
    """Flags of the case, worst first, with the panel's rule on the number of tomograms."""
    flags = list(case.flags)
    n = len(case.tomogram_ids)
    if 1 < n < panel.min_tomograms:
        message = f"{n} tomograms; the panel asks for at least {panel.min_tomograms}"
        flags.append(QualityFlag("warning", "few_tomograms", message))
    order = {"error": 0, "warning": 1, "info": 2}
    return tuple(sorted(flags, key=lambda flag: order[flag.level]))
