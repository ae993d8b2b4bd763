"""The worker: claims jobs that pages and commands queued, runs them, keeps the store informed.

Payloads
--------
analyze
    `path` (relative to the data root, or inside it) and `donor`; optional `group`, `site`,
    `voxel_size_angst`, `tilt_min_deg`, `tilt_max_deg`, `contrast`, and `report` (true: make the
    donor's report afterwards). Or `tomogram_id` of a tomogram that the store already holds.
report
    `donor`.
"""

import logging
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from app.context import OnProgress, Settings
from app.method import AnalysisMethod
from app.pipeline import BUSY_POLL_S, StepOutcome, analyse_stored_tomogram
from cohorts.records import Cohort, DonorRecord, ManifestContrast, TomogramRecord
from cohorts.store import Job, Store
from cohorts.store.heartbeat import heartbeat
from cohorts.store.ownership import HEARTBEAT_S
from engine.errors import BadInputError, MissingFileError, PipelineError

logger = logging.getLogger(__name__)

PROGRESS_INTERVAL_S = 0.5
"""Progress is written and cancelling looked for at most so often."""

ANALYSIS_SHARE = 0.9
"""Of the progress bar, where a report follows."""


class JobCancelled(Exception):  # noqa: N818  (not a failure)
    """Someone asked for the job to stop; passes through the analysis, which hands its step back."""


class JobLost(Exception):  # noqa: N818  (not a failure of the job)
    """Another worker has taken the job over."""


class ReportDonor(Protocol):
    """What writes a donor's report and records it in the store."""

    def __call__(self, store: Store, donor: str, out_folder: Path, settings: Settings) -> object:
        """Write the report into a folder."""
        ...


@dataclass(frozen=True)
class Tools:
    """What a worker runs; both are made when the first job needs them.

    Attributes
    ----------
    method
        Gives the analysis.
    report
        Writes a report.
    """

    method: Callable[[], AnalysisMethod]
    report: ReportDonor


