"""What the worklist shows, gathered from the store; quick, and free of Streamlit."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cohorts.store import DonorRow, ReportRow, Store
from engine.data.measurements import OrganelleMeasurements

STATE_WORDS = {
    "waiting": "Waiting",
    "running": "Running",
    "failed": "Failed",
    "analysed": "Analysed",
    "reported": "Reported",
}


@dataclass(frozen=True)
class ReportedResult:
    """The model's result in a stored report; `probability` is None where it was withheld."""

    title: str
    verdict: str
    probability: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class WorklistRow:
    """A donor on the worklist.

    Attributes
    ----------
    n_doubts
        Quality flags of level warning or error, over all tomograms.
    result, reported_at
        From the newest report; None where there is none.
    """

    donor: str
    group: str | None
    site: str | None
    state: str
    n_tomograms: int
    n_analysed: int
    n_doubts: int
    simulated: bool
    result: ReportedResult | None
    reported_at: datetime | None


def worklist(store: Store) -> list[WorklistRow]:
    """All donors, those that wait for something first, then by name."""
    by_donor = {row.tomogram_id: row.donor for row in store.tomograms()}
    measured: dict[str, list[OrganelleMeasurements]] = {}
    for item in store.measurements():
        measured.setdefault(by_donor[item.tomogram_id], []).append(item)
    newest: dict[str, ReportRow] = {}
    for report in reversed(store.reports()):
        newest[report.donor] = report
    return [
        _worklist_row(donor, measured.get(donor.donor, []), newest.get(donor.donor))
        for donor in store.donors()
    ]


def _worklist_row(
    donor: DonorRow, measured: Iterable[OrganelleMeasurements], report: ReportRow | None
) -> WorklistRow:
    items = list(measured)
    flags = [flag for item in items for flag in item.flags]
    return WorklistRow(
        donor=donor.donor,
        group=donor.group,
        site=donor.site,
        state=donor.state,
        n_tomograms=donor.n_tomograms,
        n_analysed=donor.n_analysed,
        n_doubts=sum(flag.level in ("warning", "error") for flag in flags),
        simulated=any(item.provenance.simulated for item in items),
        result=None if report is None else reported_result(report),
        reported_at=None if report is None else report.created_at,
    )


def reported_result(report: ReportRow) -> ReportedResult | None:
    """Read the result from a report's JSON; None where the file is gone or not ours."""
    content = report_content(report)
    try:
        headline, prediction = content["headline"], content["prediction"]
        return ReportedResult(
            title=str(headline["title"]),
            verdict=str(headline["verdict"]),
            probability=prediction["probability"],
            low=prediction["low"],
            high=prediction["high"],
        )
    except (KeyError, TypeError):
        return None


def report_content(report: ReportRow) -> dict[str, Any]:
    """Read a report's JSON; empty where the file is gone or not ours."""
    path = Path(report.folder) / "report.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
