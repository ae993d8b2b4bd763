"""From a tomogram file and templates to a folder of picks."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from app.context import Device
from app.score_store import ScoresOnDisk
from app.wiring import structure_source
from engine import __version__
from engine.data.measurements import QualityFlag
from engine.data.provenance import Provenance, parameters_digest
from engine.data.template import Template
from engine.data.tilt_series import TiltSeriesMetadata
from engine.data.tomogram import TiltRange, Tomogram
from engine.errors import BadInputError
from engine.io.digests import digest_of, require_writable
from engine.io.match_files import write_match
from engine.io.mrc import GivenContrast, read_with_findings
from engine.io.search_mask import read_search_mask
from engine.io.template_files import read_template
from engine.io.wedge import estimate_tilt_range
from engine.matching.abundance import Abundance, abundance
from engine.matching.contrast import decide_contrast
from engine.matching.filters import MatchFilter
from engine.matching.match import match_templates
from engine.matching.matched_volume import matched_volume, radial_spectrum
from engine.matching.params import MatchParams
from engine.matching.results import MatchResult

CONTRAST_UNSURE = "contrast_uncertain"
# A search that sees less of a template's norm than this loses copies that stand out by little.
LEAST_KEPT = 0.97


@dataclass(frozen=True)
class MatchRequest:
    """What a user asks for.

    Attributes
    ----------
    mask
        MRC file: search where it is above 0.5.
    tilts
        Per-tilt angles, defocus and exposure.
    """

    tomogram: Path
    templates: tuple[Path, ...]
    symmetry: str | None = None
    voxel_size_angst: float | None = None
    contrast: GivenContrast = "auto"
    tilt_range: TiltRange | None = None
    tilts: TiltSeriesMetadata | None = None
    mask: Path | None = None
    low_pass_angst: float | None = None
    high_pass_angst: float | None = None
    whiten: bool = False
    params: MatchParams = field(default_factory=MatchParams)


@dataclass(frozen=True)
class FileMatch:
    """A match with what belongs to it."""

    tomogram: Tomogram
    result: MatchResult
    abundances: tuple[Abundance, ...]
    flags: tuple[QualityFlag, ...]
    files: tuple[str, ...]
    n_tiles_resumed: int


def match_file(
    request: MatchRequest,
    out_folder: Path,
    *,
    device: Device = "auto",
    on_progress: Callable[[float], None] | None = None,
) -> FileMatch:
    """Read, search, judge and write.

    Raises
    ------
    MissingFileError, BadInputError
        Tomogram, template, mask or options cannot be used.
    OutputNotWritableError
        The folder cannot be made or holds files of others.
    """
    require_writable(out_folder)
    templates = tuple(read_template(path, symmetry=request.symmetry) for path in request.templates)
    _require_distinct(templates, request.templates)
    tomogram, findings = read_with_findings(
        request.tomogram,
        voxel_size_angst=request.voxel_size_angst,
        contrast=request.contrast,
        tilt_range=request.tilt_range,
    )
    flags = list(findings)
    search = read_search_mask(request.mask, tomogram.voxels.shape) if request.mask else None
    match_filter = _filter(request, tomogram, flags)
    tomogram = _with_contrast(request, tomogram, templates, match_filter, flags)
    provenance = _provenance(request, tomogram, match_filter)
    work = out_folder.absolute().parent / (
        f".{out_folder.name}.match-{_content_key(provenance)[:16]}"
    )
    store = ScoresOnDisk(work, len(templates), tomogram.voxels.shape)
    resumed = store.n_done
    result = match_templates(
        tomogram,
        templates,
        match_filter,
        request.params,
        search=search,
        device=_torch_device(device),
        store=store,
        source=structure_source() if request.params.null != "scrambled" else None,
        on_progress=on_progress,
    )
    flags += _basis_flags(result)
    abundances = tuple(
        abundance(
            np.array(
                [
                    p
                    for p, name in zip(
                        result.particles.figures["probability"],
                        result.particles.class_names,
                        strict=True,
                    )
                    if name == template.template_id
                ]
            ),
            result.n_searched_vox,
            tomogram.voxel_size_angst,
        )
        for template in templates
    )
    files = write_match(out_folder, result, tomogram, abundances, provenance)
    store.remove()
    return FileMatch(tomogram, result, abundances, tuple(flags), files, resumed)


def _torch_device(device: Device) -> torch.device:
    if device == "cuda" and not torch.cuda.is_available():
        raise BadInputError("expected a GPU for --device cuda, found none; use --device cpu")
    use_gpu = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    return torch.device("cuda" if use_gpu else "cpu")


def _require_distinct(templates: tuple[Template, ...], paths: tuple[Path, ...]) -> None:
    names = [template.template_id for template in templates]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise BadInputError(
                f"expected templates of different names, found {name} twice "
                f"({paths[names.index(name)]} and {paths[index]}); rename one file"
            )


def _filter(request: MatchRequest, tomogram: Tomogram, flags: list[QualityFlag]) -> MatchFilter:
    tilt_range = request.tilt_range
    if tilt_range is None and request.tilts is None:
        tilt_range = estimate_tilt_range(tomogram.voxels)
        if tilt_range is None:
            flags.append(QualityFlag(
                "warning", "tilt_range_unknown",
                "the tilt range was not given and the power spectrum does not show it: matched "
                "without a missing wedge; give --tilt-range",
            ))  # fmt: skip
        else:
            flags.append(QualityFlag(
                "info", "tilt_range_estimated",
                f"tilt range {tilt_range.min_deg:g} to {tilt_range.max_deg:g} degrees, estimated "
                "from the power spectrum; give --tilt-range where you know it",
            ))  # fmt: skip
    plain = MatchFilter(
        voxel_size_angst=tomogram.voxel_size_angst,
        tilt_range=tilt_range,
        tilts=request.tilts,
        low_pass_angst=request.low_pass_angst,
        high_pass_angst=request.high_pass_angst,
    )
    if not request.whiten:
        return plain
    spectrum = radial_spectrum(matched_volume(tomogram.voxels, plain, halo_vox=0).local_side, plain)
    return replace(plain, whitening=spectrum)


def _with_contrast(
    request: MatchRequest,
    tomogram: Tomogram,
    templates: tuple[Template, ...],
    match_filter: MatchFilter,
    flags: list[QualityFlag],
) -> Tomogram:
    """Where the grey values do not settle the contrast, let the templates do it."""
    unsure = [flag for flag in flags if flag.code == CONTRAST_UNSURE]
    if request.contrast != "auto" or not unsure:
        return tomogram
    decision = decide_contrast(tomogram, templates, match_filter, request.params)
    if decision.is_sure:
        flags[:] = [flag for flag in flags if flag.code != CONTRAST_UNSURE]
        flags.append(QualityFlag(
            "info", "contrast_from_templates",
            f"protein is {decision.tomogram.recorded_contrast} in the file: with that sign the "
            f"templates match at {decision.best_sigmas:.1f} sigma, with the other at "
            f"{decision.other_sigmas:.1f}",
        ))  # fmt: skip
    return decision.tomogram


def _basis_flags(result: MatchResult) -> list[QualityFlag]:
    """Templates of which the search sees a part only; picks are scored with the whole."""
    return [
        QualityFlag(
            "warning", "template_too_detailed",
            f"{summary.template_id}: the search sees {100 * summary.kept_correlation:.0f} % of "
            "this template's norm and may miss copies in strong noise; make it at a lower "
            "resolution or a larger voxel size",
        )
        for summary in result.summaries
        if summary.kept_correlation < LEAST_KEPT
    ]  # fmt: skip


def _provenance(request: MatchRequest, tomogram: Tomogram, match_filter: MatchFilter) -> Provenance:
    parameters = {
        "params": parameters_digest(request.params),
        "filter": parameters_digest(str(match_filter)),
        "contrast": tomogram.recorded_contrast,
        "symmetry": request.symmetry,
        "voxel_size_angst": request.voxel_size_angst,
    }
    inputs = [digest_of(path) for path in request.templates]
    if request.mask:
        inputs.append(digest_of(request.mask))
    return Provenance(
        software_version=__version__,
        parameters_sha256=parameters_digest(parameters),
        inputs=(*tomogram.provenance.inputs, *inputs),
        seed=request.params.seed,
        simulated=tomogram.provenance.simulated,
    )


def _content_key(provenance: Provenance) -> str:
    return parameters_digest(provenance)
