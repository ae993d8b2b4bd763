"""The job queue between pages (which ask) and workers (which run)."""

import time
from collections.abc import Mapping
from typing import Any, cast

from sqlalchemy import select

from cohorts.store.base import StorePart
from cohorts.store.database import aware, now
from cohorts.store.ownership import LEASE_S, this_process
from cohorts.store.rows import Job, JobKind, JobState
from cohorts.store.schema import JobTable
from cohorts.store.steps import is_held
from engine.errors import BadInputError

MAX_ATTEMPTS = 3
"""A job whose worker died so often is taken to be what kills it (memory, most likely)."""


class JobQueue(StorePart):
    """Jobs; claimed in the order they were asked for."""

    def enqueue_job(self, kind: JobKind, payload: Mapping[str, Any]) -> int:
        """Ask for work; returns the job's id. `payload` must be JSON."""
        row = JobTable(
            kind=kind,
            payload=dict(payload),
            state="queued",
            progress=0.0,
            log="",
            attempts=0,
            cancel_requested=False,
            created_at=now(),
        )
        with self._database.write() as session:
            session.add(row)
            session.flush()
            return row.job_id

    def jobs(self) -> list[Job]:
        """All jobs, newest first."""
        with self._database.read() as session:
            query = select(JobTable).order_by(JobTable.job_id.desc())
            return [_job(row) for row in session.scalars(query)]

    def job(self, job_id: int) -> Job:
        """One job.

        Raises
        ------
        BadInputError
            There is none of this id.
        """
        with self._database.read() as session:
            row = session.get(JobTable, job_id)
            if row is None:
                raise BadInputError(f"job {job_id}: not in the store")
            return _job(row)

    def claim_job(self, worker: str = "worker", *, lease_s: float = LEASE_S) -> Job | None:
        """Take the oldest job that is queued or whose worker is lost; None where there is none.

        Parameters
        ----------
        worker
            Name for the log.
        lease_s
            The job may be taken by another when no `update_job` comes for so long.
        """
        query = (
            select(JobTable)
            .where(JobTable.state.in_(("queued", "running")))
            .order_by(JobTable.job_id)
            .with_for_update(skip_locked=True)
        )
        with self._database.write() as session:
            for row in session.scalars(query):
                if row.state == "running" and is_held(row):
                    continue
                if row.cancel_requested or row.attempts >= MAX_ATTEMPTS:
                    _end(row, "cancelled" if row.cancel_requested else "failed")
                    _log(row, f"given up after {row.attempts} attempts, each lost with its worker")
                    continue
                _start(row, worker, lease_s)
                return _job(row)
        return None

    def update_job(
        self,
        job_id: int,
        *,
        progress: float | None = None,
        log_line: str | None = None,
        attempt: int | None = None,
        lease_s: float = LEASE_S,
    ) -> bool:
        """Report progress and renew the lease.

        Parameters
        ----------
        attempt
            `Job.attempts` of the claim; where given, a worker that lost the job is refused.

        Returns
        -------
        bool
            False where the job is not running (any more) in the caller's hands.
        """
        with self._database.write() as session:
            row = session.get(JobTable, job_id, with_for_update=True)
            if row is None or row.state != "running" or attempt not in (None, row.attempts):
                return False
            if progress is not None:
                row.progress = min(max(float(progress), 0.0), 1.0)
            if log_line:
                _log(row, log_line)
            row.lease_until = time.time() + lease_s
            return True

    def finish_job(
        self, job_id: int, state: JobState, log_line: str | None = None, attempt: int | None = None
    ) -> bool:
        """End a running job; False where it is not running in the caller's hands."""
        with self._database.write() as session:
            row = session.get(JobTable, job_id, with_for_update=True)
            if row is None or row.state != "running" or attempt not in (None, row.attempts):
                return False
            if log_line:
                _log(row, log_line)
            _end(row, state)
            return True

    def requeue_job(self, job_id: int, log_line: str, attempt: int | None = None) -> bool:
        """Hand a running job back; the interrupted try does not count."""
        with self._database.write() as session:
            row = session.get(JobTable, job_id, with_for_update=True)
            if row is None or row.state != "running" or attempt not in (None, row.attempts):
                return False
            _log(row, log_line)
            row.state, row.attempts = "queued", row.attempts - 1
            row.owner, row.lease_until = None, None
            return True

    def cancel_job(self, job_id: int) -> bool:
        """Ask for a job to stop: a queued one ends at once, a running one at its next progress.

        Returns
        -------
        bool
            False where it has already ended.
        """
        with self._database.write() as session:
            row = session.get(JobTable, job_id, with_for_update=True)
            if row is None or row.state not in ("queued", "running"):
                return False
            row.cancel_requested = True
            if row.state == "queued" or not is_held(row):
                _log(row, "cancelled")
                _end(row, "cancelled")
            return True

    def is_cancelled(self, job_id: int) -> bool:
        """Say whether someone asked for the job to stop."""
        with self._database.read() as session:
            row = session.get(JobTable, job_id)
            return row is not None and row.cancel_requested


def _start(row: JobTable, worker: str, lease_s: float) -> None:
    if row.state == "running":
        _log(row, "its worker is lost; taken over")
    row.state = "running"
    row.attempts += 1
    row.progress = 0.0
    row.owner = this_process().text()
    row.lease_until = time.time() + lease_s
    row.started_at = now()
    _log(row, f"started by {worker}, attempt {row.attempts}")


def _end(row: JobTable, state: JobState) -> None:
    row.state = state
    row.owner, row.lease_until = None, None
    row.finished_at = now()
    if state == "done":
        row.progress = 1.0


def _log(row: JobTable, line: str) -> None:
    row.log += f"{now():%Y-%m-%d %H:%M:%S} {' '.join(line.split())}\n"


def _job(row: JobTable) -> Job:
    return Job(
        job_id=row.job_id,
        kind=cast(JobKind, row.kind),
        payload=row.payload,
        state=cast(JobState, row.state),
        progress=row.progress,
        log=row.log,
        attempts=row.attempts,
        cancel_requested=row.cancel_requested,
        created_at=aware(row.created_at) or now(),
        started_at=aware(row.started_at),
        finished_at=aware(row.finished_at),
    )
