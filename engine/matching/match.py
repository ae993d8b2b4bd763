"""Template matching from a tomogram and templates to picks with significance."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from engine.data.arrays import Bools, Float32s, Float64s, Ints
from engine.data.particles import ParticleSet
from engine.data.template import Template
from engine.data.tomogram import Tomogram
from engine.errors import BadInputError, VoxelSizeMismatchError
from engine.matching.basis import TemplateBasis, masked_template, template_basis
from engine.matching.competition import Candidates, rivals_at, shape_agreement
from engine.matching.correlation import Tile, TilePlan, basis_spectra, plan_tiles, tile_maps
from engine.matching.filters import MatchFilter
from engine.matching.matched_volume import MatchedVolume, matched_volume, noise_like
from engine.matching.params import MatchParams
from engine.matching.peaks import local_maxima, without_overlap
from engine.matching.probability import Readouts, probabilities
from engine.matching.refinement import Refiner
from engine.matching.region import common_box, halo_for, search_region
from engine.matching.rotation_grid import rotations_for
from engine.matching.selection import Contender, Reach, select
from engine.matching.search import (
    N_SAMPLES,
    SearchTable,
    Stage,
    mask_numbers,
    scan_tile,
    search_table,
    stages_for,
)
from engine.matching.significance import (
    FalsePositives,
    NullTable,
    benjamini_hochberg,
    block_maxima,
    gaussian_threshold,
    monte_carlo_p_value,
    null_table,
)

VOXEL_SIZE_TOLERANCE = 1e-3
# Peaks of a score volume are looked for above this many sigma: far below any threshold.
LOWEST_SIGMA = 2.0
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


@dataclass(frozen=True)
class TemplateSummary:
    """What the search of one template rests on.

    Attributes
    ----------
    sigma
        Root mean square of its score over rotations and voxels.
    threshold
        Score at the expected number of false positives, from the control search.
    gaussian_threshold
        The same by Rickgauer's formula.
    expected_noise_picks
        At `threshold`.
    kept_correlation
        Of the basis.
    n_rotations
        Of the finest grid.
    n_candidates, n_picks
        Peaks above the threshold; those left after other templates took theirs.
    false_positives
        The curve behind the threshold.
    """

    template_id: str
    radius_angst: float
    sigma: float
    threshold: float
    gaussian_threshold: float
    expected_noise_picks: float
    kept_correlation: float
    n_rotations: int
    n_candidates: int
    n_picks: int
    false_positives: FalsePositives


@dataclass(frozen=True)
class MatchResult:
    """Picks of all templates, best first, and the score volumes.

    Attributes
    ----------
    particles
        Figures: `score`, `scan_score`, `sigmas`, `p_value`, `q_value`, `probability`, `margin`
        (sigmas above the best other template, NaN without one), `peak_shape`.
    scores
        float32 (n_templates, z, y, x).
    summaries
        One a template.
    basis_size
        Volumes correlated with.
    n_searched_vox
        Voxels searched.
    """

    particles: ParticleSet
    scores: Float32s
    summaries: tuple[TemplateSummary, ...]
    basis_size: int
    n_searched_vox: int


@dataclass(frozen=True)
class _Setup:
    volume: MatchedVolume
    basis: TemplateBasis
    table: SearchTable
    plan: TilePlan
    region: Tile
    stages: tuple[Stage, ...]
    n_searched_vox: int


def match_templates(
    tomogram: Tomogram,
    templates: tuple[Template, ...],
    match_filter: MatchFilter,
    params: MatchParams,
    *,
    search: Bools | None = None,
    device: torch.device | None = None,
    store: ScoreStore | None = None,
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

    Raises
    ------
    VoxelSizeMismatchError
        A template's sampling differs by more than 0.1 %.
    BadInputError
        A template larger than the tomogram, an empty mask, a constant tomogram.
    """
    device = device or torch.device("cpu")
    report = on_progress or (lambda fraction: None)
    _require_fit(tomogram, templates)
    volume = matched_volume(
        tomogram.voxels, match_filter, halo_vox=halo_for(templates), search=search
    )
    rng = np.random.default_rng(params.seed)
    setup = _set_up(volume, templates, params, rng, device)
    store = store or InMemory(len(templates), volume.shape)
    _scan(setup, store, device, lambda f: report(SCAN_SHARE * f))
    curves = _control(setup, params, rng, device)
    report(SCAN_SHARE + CONTROL_SHARE)
    result = _judge(
        setup,
        templates,
        store.scores(),
        curves,
        params,
        rng,
        lambda f: report(SCAN_SHARE + CONTROL_SHARE + (1.0 - SCAN_SHARE - CONTROL_SHARE) * f),
        tomogram,
    )
    report(1.0)
    return result


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
) -> _Setup:
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
    return _Setup(volume, basis, table, plan, region, stages, n_searched)


