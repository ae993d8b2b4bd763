"""Numbers with unit, interval and reason, and what they were measured on."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

import numpy as np

from engine.data.arrays import Float64s
from engine.data.filaments import Filament
from engine.data.labels import InstanceVolume, LabelVolume
from engine.data.provenance import Provenance
from engine.errors import BadInputError

FlagLevel = Literal["info", "warning", "error"]


@dataclass(frozen=True)
class QualityFlag:
    """A doubt about a tomogram: stable `code`, one sentence `message`."""

    level: FlagLevel
    code: str
    message: str


@dataclass(frozen=True)
class Measurement:
    """One feature of one tomogram or case.

    Attributes
    ----------
    value, low, high
        Estimate and its 95 % interval; None where `not_assessable` gives the reason.
    unit
        UCUM-like: `1`, `nm`, `um3`, `/um3`.
    n
        Objects (or tomograms) the value rests on.
    """

    value: float | None
    unit: str
    low: float | None
    high: float | None
    n: int
    not_assessable: str | None = None

    def __post_init__(self) -> None:
        if (self.value is None) != (self.not_assessable is not None):
            raise BadInputError("a measurement has either a value or a reason why it has none")
        if self.value is not None and not math.isfinite(self.value):
            raise BadInputError(f"a measurement must be finite, found {self.value}")


@dataclass(frozen=True)
class OrganelleMeasurements:
    """All features of one tomogram, by name (names carry the unit; lengths in nanometre)."""

    tomogram_id: str
    values: Mapping[str, Measurement]
    flags: tuple[QualityFlag, ...]
    provenance: Provenance

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", MappingProxyType(dict(self.values)))


@dataclass(frozen=True)
class TomogramAnalysis:
    """Everything `analyze` finds in one tomogram; labels and instances at its own sampling.

    Attributes
    ----------
    ribosomes_angst
        (n, 3) centres, (z, y, x).
    ribosome_confidence
        (n,) probability at each centre.
    """

    labels: LabelVolume
    instances: InstanceVolume
    filaments: tuple[Filament, ...]
    measurements: OrganelleMeasurements
    ribosomes_angst: Float64s = field(default_factory=lambda: np.empty((0, 3)))
    ribosome_confidence: Float64s = field(default_factory=lambda: np.empty(0))
