"""What an analysis of a tomogram is to the pipeline and to jobs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from app.context import Device, OnProgress
from cohorts.records import ManifestContrast
from engine.data.measurements import TomogramAnalysis
from engine.data.provenance import FileDigest
from engine.data.tomogram import TiltRange


class AnalyseFile(Protocol):
    """What reads a tomogram, analyses it and writes the folder, whole or not at all."""

    def __call__(
        self,
        path: Path,
        out_folder: Path,
        *,
        voxel_size_angst: float | None = None,
        contrast: ManifestContrast = "auto",
        tilt_range: TiltRange | None = None,
        device: Device = "auto",
        on_progress: OnProgress | None = None,
    ) -> TomogramAnalysis:
        """Analyse."""
        ...


@dataclass(frozen=True)
class AnalysisMethod:
    """An analysis with what identifies it: another identity is another content key.

    Attributes
    ----------
    analyse
        A function of a module, so that it can be sent to another process.
    parameters
        Dataclass or JSON-ready value.
    models
        Network files used.
    """

    analyse: AnalyseFile
    parameters: object
    models: tuple[FileDigest, ...] = ()
