"""Donors and tomograms: adding a cohort, the work list."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from cohorts.records import Cohort, DonorRecord, ManifestContrast, TomogramRecord
from cohorts.store.base import StorePart
from cohorts.store.database import now
from cohorts.store.rows import DonorRow, DonorState, TomogramRow, TomogramState
from cohorts.store.schema import AnalysisTable, DonorTable, ReportTable, StepTable, TomogramTable
from engine.errors import BadInputError


class Donors(StorePart):
    """Donors and their tomograms."""

    def add_cohort(self, cohort: Cohort, *, update: bool = False) -> int:
        """Add donors and tomograms; what is there already stays. All or nothing.

        Parameters
        ----------
        cohort
            From a manifest, or made by hand.
        update
            Allow group, site and acquisition data of what is there to change.

        Returns
        -------
        int
            Number of tomograms that are new.

        Raises
        ------
        BadInputError
            The store holds other data for a donor or tomogram and `update` is False, or a
            tomogram id belongs to another file; all conflicts in one line.
        """
        with self._database.write() as session:
            faults = [
                fault
                for donor in cohort.donors
                if (fault := _put_donor(session, donor, update)) is not None
            ]
            session.flush()
            outcomes = [self._put_tomogram(session, record, update) for record in cohort.tomograms]
            faults += [fault for fault, _ in outcomes if fault is not None]
            if faults:
                raise BadInputError(
                    "cohort: the store holds other data; correct the manifest or import with "
                    "--update: " + "; ".join(faults)
                )
            return sum(is_new for _, is_new in outcomes)

    def donors(self) -> list[DonorRow]:
        """All donors, by name."""
        return self._donors(None)

    def _donors(self, donor: str | None) -> list[DonorRow]:
        tomograms = defaultdict(list)
        for row in self.tomograms(donor):
            tomograms[row.donor].append(row)
        query = select(DonorTable).order_by(DonorTable.donor)
        if donor is not None:
            query = query.where(DonorTable.donor == donor)
        with self._database.read() as session:
            reported = set(session.scalars(select(ReportTable.donor)))
            found = session.scalars(query).all()
            return [
                DonorRow(
                    donor=row.donor,
                    group=row.group_name,
                    site=row.site,
                    covariates=row.covariates,
                    n_tomograms=len(tomograms[row.donor]),
                    n_analysed=sum(t.state == "analysed" for t in tomograms[row.donor]),
                    state=_donor_state(tomograms[row.donor], row.donor in reported),
                )
                for row in found
            ]

    def donor(self, donor: str) -> DonorRow:
        """One donor.

        Raises
        ------
        BadInputError
            The store does not hold it.
        """
        found = self._donors(donor)
        if not found:
            raise BadInputError(f"donor {donor}: not in the store; see `tomodx cohort list`")
        return found[0]

    def tomogram(self, tomogram_id: str) -> TomogramRow:
        """Return one tomogram.

        Raises
        ------
        BadInputError
            The store does not hold it.
        """
        found = self._tomograms(TomogramTable.tomogram_id == tomogram_id)
        if not found:
            raise BadInputError(f"tomogram {tomogram_id}: not in the store; import it first")
        return found[0]

    def tomograms(self, donor: str | None = None) -> list[TomogramRow]:
        """Tomograms of a donor, or all, by donor and id."""
        conditions = [] if donor is None else [TomogramTable.donor == donor]
        return self._tomograms(*conditions)

    def _tomograms(self, *conditions: ColumnElement[bool]) -> list[TomogramRow]:
        query = (
            select(TomogramTable, AnalysisTable.folder)
            .outerjoin(AnalysisTable, AnalysisTable.step_key == TomogramTable.analysis_key)
            .where(*conditions)
            .order_by(TomogramTable.donor, TomogramTable.tomogram_id)
        )
        steps = (
            select(StepTable.tomogram_id, StepTable.state)
            .join(TomogramTable, TomogramTable.tomogram_id == StepTable.tomogram_id)
            .where(*conditions)
            .order_by(StepTable.started_at)
        )
        with self._database.read() as session:
            # Rows come oldest first, so that the newest step of a tomogram remains.
            states = {str(name): state for name, state in session.execute(steps)}
            return [
                self._tomogram_row(row, folder, states.get(row.tomogram_id))
                for row, folder in session.execute(query)
            ]

    def file_sha256(self, tomogram_id: str, n_bytes: int, modified_ns: int) -> str | None:
        """Return the digest remembered for a file of this size and time of change, or None."""
        with self._database.read() as session:
            row = session.get(TomogramTable, tomogram_id)
            if row is None or (row.file_bytes, row.file_modified_ns) != (n_bytes, modified_ns):
                return None
            return row.file_sha256

    def remember_file(self, tomogram_id: str, sha256: str, n_bytes: int, modified_ns: int) -> None:
        """Keep the digest of a tomogram's file, so that a rerun need not read it again."""
        with self._database.write() as session:
            row = session.get(TomogramTable, tomogram_id)
            if row is not None:
                row.file_sha256, row.file_bytes = sha256, n_bytes
                row.file_modified_ns = modified_ns

    def _tomogram_row(
        self, row: TomogramTable, folder: str | None, step_state: str | None
    ) -> TomogramRow:
        state: TomogramState = "waiting"
        if row.analysis_key is not None:
            state = "analysed"
        elif step_state in ("running", "failed"):
            state = cast(TomogramState, step_state)
        return TomogramRow(
            tomogram_id=row.tomogram_id,
            donor=row.donor,
            path=self._database.absolute(row.path),
            voxel_size_angst=row.voxel_size_angst,
            tilt_min_deg=row.tilt_min_deg,
            tilt_max_deg=row.tilt_max_deg,
            contrast=cast(ManifestContrast, row.contrast),
            covariates=row.covariates,
            analysis_folder=None if folder is None else self._database.absolute(folder),
            analysis_key=row.analysis_key,
            state=state,
        )

    def _put_tomogram(
        self, session: Session, record: TomogramRecord, update: bool
    ) -> tuple[str | None, bool]:
        """Return a fault or None, and whether the tomogram is new."""
        path = self._database.portable(Path(record.path))
        same_file = select(TomogramTable).where(
            TomogramTable.donor == record.donor, TomogramTable.path == path
        )
        row = session.scalars(same_file).one_or_none()
        if row is None:
            if session.get(TomogramTable, record.tomogram_id) is not None:
                return f"tomogram {record.tomogram_id} is another file", False
            session.add(
                TomogramTable(
                    tomogram_id=record.tomogram_id,
                    donor=record.donor,
                    path=path,
                    created_at=now(),
                    **_acquisition(record),
                )
            )
            return None, True
        wanted = _acquisition(record)
        changed = [name for name, value in wanted.items() if getattr(row, name) != value]
        if changed and not update:
            return f"tomogram {row.tomogram_id} differs in {', '.join(changed)}", False
        for name in changed:
            setattr(row, name, wanted[name])
        return None, False


def _acquisition(record: TomogramRecord) -> dict[str, object]:
    return {
        "voxel_size_angst": record.voxel_size_angst,
        "tilt_min_deg": record.tilt_min_deg,
        "tilt_max_deg": record.tilt_max_deg,
        "contrast": record.contrast,
        "covariates": dict(record.covariates),
    }


def _put_donor(session: Session, record: DonorRecord, update: bool) -> str | None:
    wanted = {
        "group_name": record.group,
        "site": record.site,
        "covariates": dict(record.covariates),
    }
    row = session.get(DonorTable, record.donor)
    if row is None:
        session.add(DonorTable(donor=record.donor, created_at=now(), **wanted))
        return None
    changed = [name for name, value in wanted.items() if getattr(row, name) != value]
    if changed and not update:
        return f"donor {record.donor} differs in {', '.join(changed)}".replace(
            "group_name", "group"
        )
    for name in changed:
        setattr(row, name, wanted[name])
    return None


def _donor_state(tomograms: Sequence[TomogramRow], reported: bool) -> DonorState:
    states = {row.state for row in tomograms}
    if states == {"analysed"}:
        return "reported" if reported else "analysed"
    if "running" in states:
        return "running"
    return "failed" if "failed" in states else "waiting"
