"""Template matching from a tomogram and templates to picks with significance."""

import math
from collections.abc import Callable

import numpy as np
import torch

from engine.data.arrays import Bools
from engine.data.template import Template
from engine.data.tomogram import Tomogram
from engine.errors import BadInputError, VoxelSizeMismatchError
from engine.matching.basis import template_basis
from engine.matching.control import control_search
from engine.matching.correlation import plan_tiles
from engine.matching.filters import MatchFilter
from engine.matching.generative_null import StructureSource
from engine.matching.judging import judge
from engine.matching.masked_template import MaskedTemplate, masked_template
from engine.matching.matched_volume import MatchedVolume, matched_volume
from engine.matching.params import MatchParams
from engine.matching.region import common_box, halo_for, search_region
from engine.matching.results import MatchResult
from engine.matching.rotation_grid import rotations_for
from engine.matching.scanning import (
    InMemory,
    ScoreStore,
    largest_tile_vox,
    sample_voxels,
    scan_setup,
)
from engine.matching.search import LARGEST_SCANNED, search_table, stages_for
from engine.matching.setup import Setup
from engine.matching.transforms import torch_threads

VOXEL_SIZE_TOLERANCE = 1e-3
# Share of the time of each part, for the progress.
SCAN_SHARE, CONTROL_SHARE = 0.7, 0.1


def match_templates(
    tomogram: Tomogram,
    templates: tuple[Template, ...],
    match_filter: MatchFilter,
    params: MatchParams,
    *,
    search: Bools | None = None,
    device: torch.device | None = None,
    store: ScoreStore | None = None,
    source: StructureSource | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> MatchResult:
    """Find copies of templates.

    Parameters
    ----------
    templates
        Sampled as the tomogram; boxes may differ.
    search
        bool, the tomogram's shape: where to look and what the statistics rest on.
    store
        Keeps tiles that are done; in memory by default.
    source
        Draws the structures of a generative null; needed where `params.null` asks for one.

    Raises
    ------
    VoxelSizeMismatchError
        A template's sampling differs by more than 0.1 %.
    BadInputError
        A template larger than the tomogram, an empty mask, a constant tomogram.
    """
    device = device or torch.device("cpu")
    report = on_progress or (lambda fraction: None)
    with torch_threads(1):
        # A stream for each part: what one draws does not change the others' draws.
        sampling, noise, nulls = np.random.default_rng(params.seed).spawn(3)
        setup = prepare(tomogram, templates, match_filter, params, sampling, device, search=search)
        store = store or InMemory(len(templates), setup.volume.shape)
        scan_setup(setup, store, device, lambda f: report(SCAN_SHARE * f))
        control = control_search(setup, params, noise, device)
        report(SCAN_SHARE + CONTROL_SHARE)
        result = judge(
            setup, tomogram, templates, store.scores(), control, params, source=source, rng=nulls,
            on_progress=lambda f: report(
                SCAN_SHARE + CONTROL_SHARE + (1.0 - SCAN_SHARE - CONTROL_SHARE) * f
            ),
        )  # fmt: skip
    report(1.0)
    return result


def prepare(
    tomogram: Tomogram,
    templates: tuple[Template, ...],
    match_filter: MatchFilter,
    params: MatchParams,
    rng: np.random.Generator,
    device: torch.device,
    *,
    search: Bools | None = None,
) -> Setup:
    """Filter the tomogram and make basis, tables and tiles; errors as `match_templates`."""
    _require_fit(tomogram, templates)
    volume = matched_volume(
        tomogram.voxels, match_filter, halo_vox=halo_for(templates), search=search
    )
    return _set_up(volume, templates, params, rng, device)


def _require_fit(tomogram: Tomogram, templates: tuple[Template, ...]) -> None:
    for template in templates:
        ratio = template.voxel_size_angst / tomogram.voxel_size_angst
        if abs(ratio - 1.0) > VOXEL_SIZE_TOLERANCE:
            raise VoxelSizeMismatchError(
                f"{template.template_id}: template is sampled at "
                f"{template.voxel_size_angst:.3f} Å/voxel, the tomogram at "
                f"{tomogram.voxel_size_angst:.3f}; resample it with `tomodx template make "
                f"--voxel-size-angst {tomogram.voxel_size_angst:g}`",
                template=template.template_id,
            )
        diameter = 2 * math.ceil(template.radius_angst / template.voxel_size_angst) + 1
        if min(tomogram.voxels.shape) < min(diameter, template.box_vox):
            raise BadInputError(
                f"{template.template_id}: expected a template smaller than the tomogram, found a "
                f"box of {template.box_vox} voxels and a tomogram of "
                f"{'x'.join(str(n) for n in tomogram.voxels.shape)}; crop the template or give a "
                "larger tomogram",
                template=template.template_id,
            )


def _set_up(
    volume: MatchedVolume,
    templates: tuple[Template, ...],
    params: MatchParams,
    rng: np.random.Generator,
    device: torch.device,
) -> Setup:
    masked = tuple(masked_template(t) for t in common_box(templates))
    basis = template_basis(masked, keep=params.keep, largest=_largest_basis(masked, params))
    radius = min(t.support_radius_vox for t in masked)
    region = search_region(volume.shape, params.edge_share * radius)
    stages = stages_for(rotations_for(params.angular_step_deg), params.keep, len(templates))
    positions = sample_voxels(volume, region, rng)
    table = search_table(volume, basis, stages, positions, device)
    plan = plan_tiles(region, basis.support_vox, largest_tile_vox(table, params))
    if volume.search is None:
        n_searched = math.prod(region.shape)
    else:
        n_searched = int(volume.search[region.slices].sum())
    return Setup(volume, basis, table, plan, region, stages, n_searched)


def _largest_basis(masked: tuple[MaskedTemplate, ...], params: MatchParams) -> int:
    """Volumes that memory allows: inner products are taken in a box of twice the side."""
    transformed_vox = (2 * masked[0].voxels.shape[0]) ** 3 / 2
    fitting = int(2.0 * params.tile_bytes / (4.0 * transformed_vox / 2))
    return min(params.largest_basis, max(LARGEST_SCANNED, fitting))
