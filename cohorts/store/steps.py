"""The step ledger: which content keys are done, who runs which, leases and their loss."""

import time
from typing import cast

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from cohorts.store.base import StorePart
from cohorts.store.database import aware, now
from cohorts.store.ownership import LEASE_S, is_dead, parse_owner, this_process
from cohorts.store.rows import StepClaim, StepRow, StepState
from cohorts.store.schema import JobTable, StepTable


class StepLedger(StorePart):
    """Steps by content key.

    A step that is done is never run again. A running one belongs to a process, which renews its
    lease; the step is free for another as soon as that process is seen dead on this machine, or
    when the lease has run out. Each claim counts one attempt, and only the latest attempt may
    finish the step: a runner that was presumed dead and comes back cannot overwrite anything.
    """

    def step(self, key: str) -> StepRow | None:
        """Return the step, or None where it was never queued."""
        with self._database.read() as session:
            row = session.get(StepTable, key)
            return None if row is None else _step_row(row)

    def steps(self) -> list[StepRow]:
        """All steps, oldest first."""
        with self._database.read() as session:
            query = select(StepTable).order_by(StepTable.started_at, StepTable.key)
            return [_step_row(row) for row in session.scalars(query)]

    def claim_step(
        self, key: str, name: str, tomogram_id: str | None = None, *, lease_s: float = LEASE_S
    ) -> StepClaim:
        """Take a step for the calling process, if it is neither done nor in live hands.

        A failed step can be claimed again.
        """
        try:
            return self._claim_step(key, name, tomogram_id, lease_s)
        except IntegrityError:
            # On PostgreSQL another runner may add the row between our look and our insert.
            return self._claim_step(key, name, tomogram_id, lease_s)

    def _claim_step(
        self, key: str, name: str, tomogram_id: str | None, lease_s: float
    ) -> StepClaim:
        with self._database.write() as session:
            row = session.get(StepTable, key, with_for_update=True)
            if row is None:
                row = StepTable(key=key, name=name, state="queued", attempts=0, log="")
                session.add(row)
            if row.state == "done":
                return StepClaim(key, "done", row.attempts)
            if row.state == "running" and is_held(row):
                return StepClaim(key, "busy", row.attempts)
            if row.state == "running":
                row.log += f"attempt {row.attempts}: lost with its process\n"
            row.tomogram_id = tomogram_id
            row.state = "running"
            row.attempts += 1
            row.owner = this_process().text()
            row.lease_until = time.time() + lease_s
            row.started_at, row.finished_at = now(), None
            return StepClaim(key, "claimed", row.attempts)

    def renew_step(self, claim: StepClaim, *, lease_s: float = LEASE_S) -> bool:
        """Extend the lease; False where the step has gone to another runner."""
        with self._database.write() as session:
            row = held_step(session, claim)
            if row is None:
                return False
            row.lease_until = time.time() + lease_s
            return True

    def finish_step(self, claim: StepClaim, state: StepState, log: str = "") -> bool:
        """End a claimed step; False, and nothing changed, where the claim was lost.

        Parameters
        ----------
        claim
            From `claim_step`.
        state
            `done`, `failed`, or `queued` to hand it back (cancelled).
        log
            Appended.
        """
        with self._database.write() as session:
            row = held_step(session, claim)
            if row is None:
                return False
            finish(row, state, log)
            return True

    def reopen_step(self, key: str) -> None:
        """Forget that a step is done, because its files are gone."""
        with self._database.write() as session:
            row = session.get(StepTable, key, with_for_update=True)
            if row is not None and row.state == "done":
                finish(row, "queued", "reopened: its files are gone")


def is_held(row: StepTable | JobTable) -> bool:
    """Say whether a running step or job is in live hands."""
    if row.lease_until is None or row.lease_until < time.time():
        return False
    return not is_dead(parse_owner(row.owner))


def held_step(session: Session, claim: StepClaim) -> StepTable | None:
    """Return the row of a claim that still stands, else None."""
    row = session.get(StepTable, claim.key, with_for_update=True)
    if row is None or row.state != "running" or row.attempts != claim.attempt:
        return None
    return row


def finish(row: StepTable, state: StepState, log: str) -> None:
    """End a step in the open session."""
    row.state = state
    row.owner, row.lease_until = None, None
    row.finished_at = now()
    if log:
        row.log += f"attempt {row.attempts}: {log.rstrip()}\n"


def _step_row(row: StepTable) -> StepRow:
    return StepRow(
        key=row.key,
        name=row.name,
        tomogram_id=row.tomogram_id,
        state=cast(StepState, row.state),
        attempts=row.attempts,
        log=row.log,
        started_at=aware(row.started_at),
        finished_at=aware(row.finished_at),
    )
