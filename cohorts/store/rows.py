"""What the store gives back: frozen values, detached from the database."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from cohorts.records import Covariate, ManifestContrast

StepState = Literal["queued", "running", "done", "failed"]
JobState = Literal["queued", "running", "done", "failed", "cancelled"]
JobKind = Literal["analyze", "report"]
DonorState = Literal["waiting", "running", "failed", "analysed", "reported"]
TomogramState = Literal["waiting", "running", "failed", "analysed"]
ClaimOutcome = Literal["claimed", "done", "busy"]


@dataclass(frozen=True)
class DonorRow:
    """A donor with the state of the work on it.

    Attributes
    ----------
    state
        `analysed` once every tomogram is, `reported` once a report of that state exists.
    """

    donor: str
    group: str | None
    site: str | None
    covariates: Mapping[str, Covariate]
    n_tomograms: int
    n_analysed: int
    state: DonorState


@dataclass(frozen=True)
class TomogramRow:
    """A tomogram; `analysis_folder` is None until its analysis is recorded."""

    tomogram_id: str
    donor: str
    path: str
    voxel_size_angst: float | None
    tilt_min_deg: float | None
    tilt_max_deg: float | None
    contrast: ManifestContrast
    covariates: Mapping[str, Covariate]
    analysis_folder: str | None
    analysis_key: str | None
    state: TomogramState


@dataclass(frozen=True)
class StepRow:
    """One step of the ledger: the content key says what it computes."""

    key: str
    name: str
    tomogram_id: str | None
    state: StepState
    attempts: int
    log: str
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True)
class StepClaim:
    """Answer to a claim.

    Attributes
    ----------
    outcome
        `claimed`: the caller runs the step; `done`: nothing to do; `busy`: another live
        runner has it.
    attempt
        Number of this try; what a runner that lost its lease writes is refused by it.
    """

    key: str
    outcome: ClaimOutcome
    attempt: int


@dataclass(frozen=True)
class ArtifactRow:
    """A file that a step wrote, by its name within the step's folder."""

    name: str
    sha256: str
    n_bytes: int


@dataclass(frozen=True)
class ReportRow:
    """A report; an amended one names its predecessor in `supersedes`."""

    report_id: int
    donor: str
    folder: str
    sha256: str
    supersedes: int | None
    created_at: datetime


@dataclass(frozen=True)
class Job:
    """Work asked for by a page or a command, run by `tomodx worker`.

    Attributes
    ----------
    payload
        JSON object; see `app/jobs.py` for the keys of each kind.
    progress
        In [0, 1].
    log
        Lines with time stamps, newest last.
    """

    job_id: int
    kind: JobKind
    payload: Mapping[str, Any]
    state: JobState
    progress: float
    log: str
    attempts: int
    cancel_requested: bool
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
