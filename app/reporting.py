"""Report on one donor of the store."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from app.context import Settings
from app.evidence import tomogram_evidence
from cohorts.store import Store
from diagnostics.case import case_features
from diagnostics.locked_model import LockedModel
from diagnostics.reference import Reference, load_reference
from diagnostics.report import build_report
from diagnostics.report_io import REPORT_FILES, write_report
from diagnostics.report_values import CaseReport
from engine.errors import BadInputError
from engine.io.digests import fresh_folder, require_writable


@dataclass(frozen=True)
class WrittenReport:
    """A report that was written and recorded.

    Attributes
    ----------
    folder
        Where the caller wanted the files.
    archived
        Folder in the store's artifacts that the store names; it is never overwritten.
    sha256
        Of `report.json`.
    report_id, supersedes
        Of the store; `supersedes` names the report this one amends.
    """

    folder: Path
    archived: Path
    sha256: str
    report_id: int
    supersedes: int | None
    report: CaseReport

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files in `folder`."""
        return REPORT_FILES


def report_donor(
    store: Store,
    donor: str,
    out_folder: Path,
    settings: Settings,
    *,
    date: str | None = None,
    shipped: tuple[Reference, LockedModel] | None = None,
) -> WrittenReport:
    """Write the report of a donor from all analysed tomograms, and record it.

    A report whose content is that of the newest recorded one is not recorded again; any other
    one supersedes it. What was recorded once stays in the artifacts folder as it was.

    Parameters
    ----------
    store
        Holds the donor and the analyses.
    donor
        Pseudonym.
    out_folder
        New, empty, or written by TomoDx before.
    settings
        For the artifacts folder.
    date
        Printed on the report; left out where None.
    shipped
        Reference cohort and its model; by default those that are shipped.

    Raises
    ------
    BadInputError
        The donor is not in the store or none of its tomograms is analysed.
    OutputNotWritableError
        The folder cannot be written.
    """
    require_writable(out_folder)
    rows = [row for row in store.tomograms(store.donor(donor).donor) if row.analysis_folder]
    if not rows:
        raise BadInputError(
            f"donor {donor}: expected at least one analysed tomogram, found none; "
            "run tomodx cohort run first",
            donor=donor,
        )
    reference, model = shipped or load_reference()
    case = case_features(donor, store.measurements(donor))
    report = build_report(case, reference, model, tomogram_evidence(rows), date=date)
    with fresh_folder(out_folder) as staging:
        sha256 = write_report(report, staging)
    archived = _archive(out_folder, settings.artifacts_folder / "reports", sha256)
    report_id, supersedes = _record(store, donor, archived, sha256)
    return WrittenReport(out_folder, archived, sha256, report_id, supersedes, report)


def _archive(folder: Path, archive: Path, sha256: str) -> Path:
    """Keep the files under their content's name; there already means there unchanged."""
    if folder.resolve().is_relative_to(archive.resolve()):
        return folder
    archived = archive / sha256
    if all((archived / name).is_file() for name in REPORT_FILES):
        return archived
    with fresh_folder(archived) as staging:
        for name in REPORT_FILES:
            shutil.copyfile(folder / name, staging / name)
    return archived


def _record(store: Store, donor: str, folder: Path, sha256: str) -> tuple[int, int | None]:
    """Add the report to the store unless the newest one has the same content."""
    earlier = store.reports(donor)
    if earlier and earlier[0].sha256 == sha256:
        return earlier[0].report_id, earlier[0].supersedes
    supersedes = earlier[0].report_id if earlier else None
    return store.add_report(donor, folder, sha256, supersedes), supersedes
