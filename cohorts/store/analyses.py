"""Results of analyses: measurements and files of each tomogram."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from cohorts.store.base import StorePart
from cohorts.store.database import now
from cohorts.store.rows import ArtifactRow, StepClaim
from cohorts.store.schema import (
    AnalysisTable,
    ArtifactTable,
    MeasurementTable,
    StepTable,
    TomogramTable,
)
from cohorts.store.steps import finish, held_step
from engine.data.measurements import Measurement, OrganelleMeasurements, QualityFlag
from engine.data.provenance import FileDigest, Provenance
from engine.errors import BadInputError


class Analyses(StorePart):
    """Measurements and files that analyses produced."""

    def record_analysis(
        self,
        tomogram_id: str,
        step_key: str,
        folder: Path | str,
        measurements: OrganelleMeasurements,
        *,
        files: Sequence[ArtifactRow] = (),
        claim: StepClaim | None = None,
        log: str = "",
    ) -> bool:
        """Store one tomogram's results and mark its step done, in one transaction.

        Parameters
        ----------
        tomogram_id
            In the store.
        step_key
            Content key; an analysis of the same key is replaced.
        folder
            Where the files are.
        measurements
            Features, flags and provenance.
        files
            Digests of the files in `folder`.
        claim
            Where given and lost in the meantime, nothing is written.

        Returns
        -------
        bool
            False where the claim was lost.

        Raises
        ------
        BadInputError
            The tomogram is not in the store.
        """
        with self._database.write() as session:
            tomogram = session.get(TomogramTable, tomogram_id)
            if tomogram is None:
                raise BadInputError(f"tomogram {tomogram_id}: not in the store; import it first")
            if claim is not None and held_step(session, claim) is None:
                return False
            step = session.get(StepTable, step_key)
            if step is None:
                step = StepTable(
                    key=step_key,
                    name="analyze",
                    state="running",
                    attempts=1,
                    log="",
                    tomogram_id=tomogram_id,
                    started_at=now(),
                )
                session.add(step)
            session.flush()
            stored = self._database.portable(Path(folder).absolute())
            _replace_analysis(session, step_key, tomogram_id, stored, measurements)
            _replace_files(session, step_key, files)
            finish(step, "done", log)
            tomogram.analysis_key = step_key
            return True

    def attach_analysis(self, tomogram_id: str, step_key: str) -> None:
        """Make a finished analysis the current one of a tomogram (same file, same parameters)."""
        with self._database.write() as session:
            tomogram = session.get(TomogramTable, tomogram_id)
            if tomogram is not None and tomogram.analysis_key != step_key:
                tomogram.analysis_key = step_key

    def detach_analysis(self, tomogram_id: str) -> None:
        """Leave a tomogram without a current analysis."""
        with self._database.write() as session:
            tomogram = session.get(TomogramTable, tomogram_id)
            if tomogram is not None:
                tomogram.analysis_key = None

    def analysis_folder(self, step_key: str) -> str | None:
        """Where the files of an analysis are; None where there is none of this key."""
        with self._database.read() as session:
            row = session.get(AnalysisTable, step_key)
            return None if row is None else self._database.absolute(row.folder)

    def artifacts(self, step_key: str) -> list[ArtifactRow]:
        """Files of a step with their digests, by name."""
        query = select(ArtifactTable).where(ArtifactTable.step_key == step_key)
        with self._database.read() as session:
            rows = session.scalars(query.order_by(ArtifactTable.name))
            return [ArtifactRow(row.name, row.sha256, row.n_bytes) for row in rows]

    def measurements(self, donor: str | None = None) -> list[OrganelleMeasurements]:
        """Return current measurements of a donor's tomograms (or all), by donor and tomogram id."""
        query = (
            select(TomogramTable.tomogram_id, AnalysisTable)
            .join(AnalysisTable, AnalysisTable.step_key == TomogramTable.analysis_key)
            .order_by(TomogramTable.donor, TomogramTable.tomogram_id)
        )
        if donor is not None:
            query = query.where(TomogramTable.donor == donor)
        with self._database.read() as session:
            found = session.execute(query).all()
            values = _values(session, [analysis.step_key for _, analysis in found])
            return [
                OrganelleMeasurements(
                    tomogram_id=tomogram_id,
                    values=values.get(analysis.step_key, {}),
                    flags=tuple(QualityFlag(**flag) for flag in analysis.flags),  # type: ignore[arg-type]
                    provenance=_provenance(analysis.provenance),
                )
                for tomogram_id, analysis in found
            ]


def _replace_analysis(
    session: Session,
    step_key: str,
    tomogram_id: str,
    folder: str,
    measurements: OrganelleMeasurements,
) -> None:
    session.execute(delete(MeasurementTable).where(MeasurementTable.step_key == step_key))
    session.merge(
        AnalysisTable(
            step_key=step_key,
            tomogram_id=tomogram_id,
            folder=folder,
            flags=[asdict(flag) for flag in measurements.flags],
            provenance=asdict(measurements.provenance),
            created_at=now(),
        )
    )
    session.flush()
    session.add_all(
        MeasurementTable(step_key=step_key, feature=feature, **asdict(measurement))
        for feature, measurement in measurements.values.items()
    )


def _replace_files(session: Session, step_key: str, files: Sequence[ArtifactRow]) -> None:
    session.execute(delete(ArtifactTable).where(ArtifactTable.step_key == step_key))
    session.add_all(ArtifactTable(step_key=step_key, **asdict(file)) for file in files)


def _values(session: Session, keys: list[str]) -> dict[str, dict[str, Measurement]]:
    """Measurements by step key; features in the order of their names."""
    values: dict[str, dict[str, Measurement]] = {}
    wanted = set(keys)
    query = select(MeasurementTable).order_by(MeasurementTable.step_key, MeasurementTable.feature)
    if len(wanted) < 500:
        query = query.where(MeasurementTable.step_key.in_(wanted))
    for row in session.scalars(query):
        if row.step_key in wanted:
            values.setdefault(row.step_key, {})[row.feature] = Measurement(
                row.value, row.unit, row.low, row.high, row.n, row.not_assessable
            )
    return values


def _provenance(stored: dict[str, Any]) -> Provenance:
    digests = {
        name: tuple(FileDigest(**digest) for digest in stored[name])
        for name in ("inputs", "models")
    }
    return Provenance(**{**stored, **digests})
