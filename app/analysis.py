"""From a tomogram file to a folder of results."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from app.context import Device
from app.wiring import chosen_networks, shipped_networks
from engine.data.measurements import QualityFlag, TomogramAnalysis
from engine.data.tomogram import TiltRange
from engine.io.analysis_files import write_analysis
from engine.io.digests import require_writable
from engine.io.mrc import GivenContrast, read_with_findings
from engine.segmentation.analyse import analyse_tomogram
from engine.segmentation.inference import Networks


def analyse_file(
    path: Path,
    out_folder: Path,
    *,
    voxel_size_angst: float | None = None,
    contrast: GivenContrast = "auto",
    tilt_range: TiltRange | None = None,
    device: Device = "auto",
    coarse_model: str | None = None,
    fine_model: str | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> TomogramAnalysis:
    """Read, check and analyse a tomogram; write the results.

    Parameters
    ----------
    path, voxel_size_angst, contrast, tilt_range
        As for `read_tomogram`.
    out_folder
        Checked before anything is computed; appears only when everything is in it.
    device
        Where the networks run.
    coarse_model, fine_model
        Names in the registry or model folders in place of the shipped networks; the result says
        that the reference cohort was measured with others.
    on_progress
        Takes a fraction in [0, 1].

    Returns
    -------
    TomogramAnalysis
        What was written; doubts of the reader are among its flags.

    Raises
    ------
    MissingFileError, BadInputError
        The tomogram cannot be used.
    OutputNotWritableError
        The folder cannot be made or holds files of others.
    ModelFileError
        A network file is absent or altered.
    """
    require_writable(out_folder)
    tomogram, findings = read_with_findings(
        path, voxel_size_angst=voxel_size_angst, contrast=contrast, tilt_range=tilt_range
    )
    if coarse_model is None and fine_model is None:
        networks = shipped_networks(device)
    else:
        networks = chosen_networks(coarse_model, fine_model, device)
        findings = (*findings, _other_networks(networks))
    analysis = analyse_tomogram(tomogram, networks, on_progress=on_progress)
    analysis = with_flags(analysis, findings)
    write_analysis(analysis, tomogram, out_folder)
    return analysis


def _other_networks(networks: Networks) -> QualityFlag:
    names = f"{networks.coarse.spec.name} and {networks.fine.spec.name}"
    return QualityFlag(
        "info", "other_networks",
        f"measured with {names}: not comparable with the reference cohort of this version",
    )  # fmt: skip


def with_flags(analysis: TomogramAnalysis, flags: tuple[QualityFlag, ...]) -> TomogramAnalysis:
    """Put the reader's doubts before those of the analysis, each code once."""
    present = {flag.code for flag in analysis.measurements.flags}
    added = tuple(flag for flag in flags if flag.code not in present)
    measurements = replace(analysis.measurements, flags=(*added, *analysis.measurements.flags))
    return replace(analysis, measurements=measurements)
