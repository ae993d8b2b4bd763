"""What the case page shows, gathered from the store; quick, and free of Streamlit."""

from dataclasses import dataclass
from functools import lru_cache

from app.page_data import report_content
from cohorts.store import DonorRow, ReportRow, Store, TomogramRow
from diagnostics.case import CaseFeatures, case_features
from diagnostics.locked_model import LockedModel
from diagnostics.reference import Reference, load_reference
from diagnostics.report import build_report
from diagnostics.report_values import CaseReport
from engine.errors import PipelineError


@dataclass(frozen=True)
class CaseView:
    """Everything the case page shows of a donor but pictures.

    Attributes
    ----------
    report
        The case against the shipped reference, from the measurements now in the store; None
        where `no_report` gives the reason.
    stored_reports
        Newest first.
    """

    donor: DonorRow
    tomograms: tuple[TomogramRow, ...]
    features: CaseFeatures | None
    report: CaseReport | None
    no_report: str
    stored_reports: tuple[ReportRow, ...]

    @property
    def simulated(self) -> bool:
        """True where the case or its reference is simulated."""
        if self.report is not None:
            return self.report.simulated_case or self.report.simulated_reference
        return self.features is not None and self.features.simulated

    @property
    def is_outdated(self) -> bool:
        """True where the newest report rests on other tomograms than are analysed now."""
        if not self.stored_reports or self.features is None:
            return False
        content = report_content(self.stored_reports[0])
        versions = content.get("versions", {}) if content else {}
        return set(versions.get("tomograms", {})) != set(self.features.tomogram_ids)


@lru_cache(maxsize=1)
def shipped_reference() -> tuple[Reference, LockedModel]:
    """Read the shipped reference cohort and the model locked on it, once a process.

    Raises
    ------
    PipelineError
        It is not installed or was altered.
    """
    return load_reference()


def case_view(store: Store, donor: str) -> CaseView:
    """Gather one case.

    Raises
    ------
    BadInputError
        The store does not hold the donor.
    """
    row = store.donor(donor)
    features, report, reason = None, None, ""
    measured = store.measurements(donor)
    if measured:
        try:
            features = case_features(donor, measured)
            reference, model = shipped_reference()
            report = build_report(features, reference, model, ())
        except PipelineError as error:
            reason = str(error)
    else:
        reason = "No tomogram of this donor has been analysed yet."
    return CaseView(
        donor=row,
        tomograms=tuple(store.tomograms(donor)),
        features=features,
        report=report,
        no_report=reason,
        stored_reports=tuple(store.reports(donor)),
    )


def shown_tomogram(view: CaseView, wanted: str | None) -> TomogramRow | None:
    """Choose the tomogram to open: the one wanted, else an analysed one, else the first."""
    by_id = {row.tomogram_id: row for row in view.tomograms}
    if wanted in by_id:
        return by_id[wanted]
    analysed = [row for row in view.tomograms if row.state == "analysed"]
    return next(iter([*analysed, *view.tomograms]), None)


def voxel_wanted(text: str | None) -> tuple[int, int, int] | None:
    """Read `z,y,x` from an address; None for anything else."""
    parts = (text or "").split(",")
    if len(parts) != 3 or not all(part.isdecimal() and len(part) < 7 for part in parts):
        return None
    z, y, x = (int(part) for part in parts)
    return z, y, x
