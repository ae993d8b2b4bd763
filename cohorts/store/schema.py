"""Tables of the store. A change here needs a file in `versions`."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    DateTime,
    Float,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_name)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """All tables."""

    metadata = MetaData(naming_convention=NAMING)


class DonorTable(Base):
    """Donors by pseudonym."""

    __tablename__ = "donor"
    donor: Mapped[str] = mapped_column(String(80), primary_key=True)
    group_name: Mapped[str | None] = mapped_column(String(200))
    site: Mapped[str | None] = mapped_column(String(200))
    covariates: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class TomogramTable(Base):
    """Tomogram files; `analysis_key` names the current analysis."""

    __tablename__ = "tomogram"
    __table_args__ = (UniqueConstraint("donor", "path"),)
    tomogram_id: Mapped[str] = mapped_column(String(250), primary_key=True)
    donor: Mapped[str] = mapped_column(ForeignKey("donor.donor"), index=True)
    path: Mapped[str] = mapped_column(Text)
    voxel_size_angst: Mapped[float | None] = mapped_column(Float)
    tilt_min_deg: Mapped[float | None] = mapped_column(Float)
    tilt_max_deg: Mapped[float | None] = mapped_column(Float)
    contrast: Mapped[str] = mapped_column(String(10))
    covariates: Mapped[dict[str, Any]] = mapped_column(JSON)
    file_sha256: Mapped[str | None] = mapped_column(String(64))
    file_bytes: Mapped[int | None] = mapped_column(BigInteger)
    file_modified_ns: Mapped[int | None] = mapped_column(BigInteger)
    analysis_key: Mapped[str | None] = mapped_column(ForeignKey("analysis.step_key"))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class StepTable(Base):
    """The ledger: one row a content key."""

    __tablename__ = "step"
    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(80))
    tomogram_id: Mapped[str | None] = mapped_column(String(250), index=True)
    state: Mapped[str] = mapped_column(String(10))
    attempts: Mapped[int] = mapped_column(Integer)
    owner: Mapped[str | None] = mapped_column(String(200))
    lease_until: Mapped[float | None] = mapped_column(Float)
    log: Mapped[str] = mapped_column(Text)
    started_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    finished_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class AnalysisTable(Base):
    """The result of analysing one tomogram; one row a content key."""

    __tablename__ = "analysis"
    step_key: Mapped[str] = mapped_column(ForeignKey("step.key"), primary_key=True)
    tomogram_id: Mapped[str] = mapped_column(String(250), index=True)
    folder: Mapped[str] = mapped_column(Text)
    flags: Mapped[list[dict[str, str]]] = mapped_column(JSON)
    provenance: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class ArtifactTable(Base):
    """Files that a step wrote."""

    __tablename__ = "artifact"
    step_key: Mapped[str] = mapped_column(ForeignKey("step.key"), primary_key=True)
    name: Mapped[str] = mapped_column(String(250), primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64))
    n_bytes: Mapped[int] = mapped_column(BigInteger)


class MeasurementTable(Base):
    """Features of one analysis; `value` is null exactly where `not_assessable` is not."""

    __tablename__ = "measurement"
    step_key: Mapped[str] = mapped_column(ForeignKey("analysis.step_key"), primary_key=True)
    feature: Mapped[str] = mapped_column(String(120), primary_key=True)
    value: Mapped[float | None] = mapped_column(Float)
    unit: Mapped[str] = mapped_column(String(20))
    low: Mapped[float | None] = mapped_column(Float)
    high: Mapped[float | None] = mapped_column(Float)
    n: Mapped[int] = mapped_column(Integer)
    not_assessable: Mapped[str | None] = mapped_column(Text)


class ReportTable(Base):
    """Reports; never overwritten, an amended one points at its predecessor."""

    __tablename__ = "report"
    report_id: Mapped[int] = mapped_column(Integer, primary_key=True)
    donor: Mapped[str] = mapped_column(ForeignKey("donor.donor"), index=True)
    folder: Mapped[str] = mapped_column(Text)
    sha256: Mapped[str] = mapped_column(String(64))
    supersedes: Mapped[int | None] = mapped_column(ForeignKey("report.report_id"))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class JobTable(Base):
    """Work that pages ask for."""

    __tablename__ = "job"
    job_id: Mapped[int] = mapped_column(Integer, primary_key=True)
    kind: Mapped[str] = mapped_column(String(20))
    payload: Mapped[dict[str, Any]] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(String(10), index=True)
    progress: Mapped[float] = mapped_column(Float)
    log: Mapped[str] = mapped_column(Text)
    attempts: Mapped[int] = mapped_column(Integer)
    cancel_requested: Mapped[bool] = mapped_column(Boolean)
    owner: Mapped[str | None] = mapped_column(String(200))
    lease_until: Mapped[float | None] = mapped_column(Float)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    started_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    finished_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
