"""From a finished match to a folder with its molecular atlas."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from engine import __version__
from engine.data.measurements import QualityFlag
from engine.data.provenance import Provenance, parameters_digest
from engine.data.template import Template
from engine.data.tomogram import Contrast, Tomogram
from engine.errors import BadInputError, OutputNotWritableError, VoxelSizeMismatchError
from engine.io.atlas_files import write_atlas
from engine.io.atlas_picture import AtlasScene
from engine.io.digests import digest_of, require_writable
from engine.io.match_folder import MatchFolder, read_match_folder
from engine.io.mrc import GivenContrast, read_with_findings
from engine.io.template_files import read_template
from engine.matching.atlas import Atlas, atlas_rows, build_atlas
from engine.matching.atlas_view import atlas_view, viewed_from
from engine.matching.template_shape import template_shape

# Headers keep voxel sizes as float32.
SAME_SAMPLING = 1e-3
CONTRAST_UNSURE = "contrast_uncertain"
VIEW_AZIMUTH_DEG, VIEW_ELEVATION_DEG = 28.0, 24.0
VIEW_WIDTH_PX = 900


@dataclass(frozen=True)
class AtlasRequest:
    """What a user asks for.

    Attributes
    ----------
    match_folder
        That `tomodx match` wrote.
    tomogram
        The one that was matched, or another reconstruction of it on the same grid.
    contrast
        Of protein in the tomogram; `auto` takes the sign in which the copies stand out.
    """

    match_folder: Path
    templates: tuple[Path, ...]
    tomogram: Path
    minimum_probability: float = 0.5
    voxel_size_angst: float | None = None
    contrast: GivenContrast = "auto"


@dataclass(frozen=True)
class FileAtlas:
    """An atlas with what belongs to it."""

    scene: AtlasScene
    flags: tuple[QualityFlag, ...]
    files: tuple[str, ...]


def atlas_of_match(
    request: AtlasRequest,
    out_folder: Path,
    *,
    on_progress: Callable[[float], None] | None = None,
) -> FileAtlas:
    """Read, put the copies back, count and write.

    Raises
    ------
    MissingFileError, BadInputError
        Match, tomogram, template or options cannot be used.
    OutputNotWritableError
        The folder cannot be made, holds files of others or is the match itself.
    """
    _require_other_folder(request.match_folder, out_folder)
    require_writable(out_folder)
    match = read_match_folder(request.match_folder)
    templates = tuple(read_template(path) for path in request.templates)
    _require_distinct(templates)
    tomogram, findings = read_with_findings(
        request.tomogram, voxel_size_angst=request.voxel_size_angst, contrast=request.contrast
    )
    _require_grid(match, tomogram)
    _require_sampling(templates, tomogram)
    shapes = tuple(template_shape(template) for template in templates)
    atlas = build_atlas(
        match.picks,
        shapes,
        tomogram.voxels.shape,
        voxel_size_angst=tomogram.voxel_size_angst,
        minimum_probability=request.minimum_probability,
        on_progress=on_progress,
    )
    flags = [*findings, *_input_flags(request, match, tomogram)]
    if request.contrast == "auto" and len(atlas.particles):
        flags = [flag for flag in flags if flag.code != CONTRAST_UNSURE]
        tomogram = _copies_bright(tomogram, atlas)
    provenance = _provenance(request, match, templates, tomogram)
    scene = AtlasScene(
        tomogram=replace(tomogram, tomogram_id=match.tomogram_id),
        atlas=atlas,
        view=atlas_view(
            atlas, shapes, viewed_from(VIEW_AZIMUTH_DEG, VIEW_ELEVATION_DEG), VIEW_WIDTH_PX
        ),
        rows=atlas_rows(atlas, match.picks, match.n_searched_vox),
        minimum_probability=request.minimum_probability,
        simulated=provenance.simulated,
    )
    return FileAtlas(scene, tuple(flags), write_atlas(out_folder, scene, shapes, provenance))


def _require_other_folder(match_folder: Path, out_folder: Path) -> None:
    if match_folder.resolve() == out_folder.resolve():
        raise OutputNotWritableError(
            f"expected another folder for the atlas than that of the match, found {out_folder} for "
            "both; choose another folder",
            path=str(out_folder),
        )


def _require_distinct(templates: tuple[Template, ...]) -> None:
    names = [template.template_id for template in templates]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadInputError(
            f"expected templates of different names, found {twice[0]} twice; give each once"
        )


def _require_grid(match: MatchFolder, tomogram: Tomogram) -> None:
    if match.grid is None:
        return
    shape, voxel_size_angst = match.grid
    ratio = tomogram.voxel_size_angst / voxel_size_angst
    if tomogram.voxels.shape != shape or abs(ratio - 1.0) > SAME_SAMPLING:
        raise BadInputError(
            f"{tomogram.tomogram_id}: expected the grid that was matched, {shape} at "
            f"{voxel_size_angst:.4g} Å/voxel, found {tomogram.voxels.shape} at "
            f"{tomogram.voxel_size_angst:.4g}; give the tomogram that was matched"
        )


def _require_sampling(templates: tuple[Template, ...], tomogram: Tomogram) -> None:
    for template in templates:
        ratio = template.voxel_size_angst / tomogram.voxel_size_angst
        if abs(ratio - 1.0) > SAME_SAMPLING:
            raise VoxelSizeMismatchError(
                f"{template.template_id}: expected the tomogram's sampling of "
                f"{tomogram.voxel_size_angst:.4g} Å/voxel, found "
                f"{template.voxel_size_angst:.4g}; give the files that were matched"
            )


def _input_flags(
    request: AtlasRequest, match: MatchFolder, tomogram: Tomogram
) -> list[QualityFlag]:
    """Other files than those of the match may be meant, yet should be known."""
    matched = {entry.sha256 for entry in match.inputs}
    given = [*tomogram.provenance.inputs, *(digest_of(path) for path in request.templates)]
    others = [entry.name for entry in given if entry.sha256 not in matched]
    if not others:
        return []
    return [
        QualityFlag(
            "warning",
            "other_inputs",
            f"not among the files that were matched: {', '.join(others)}; where they differ from "
            "those, the copies may stand elsewhere",
        )
    ]


def _copies_bright(tomogram: Tomogram, atlas: Atlas) -> Tomogram:
    """Flip a tomogram in which the copies are darker than the rest."""
    mean_density = float(atlas.density.mean(dtype=np.float64))
    overlap = sum(
        float(np.vdot(density.astype(np.float64) - mean_density, section.astype(np.float64)))
        for density, section in zip(atlas.density, tomogram.voxels, strict=True)
    )
    if overlap >= 0:
        return tomogram
    other: Contrast = "bright" if tomogram.recorded_contrast == "dark" else "dark"
    return replace(tomogram, voxels=-tomogram.voxels, recorded_contrast=other)


def _provenance(
    request: AtlasRequest,
    match: MatchFolder,
    templates: tuple[Template, ...],
    tomogram: Tomogram,
) -> Provenance:
    parameters = {
        "minimum_probability": request.minimum_probability,
        "contrast": tomogram.recorded_contrast,
        "voxel_size_angst": request.voxel_size_angst,
    }
    return Provenance(
        software_version=__version__,
        parameters_sha256=parameters_digest(parameters),
        inputs=(
            *tomogram.provenance.inputs,
            *(digest_of(path) for path in request.templates),
            *match.files,
        ),
        simulated=match.simulated
        or tomogram.provenance.simulated
        or any(template.provenance.simulated for template in templates),
    )
