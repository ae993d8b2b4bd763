"""Template matching from a tomogram and templates to picks with significance."""

import math
from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch

from engine.data.arrays import Bools, Float32s, Ints
from engine.data.template import Template
from engine.data.tomogram import Tomogram
from engine.errors import BadInputError, VoxelSizeMismatchError
from engine.matching.basis import template_basis
from engine.matching.correlation import Tile, TilePlan, basis_spectra, plan_tiles, tile_maps
from engine.matching.filters import MatchFilter
from engine.matching.generative_null import StructureSource
from engine.matching.judging import judge
from engine.matching.masked_template import masked_template
from engine.matching.matched_volume import MatchedVolume, matched_volume, noise_like
from engine.matching.params import MatchParams
from engine.matching.peaks import score_peaks
from engine.matching.region import common_box, halo_for, search_region
from engine.matching.results import MatchResult
from engine.matching.rotation_grid import rotations_for
from engine.matching.search import N_SAMPLES, SearchTable, scan_tile, search_table, stages_for
from engine.matching.setup import Setup
from engine.matching.significance import FalsePositives
from engine.matching.transforms import torch_threads

VOXEL_SIZE_TOLERANCE = 1e-3
# Share of the time of each part, for the progress.
SCAN_SHARE, CONTROL_SHARE = 0.7, 0.1


class ScoreStore(Protocol):
    """Where the scores of finished tiles are kept, so that a scan can go on after a stop."""

    def scores(self) -> Float32s:
        """Array (n_templates, z, y, x), writable, zero where nothing is known yet."""
        ...

    def is_done(self, tile: int) -> bool:
        """Whether a tile's scores are in."""
        ...

    def done(self, tile: int) -> None:
        """Note that a tile's scores are in."""
        ...


class InMemory:
    """Scores in memory, for volumes that fit."""

    def __init__(self, n_templates: int, shape: tuple[int, int, int]) -> None:
        self._scores = np.zeros((n_templates, *shape), dtype=np.float32)
        self._done: set[int] = set()

    def scores(self) -> Float32s:
        """Array (n_templates, z, y, x)."""
        return self._scores

    def is_done(self, tile: int) -> bool:
        """Whether a tile's scores are in."""
        return tile in self._done

    def done(self, tile: int) -> None:
        """Note that a tile's scores are in."""
        self._done.add(tile)


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
        rng = np.random.default_rng(params.seed)
        setup = prepare(tomogram, templates, match_filter, params, rng, device, search=search)
        store = store or InMemory(len(templates), setup.volume.shape)
        _scan(setup, store, device, lambda f: report(SCAN_SHARE * f))
        curves = _control(setup, params, rng, device)
        report(SCAN_SHARE + CONTROL_SHARE)
        result = judge(
            setup, tomogram, templates, store.scores(), curves, params, source=source, rng=rng,
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
    basis = template_basis(masked, keep=params.keep, largest=params.largest_basis)
    radius = min(t.support_radius_vox for t in masked)
    region = search_region(volume.shape, params.edge_share * radius)
    stages = stages_for(rotations_for(params.angular_step_deg), params.keep, len(templates))
    positions = _sample(volume, region, rng)
    table = search_table(volume, basis, stages, positions, device)
    plan = plan_tiles(region, basis.support_vox, _largest_tile(table, params))
    if volume.search is None:
        n_searched = math.prod(region.shape)
    else:
        n_searched = int(volume.search[region.slices].sum())
    return Setup(volume, basis, table, plan, region, stages, n_searched)


def _largest_tile(table: SearchTable, params: MatchParams) -> int:
    """Voxels of a tile: spectra and maps take 2 bytes each a voxel and volume.

    A wide basis gets more memory: small tiles are mostly halo.
    """
    share = min(3.0, max(1.0, table.n_scanned / 50.0))
    return int(params.tile_bytes * share / (4.0 * table.n_scanned))


def _sample(volume: MatchedVolume, region: Tile, rng: np.random.Generator) -> Ints:
    """Random voxels of the searched region."""
    if volume.search is None:
        columns = [
            rng.integers(low, high, size=N_SAMPLES)
            for low, high in zip(region.start, region.stop, strict=True)
        ]
        return np.stack(columns, axis=1)
    inside = np.flatnonzero(volume.search[region.slices].ravel())
    if not len(inside):
        raise BadInputError(
            "the mask lies wholly at the faces of the tomogram, where nothing is searched; give "
            "one with a region inside"
        )
    chosen = inside[rng.integers(0, len(inside), size=N_SAMPLES)]
    places = np.stack(np.unravel_index(chosen, region.shape), axis=1) + np.array(region.start)
    return np.asarray(places, dtype=np.int64)


def _scan(
    setup: Setup, store: ScoreStore, device: torch.device, report: Callable[[float], None]
) -> None:
    waiting = [i for i in range(len(setup.plan.tiles)) if not store.is_done(i)]
    if not waiting:
        return
    spectra = basis_spectra(setup.basis, setup.table.n_scanned, setup.plan.fft_shape, device)
    plan = TilePlan(
        tuple(setup.plan.tiles[i] for i in waiting), setup.plan.fft_shape, setup.plan.halo_vox
    )
    scores = store.scores()
    maps = tile_maps(setup.volume, spectra, plan, device)
    for count, (index, tile) in enumerate(zip(waiting, maps, strict=True)):
        scores[(slice(None), *tile.tile.slices)] = scan_tile(
            setup.volume, setup.table, spectra, tile
        )
        store.done(index)
        report((len(setup.plan.tiles) - len(waiting) + count + 1) / len(setup.plan.tiles))


def _control(
    setup: Setup, params: MatchParams, rng: np.random.Generator, device: torch.device
) -> tuple[FalsePositives, ...]:
    """Search noise of the tomogram's own spectrum with the same templates."""
    halo = setup.basis.support_vox
    side = max(round(params.control_vox ** (1.0 / 3.0)), 4 * halo)
    noise = noise_like(setup.volume, (side, side, side), rng=rng)
    radius = min(t.support_radius_vox for t in setup.basis.templates)
    region = search_region(noise.shape, params.edge_share * radius)
    positions = _sample(noise, region, rng)
    table = search_table(noise, setup.basis, setup.stages, positions, device)
    plan = plan_tiles(region, halo, _largest_tile(table, params))
    control = Setup(noise, setup.basis, table, plan, region, setup.stages, math.prod(region.shape))
    store = InMemory(len(setup.basis.templates), noise.shape)
    _scan(control, store, device, lambda fraction: None)
    curves = []
    for number, masked in enumerate(setup.basis.templates):
        radius_vox = masked.template.radius_angst / masked.template.voxel_size_angst
        _, heights = score_peaks(store.scores()[number], table.sigma[number], radius_vox)
        curves.append(
            FalsePositives(
                heights, table.sigma[number], setup.n_searched_vox / control.n_searched_vox
            )
        )
    return tuple(curves)