def _largest_tile(table: SearchTable, params: MatchParams) -> int:
    """Voxels of a tile: spectra take 1 byte a voxel and volume, maps about 2.

    A wide basis gets more memory: small tiles are mostly halo.
    """
    share = min(3.0, max(1.0, table.n_scanned / 50.0))
    return int(params.tile_bytes * share / (3.0 * table.n_scanned))


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
    return np.stack(np.unravel_index(chosen, region.shape), axis=1) + np.array(region.start)


def _scan(
    setup: _Setup, store: ScoreStore, device: torch.device, report: Callable[[float], None]
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
    setup: _Setup, params: MatchParams, rng: np.random.Generator, device: torch.device
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
    control = _Setup(noise, setup.basis, table, plan, region, setup.stages, math.prod(region.shape))
    store = InMemory(len(setup.basis.templates), noise.shape)
    _scan(control, store, device, lambda fraction: None)
    curves = []
    for number, masked in enumerate(setup.basis.templates):
        radius_vox = masked.template.radius_angst / masked.template.voxel_size_angst
        _, heights = _peaks(store.scores()[number], table.sigma[number], radius_vox)
        curves.append(
            FalsePositives(
                heights, table.sigma[number], setup.n_searched_vox / control.n_searched_vox
            )
        )
    return tuple(curves)


def _peaks(scores: Float32s, sigma: float, radius_vox: float) -> tuple[Ints, Float64s]:
    positions, heights = local_maxima(scores, LOWEST_SIGMA * sigma)
    kept = without_overlap(positions, radius_vox)
    return positions[kept], heights[kept]


def _judge(
    setup: _Setup,
    templates: tuple[Template, ...],
    scores: Float32s,
    curves: tuple[FalsePositives, ...],
    params: MatchParams,
    rng: np.random.Generator,
    report: Callable[[float], None],
    tomogram: Tomogram,
) -> MatchResult:
    refiners = [Refiner(setup.volume, masked) for masked in setup.basis.templates]
    found: list[Candidates] = []
    for number, template in enumerate(templates):
        radius_vox = template.radius_angst / template.voxel_size_angst
        positions, heights = _peaks(scores[number], curves[number].sigma, radius_vox)
        above = heights >= curves[number].threshold(params.n_false_positives)
        positions, heights = positions[above], heights[above]
        positions = positions[: params.largest_candidates]
        heights = heights[: params.largest_candidates]
        refined = refiners[number].refine(positions)
        found.append(Candidates(number, positions, heights, refined))
        report(0.6 * (number + 1) / len(templates))
    sigmas = [curve.sigma for curve in curves]
    margins = rivals_at(found, refiners, _comparable_sigmas(setup, sigmas))
    p_values, q_values = _p_values(setup, found, curves, params, rng)
    parts = []
    for candidates, margin, p, q in zip(found, margins, p_values, q_values, strict=True):
        number = candidates.template
        shape = shape_agreement(refiners[number], candidates)
        expected = np.array([curves[number].expected(h) for h in candidates.scan_scores])
        readouts = Readouts(expected, p, margin, shape)
        parts.append(
            _particles(
                candidates,
                templates[number],
                tomogram,
                _comparable_sigmas(setup, sigmas)[number],
                {
                    "p_value": p,
                    "q_value": q,
                    "probability": probabilities(readouts),
                    "margin": margin,
                    "peak_shape": shape,
                },
            )
        )
    thresholds = [curve.threshold(params.n_false_positives) for curve in curves]
    particles = _winners(setup, parts, found, refiners, thresholds)
    report(1.0)
    n_rotations = rotations_for(params.angular_step_deg)
    summaries = tuple(
        TemplateSummary(
            template_id=template.template_id,
            radius_angst=template.radius_angst,
            sigma=sigmas[number],
            threshold=curves[number].threshold(params.n_false_positives),
            gaussian_threshold=gaussian_threshold(
                sigmas[number], setup.n_searched_vox, n_rotations, params.n_false_positives
            ),
            expected_noise_picks=params.n_false_positives,
            kept_correlation=setup.basis.kept_correlation[number],
            n_rotations=n_rotations,
            n_candidates=len(found[number].scan_scores),
            n_picks=sum(name == template.template_id for name in particles.class_names),
            false_positives=curves[number],
        )
        for number, template in enumerate(templates)
    )
    return MatchResult(particles, scores, summaries, setup.basis.size, setup.n_searched_vox)


def _comparable_sigmas(setup: _Setup, sigmas: list[float]) -> list[float]:
    """Sigmas in the ratio that white noise gives, of the size that the control search found.

    Those of the control search itself favour the template that looks least like the specimen.
    """
    white = np.array([masked.white_sigma for masked in setup.basis.templates])
    scale = float(np.median(np.array(sigmas) / white))
    return [float(value) for value in white * scale]


def _p_values(
    setup: _Setup,
    found: list[Candidates],
    curves: tuple[FalsePositives, ...],
    params: MatchParams,
    rng: np.random.Generator,
) -> tuple[list[Float64s], list[Float64s]]:
    """One p-value a pick, from the block it lies in, and q-values over all picks."""
    p_values, q_values = [], []
    numbers = mask_numbers(setup.basis)
    for candidates in found:
        number = candidates.template
        nulls = null_table(
            setup.table, number, numbers[number],
            n_nulls=params.n_nulls, n_rotations=params.null_rotations, rng=rng,
        )  # fmt: skip
        radius = setup.basis.templates[number].support_radius_vox
        side = max(4, round(params.block_share * radius))
        p = _block_p_values(setup, candidates.positions_vox, nulls, side)
        p_values.append(p)
        # Two ways to be false: noise above the threshold, or another structure.
        noise = curves[number].rates(candidates.scan_scores)
        q_values.append(np.maximum(benjamini_hochberg(p), noise))
    return p_values, q_values


def _block_p_values(
    setup: _Setup, positions_vox: Ints, nulls: NullTable, side_vox: int
) -> Float64s:
    p = np.empty(len(positions_vox))
    origin = np.array(setup.region.start)
    blocks = (positions_vox - origin) // side_vox
    for block in np.unique(blocks, axis=0):
        inside = np.flatnonzero((blocks == block).all(axis=1))
        maxima = block_maxima(setup.volume, setup.basis, nulls, origin + block * side_vox, side_vox)
        for index in inside:
            distance = np.abs(maxima.points_vox - positions_vox[index]).max(axis=1)
            near = distance <= 2
            p[index] = monte_carlo_p_value(float(maxima.own[near].max()), maxima.nulls)
    return p


def _particles(
    candidates: Candidates,
    template: Template,
    tomogram: Tomogram,
    sigma: float,
    figures: Mapping[str, Float64s],
) -> ParticleSet:
    n = len(candidates.scan_scores)
    return ParticleSet(
        positions_angst=candidates.refined.positions_vox * tomogram.voxel_size_angst,
        rotations=candidates.refined.rotations,
        tomogram_ids=(tomogram.tomogram_id,) * n,
        class_names=(template.template_id,) * n,
        figures={
            "score": candidates.refined.scores,
            "scan_score": candidates.scan_scores,
            "sigmas": candidates.refined.scores / sigma,
            **figures,
        },
    )


def _winners(
    setup: _Setup,
    parts: list[ParticleSet],
    found: list[Candidates],
    refiners: list[Refiner],
    thresholds: list[float],
) -> ParticleSet:
    """All picks, likeliest first, none inside a better one or explained by it."""
    names = [name for part in parts for name in part.class_names]
    if not names:
        return parts[0]
    everything = ParticleSet(
        positions_angst=np.concatenate([part.positions_angst for part in parts]),
        rotations=Rotation.concatenate([part.rotations for part in parts if len(part)]),
        tomogram_ids=tuple(name for part in parts for name in part.tomogram_ids),
        class_names=tuple(names),
        figures={
            key: np.concatenate([part.figures[key] for part in parts]) for key in parts[0].figures
        },
    )
    contenders = [
        Contender(
            candidates.template,
            np.rint(candidates.refined.positions_vox[index]).astype(np.int64),
            candidates.refined.rotations[index],
            float(part.figures["sigmas"][index]),
        )
        for candidates, part in zip(found, parts, strict=True)
        for index in range(len(part))
    ]
    reaches = [
        Reach(
            masked.template.radius_angst / masked.template.voxel_size_angst,
            masked.support_radius_vox,
            threshold,
        )
        for masked, threshold in zip(setup.basis.templates, thresholds, strict=True)
    ]
    rotators = [refiner.rotator for refiner in refiners]
    winners = everything.take(select(setup.volume, rotators, reaches, contenders))
    return winners.take(np.argsort(-winners.figures["probability"], kind="stable"))
