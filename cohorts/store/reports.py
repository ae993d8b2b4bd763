"""Reports: amended, never overwritten."""

from pathlib import Path

from sqlalchemy import select

from cohorts.store.base import StorePart
from cohorts.store.database import aware, now
from cohorts.store.rows import ReportRow
from cohorts.store.schema import DonorTable, ReportTable
from engine.errors import BadInputError


class Reports(StorePart):
    """Reports of donors."""

    def add_report(
        self, donor: str, folder: Path | str, sha256: str, supersedes: int | None = None
    ) -> int:
        """Record a report that was written; returns its id.

        Parameters
        ----------
        donor
            In the store.
        folder
            Where `report.html`, `report.pdf` and `report.json` are.
        sha256
            Of `report.json`.
        supersedes
            Id of the report of the same donor that this one amends.

        Raises
        ------
        BadInputError
            No such donor, or `supersedes` is not a report of this donor.
        """
        with self._database.write() as session:
            if session.get(DonorTable, donor) is None:
                raise BadInputError(f"donor {donor}: not in the store; import it first")
            if supersedes is not None:
                earlier = session.get(ReportTable, supersedes)
                if earlier is None or earlier.donor != donor:
                    raise BadInputError(f"report {supersedes} is not one of donor {donor}")
            row = ReportTable(
                donor=donor,
                folder=self._database.portable(Path(folder).absolute()),
                sha256=sha256,
                supersedes=supersedes,
                created_at=now(),
            )
            session.add(row)
            session.flush()
            return row.report_id

    def reports(self, donor: str | None = None) -> list[ReportRow]:
        """Return reports of a donor, or all, newest first."""
        query = select(ReportTable).order_by(ReportTable.report_id.desc())
        if donor is not None:
            query = query.where(ReportTable.donor == donor)
        with self._database.read() as session:
            return [
                ReportRow(
                    report_id=row.report_id,
                    donor=row.donor,
                    folder=self._database.absolute(row.folder),
                    sha256=row.sha256,
                    supersedes=row.supersedes,
                    created_at=aware(row.created_at) or now(),
                )
                for row in session.scalars(query)
            ]
