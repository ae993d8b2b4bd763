"""The value of a case report: everything that is printed, and nothing that is computed later."""

from dataclasses import dataclass
from typing import Literal

from diagnostics.features.table import Feature
from diagnostics.locked_model import LockedModel
from diagnostics.panels.rules import Panel
from diagnostics.prediction import Prediction
from diagnostics.reference import GroupSize
from diagnostics.single_case import ReferenceInterval, SingleCase
from engine.data.measurements import Measurement, QualityFlag
from engine.data.organelles import Organelle
from engine.data.provenance import FileDigest, Provenance

Role = Literal["model", "supporting", "recording"]
Verdict = Literal["positive", "negative", "undecided", "withheld"]


@dataclass(frozen=True)
class KeyImage:
    """A slice with overlays; one that is `wide` gets a row of its own."""

    content: bytes
    media_type: Literal["image/png", "image/jpeg"]
    caption: str
    alt: str
    wide: bool = False


@dataclass(frozen=True)
class TracedFilament:
    """One row of `filaments.csv`."""

    filament_id: int
    length_nm: float
    starts_at_border: bool
    ends_at_border: bool
    confidence: float


@dataclass(frozen=True)
class TomogramEvidence:
    """What a reader can look up in one tomogram.

    Attributes
    ----------
    tomogram_id
        As in the store.
    facts
        Label and text of what is known of the recording (size, voxel size, tilt range).
    organelles
        Rows of `instances.csv`; centroids in angstrom.
    images
        Key slices; may be empty.
    """

    tomogram_id: str
    facts: tuple[tuple[str, str], ...]
    organelles: tuple[Organelle, ...]
    filaments: tuple[TracedFilament, ...]
    images: tuple[KeyImage, ...]


@dataclass(frozen=True)
class MeasuredFeature:
    """One row of the table of measurements.

    Attributes
    ----------
    per_tomogram
        Tomogram id and its own measurement.
    cohort
        Group and the donor means of that group, ascending; for the picture.
    remark
        One phrase against the reference range.
    """

    feature: Feature
    role: Role
    measured: Measurement
    per_tomogram: tuple[tuple[str, Measurement], ...]
    reference: ReferenceInterval
    single_case: SingleCase | None
    cohort: tuple[tuple[str, tuple[float, ...]], ...]
    remark: str


@dataclass(frozen=True)
class Headline:
    """What a reader takes away who reads nothing else; each sentence has a lead word."""

    verdict: Verdict
    title: str
    sentences: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class CaseReport:
    """A report on one donor; `report_io` prints it.

    Attributes
    ----------
    date
        ISO date of the report where one was given; never the clock's.
    """

    donor: str
    date: str | None
    software_version: str
    simulated_case: bool
    simulated_reference: bool
    panel: Panel
    headline: Headline
    prediction: Prediction
    features: tuple[MeasuredFeature, ...]
    flags: tuple[QualityFlag, ...]
    evidence: tuple[TomogramEvidence, ...]
    reference_name: str
    reference_description: str
    reference_assumptions: tuple[str, ...]
    reference_sha256: str
    reference_groups: tuple[GroupSize, ...]
    model: LockedModel
    methods: tuple[str, ...]
    limits: tuple[str, ...]
    provenances: tuple[tuple[str, Provenance], ...]

    @property
    def banners(self) -> tuple[str, ...]:
        """What stands at the top of every page."""
        lines = ["Research use only. Not for diagnosis, screening decisions or treatment."]
        if self.simulated_case and self.simulated_reference:
            lines.insert(0, "SIMULATED DATA: this case and its reference cohort are simulated.")
        elif self.simulated_case:
            lines.insert(0, "SIMULATED DATA: this case is simulated.")
        elif self.simulated_reference:
            lines.insert(0, "SIMULATED DATA: the reference cohort is simulated.")
        return tuple(lines)

    def rows(self, role: Role) -> tuple[MeasuredFeature, ...]:
        """Rows of one role that have a value."""
        return tuple(
            row for row in self.features if row.role == role and row.measured.value is not None
        )

    @property
    def not_assessable(self) -> tuple[tuple[str, str], ...]:
        """Label and reason of every feature without a value."""
        return tuple(
            (row.feature.label, row.measured.not_assessable)
            for row in self.features
            if row.measured.not_assessable is not None
        )

    @property
    def network_files(self) -> tuple[FileDigest, ...]:
        """The networks that were used, each once."""
        found = {file.name: file for _, origin in self.provenances for file in origin.models}
        return tuple(found[name] for name in sorted(found))