@dataclass(frozen=True)
class Worker:
    """Runs jobs of one store.

    Attributes
    ----------
    data_root
        The only folder whose tomograms may be analysed.
    """

    store: Store
    settings: Settings
    data_root: Path
    tools: Tools

    def run(self, *, once: bool = False, poll_s: float = 1.0) -> int:
        """Run jobs until interrupted, or with `once` until none is left; returns their number."""
        ended = 0
        while True:
            if self.run_one():
                ended += 1
            elif once:
                return ended
            else:
                time.sleep(poll_s)

    def run_one(self) -> bool:
        """Claim and run the oldest job; False where there is none."""
        job = self.store.claim_job(f"process {os.getpid()}")
        if job is None:
            return False
        try:
            self._run_claimed(job)
        except JobCancelled:
            self._finish(job, "cancelled", "cancelled")
        except JobLost:
            logger.warning("job %d was taken over by another worker", job.job_id)
        except PipelineError as error:
            self._finish(job, "failed", str(error))
        except KeyboardInterrupt:
            self.store.requeue_job(job.job_id, "interrupted", attempt=job.attempts)
            raise
        except Exception as error:
            logger.exception("job %d failed", job.job_id)
            self._finish(job, "failed", f"unexpected {type(error).__name__}: {error}")
        return True

    def _run_claimed(self, job: Job) -> None:
        def renew() -> bool:
            return self.store.update_job(job.job_id, attempt=job.attempts)

        with heartbeat(renew, HEARTBEAT_S):
            if job.kind == "analyze":
                self._analyze(job)
            else:
                self._report(job, str(job.payload.get("donor", "")))
        self._finish(job, "done", "done")

    def _finish(self, job: Job, state: Any, line: str) -> None:  # noqa: ANN401  (JobState)
        self.store.finish_job(job.job_id, state, line, attempt=job.attempts)

    def _analyze(self, job: Job) -> None:
        tomogram_id, donor = self._tomogram(job.payload)
        share = ANALYSIS_SHARE if job.payload.get("report") else 1.0
        self._log(job, f"analysing {tomogram_id}")
        method = self.tools.method()
        outcome = self._analyse_or_wait(job, tomogram_id, method, share)
        if outcome.outcome == "failed":
            raise BadInputError(outcome.message)
        what = "was analysed before" if outcome.outcome == "skipped" else "analysed"
        self._log(job, f"{tomogram_id} {what}", share)
        if job.payload.get("report"):
            self._report(job, donor)

    def _analyse_or_wait(
        self, job: Job, tomogram_id: str, method: AnalysisMethod, share: float
    ) -> StepOutcome:
        """Analyse; where a run of the cohort has the tomogram in hand, wait for that."""
        on_progress = self._progress(job, share)
        waits = 0
        while True:
            outcome = analyse_stored_tomogram(
                self.store,
                tomogram_id,
                method,
                self.settings.artifacts_folder,
                self.settings.device,
                on_progress,
            )
            if outcome.outcome != "busy":
                return outcome
            if waits == 0:
                self._log(job, "another run is analysing it; waiting")
            waits += 1
            self._check(job)
            time.sleep(BUSY_POLL_S)

    def _tomogram(self, payload: Mapping[str, Any]) -> tuple[str, str]:
        """Return id and donor of the tomogram meant, added to the store where it is new."""
        if "tomogram_id" in payload and "path" not in payload:
            row = self.store.tomogram(str(payload["tomogram_id"]))
            return row.tomogram_id, row.donor
        record, donor = self._records(payload)
        for row in self.store.tomograms(donor.donor):
            if Path(row.path) == record.path:
                return row.tomogram_id, row.donor
        self.store.add_cohort(Cohort((donor,), (record,)))
        return record.tomogram_id, donor.donor

    def _records(self, payload: Mapping[str, Any]) -> tuple[TomogramRecord, DonorRecord]:
        path = path_inside(self.data_root, str(payload.get("path", "")))
        name = str(payload.get("donor", ""))
        donor = self._known_donor(name, payload)
        record = TomogramRecord(
            tomogram_id=self._free_id(name, path),
            donor=name,
            path=path,
            voxel_size_angst=_number(payload, "voxel_size_angst"),
            tilt_min_deg=_number(payload, "tilt_min_deg"),
            tilt_max_deg=_number(payload, "tilt_max_deg"),
            contrast=cast(ManifestContrast, payload.get("contrast") or "auto"),
        )
        return record, donor

    def _known_donor(self, name: str, payload: Mapping[str, Any]) -> DonorRecord:
        """A donor in the store stays as it is; a payload may only repeat what is known."""
        group, site = payload.get("group") or None, payload.get("site") or None
        for row in self.store.donors():
            if row.donor == name:
                return DonorRecord(name, group or row.group, site or row.site, row.covariates)
        return DonorRecord(name, group, site)

    def _free_id(self, donor: str, path: Path) -> str:
        stem = re.sub(r"\s+", "_", path.stem)
        wanted = stem if stem.startswith(donor) else f"{donor}_{stem}"
        taken = {row.tomogram_id for row in self.store.tomograms()}
        number, found = 1, wanted
        while found in taken:
            number += 1
            found = f"{wanted}_{number}"
        return found

    def _report(self, job: Job, donor: str) -> None:
        self.store.donor(donor)
        number = len(self.store.reports(donor)) + 1
        folder = (
            self.settings.artifacts_folder / "reports" / donor / f"{number:04d}-job{job.job_id}"
        )
        self._log(job, f"writing the report of {donor}", ANALYSIS_SHARE)
        self.tools.report(self.store, donor, folder, self.settings)

    def _progress(self, job: Job, share: float) -> OnProgress:
        """Return a callback that writes progress and raises where the job is to stop."""
        last = 0.0

        def update(fraction: float) -> None:
            nonlocal last
            if time.monotonic() - last < PROGRESS_INTERVAL_S:
                return
            last = time.monotonic()
            self._check(job, fraction * share)

        return update

    def _check(self, job: Job, progress: float | None = None) -> None:
        if not self.store.update_job(job.job_id, progress=progress, attempt=job.attempts):
            raise JobLost(f"job {job.job_id}: no longer in this worker's hands")
        if self.store.is_cancelled(job.job_id):
            raise JobCancelled(f"job {job.job_id}: cancelled")

    def _log(self, job: Job, line: str, progress: float | None = None) -> None:
        logger.info("job %d: %s", job.job_id, line)
        self.store.update_job(job.job_id, log_line=line, progress=progress, attempt=job.attempts)


def path_inside(root: Path, path: str) -> Path:
    """Resolve a path of a payload; links included, it must lie in the data root.

    Raises
    ------
    BadInputError
        Outside the root.
    MissingFileError
        No such file.
    """
    resolved = (root / path).resolve()
    if not path or not resolved.is_relative_to(root.resolve()):
        raise BadInputError(f"expected a file inside the data folder, found {path or 'no path'}")
    if not resolved.is_file():
        raise MissingFileError(f"{path}: no such file in the data folder")
    return resolved


def _number(payload: Mapping[str, Any], name: str) -> float | None:
    value = payload.get(name)
    if value is None or value == "":
        return None
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise BadInputError(f"{name}: expected a number, found {value!r}") from error
