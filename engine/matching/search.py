"""The scan: every rotation of every template at every voxel, coarse first.

Most voxels hold nothing, and a few hundred rotations in the most telling part of the basis show
that. So the scan runs in stages: each looks at fewer voxels with more rotations or more of the
basis, and the last one, at the best few voxels in a thousand, takes the whole basis by direct sums,
so that only the telling part is correlated with everywhere. Where a stage ends is set by quantiles
of the score at random voxels of the whole volume: tiles do not change a result. Between two stages
the score goes over smoothly.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.data.arrays import Float32s, Float64s, Ints
from engine.matching.basis import TemplateBasis
from engine.matching.correlation import (
    BasisSpectra,
    Tile,
    TileMaps,
    point_maps,
)
from engine.matching.filters import MatchFilter, grid_frequencies
from engine.matching.matched_volume import MatchedVolume
from engine.matching.rotation_grid import distinct_rotations, even_rotations
from engine.matching.scan import best_over_rotations

N_SAMPLES = 1024
SCANNED_KEEP, LEAST_SCANNED_KEEP = 0.955, 0.85
# Volumes that are correlated with everywhere at most: each costs a map of a tile. The whole basis
# of a large, detailed template is much wider; it is for the best few voxels in a thousand.
LARGEST_SCANNED = 400
# Voxels whose correlations with the whole basis are held at once.
WHOLE_BASIS_VOXELS = 8192


@dataclass(frozen=True)
class Stage:
    """One pass of the scan.

    Attributes
    ----------
    n_rotations
        Without symmetry.
    keep
        Share of each template's norm in the part of the basis that is used.
    upper_share
        Share of the voxels (those that score best) that the pass looks at.
    """

    n_rotations: int
    keep: float
    upper_share: float


def stages_for(n_rotations: int, keep: float, n_templates: int) -> tuple[Stage, ...]:
    """Stages of a scan whose finest grid has `n_rotations` in a basis that keeps `keep`.

    A copy of the template that stands out by 5 sigma still does so with 300 rotations and 0.94 of
    its norm (it loses 5-15 % to the grid), far above the best tenth of the voxels.
    """
    coarse = Stage(min(300, n_rotations), 0.94, 1.0)
    middle = Stage(min(2000, n_rotations), SCANNED_KEEP, 0.1)
    # Each template's peaks fill a few voxels in ten thousand even where it is abundant.
    return coarse, middle, Stage(n_rotations, keep, max(0.0025 / n_templates, 0.0003))


@dataclass(frozen=True)
class StageTable:
    """Scan coefficients of one template in one stage.

    Attributes
    ----------
    coefficients
        float32 (n_rotations, k): rows make scores from maps times the inverse norm.
    rows
        (k,) which of the basis's volumes they belong to.
    """

    coefficients: Tensor
    rows: Tensor


@dataclass(frozen=True)
class SearchTable:
    """Everything of a scan that does not depend on the place.

    Attributes
    ----------
    gram
        Inner products of the basis's volumes behind the filter.
    n_scanned
        Volumes that are correlated with everywhere: the first ones of the basis.
    by_template
        Per template, per stage.
    limits
        Per template, per stage but the last: the score where the next stage begins and where it
        has taken over.
    sigma
        Per template: root mean square of the score over rotations and sampled voxels.
    """

    basis: TemplateBasis
    gram: Float64s
    n_scanned: int
    by_template: tuple[tuple[StageTable, ...], ...]
    limits: tuple[tuple[tuple[float, float], ...], ...]
    sigma: tuple[float, ...]


def filtered_gram(basis: TemplateBasis, match_filter: MatchFilter) -> Float64s:
    """(K, K) inner products of the basis's volumes as the tomogram shows them.

    In a box of twice the side, so that what the filter spreads is counted.
    """
    box = 2 * basis.volumes.shape[1]
    device = torch.device("cpu")
    z, y, x = grid_frequencies((box, box, box), device)
    weights = match_filter.template_weights(z, y, x)
    half = torch.full((box // 2 + 1,), 2.0)
    half[0] = 1.0
    if box % 2 == 0:
        half[-1] = 1.0
    weights = (weights * half.sqrt()).reshape(-1)
    used = torch.nonzero(weights).reshape(-1)
    gram = np.zeros((basis.size, basis.size))
    for parity in (0, 1):
        index = np.flatnonzero(basis.degrees % 2 == parity)
        if not len(index):
            continue
        rows = torch.empty((len(index), len(used)), dtype=torch.float32)
        for row, number in enumerate(index):
            spectrum = torch.fft.rfftn(_centred(basis.volumes[number], box))
            part = spectrum.imag if parity else spectrum.real
            rows[row] = part.reshape(-1)[used] * weights[used]
        # Even and odd volumes are orthogonal: one transform is real, the other imaginary.
        block = (rows @ rows.T).double().numpy() / box**3
        gram[np.ix_(index, index)] = block
    return gram


def _centred(volume: Float32s, box: int) -> Tensor:
    side = volume.shape[0]
    padded = torch.zeros((box, box, box), dtype=torch.float32)
    padded[:side, :side, :side] = torch.from_numpy(volume)
    shift = -(side // 2)
    return torch.roll(padded, (shift, shift, shift), (0, 1, 2))


def score_coefficients(
    basis: TemplateBasis, gram: Float64s, template: int, coefficients: Float32s
) -> Float32s:
    """Scale coefficients (n, k) so that times the maps and the inverse norm they are scores.

    `gram` (k, k) belongs to the same volumes of the basis: all of it, or a part.
    """
    norms = np.sqrt(np.einsum("nk,nk->n", coefficients @ gram.astype(np.float32), coefficients))
    soft = basis.templates[template].soft_ratio
    scaled: Float32s = (coefficients / (soft * norms[:, None])).astype(np.float32)
    return scaled


def search_table(
    volume: MatchedVolume,
    basis: TemplateBasis,
    stages: Sequence[Stage],
    positions_vox: Ints,
    device: torch.device,
    *,
    gram: Float64s | None = None,
) -> SearchTable:
    """Prepare a scan.

    Parameters
    ----------
    positions_vox
        (n, 3), the voxels whose scores set the stages' limits.
    gram
        Of `filtered_gram`, where it is known.
    """
    gram = filtered_gram(basis, volume.filter) if gram is None else gram
    points = point_maps(volume, basis, positions_vox)
    n_scanned = scanned_size(basis)
    scanned_keeps = scanned_keep(basis)
    by_template, limits, sigma = [], [], []
    for number, mask in enumerate(basis.mask_numbers):
        inverse = points.inverse_norms[mask]
        tables: list[StageTable] = []
        borders: list[tuple[float, float]] = []
        for index, stage in enumerate(stages):
            last = index + 1 == len(stages)
            keep = stage.keep if last else min(stage.keep, scanned_keeps[number])
            rows = telling_rows(basis, number, keep, basis.size if last else n_scanned)
            table = _stage_table(basis, gram, number, stage.n_rotations, rows)
            if last:
                some = table.coefficients[:: max(1, len(table.coefficients) // 500)]
                sampled = (some @ points.maps[rows]) * inverse
                sigma.append(float(torch.sqrt((sampled.double() ** 2).mean())))
            else:
                scores = (table.coefficients @ points.maps[rows]).amax(dim=0) * inverse
                share = stages[index + 1].upper_share
                low, high = np.quantile(scores.numpy(), [1.0 - share, 1.0 - 0.8 * share])
                borders.append((float(low), float(high)))
            tables.append(StageTable(table.coefficients.to(device), table.rows.to(device)))
        by_template.append(tuple(tables))
        limits.append(tuple(borders))
    return SearchTable(basis, gram, n_scanned, tuple(by_template), tuple(limits), tuple(sigma))


def _stage_table(
    basis: TemplateBasis, gram: Float64s, template: int, n_rotations: int, rows: Ints
) -> StageTable:
    symmetry = basis.templates[template].template.symmetry
    rotations = distinct_rotations(even_rotations(n_rotations), symmetry)
    own = np.ascontiguousarray(basis.coefficients_of(template, rotations)[:, rows])
    scaled = score_coefficients(basis, gram[np.ix_(rows, rows)], template, own)
    return StageTable(torch.from_numpy(scaled), torch.from_numpy(rows))


def scanned_keep(basis: TemplateBasis) -> list[float]:
    """Share of each template's norm that the scanned maps must hold.

    A larger template stands out by more sigmas at the same contrast, as the root of its voxels;
    it may lose as much of its norm as still leaves it ahead of the smallest one.
    """
    voxels = np.array([template.mask.sum(dtype=np.float64) for template in basis.templates])
    shares = SCANNED_KEEP * np.sqrt(voxels.min() / voxels)
    return [float(share) for share in shares.clip(LEAST_SCANNED_KEEP, SCANNED_KEEP)]


def scanned_size(basis: TemplateBasis) -> int:
    """Volumes at the front of the basis that hold `scanned_keep` of every template, if so many."""
    needed = np.array(scanned_keep(basis)) ** 2
    for block in basis.blocks:
        stop = block.start + 2 * block.degree + 1
        if stop > LARGEST_SCANNED:
            return block.start
        held = np.array([_held(basis, number, stop) for number in range(len(basis.templates))])
        if (held >= needed).all():
            return stop
    return basis.size


def _held(basis: TemplateBasis, template: int, n_volumes: int) -> float:
    return sum(
        float((basis.coefficients[template][degree][:, column] ** 2).sum())
        for degree, names in enumerate(basis.columns)
        for column, name in enumerate(names)
        if basis.blocks[name].start < n_volumes
    )


def telling_rows(basis: TemplateBasis, template: int, keep: float, n_volumes: int) -> Ints:
    """Volumes among the first `n_volumes` that hold `keep` of a template in every rotation."""
    strengths = []
    for degree, names in enumerate(basis.columns):
        for column, name in enumerate(names):
            if basis.blocks[name].start < n_volumes:
                strength = float((basis.coefficients[template][degree][:, column] ** 2).sum())
                strengths.append((strength / (2 * degree + 1), strength, name, degree))
    strengths.sort(reverse=True)
    held = 0.0
    rows: list[int] = []
    for _, strength, name, degree in strengths:
        if held >= keep**2:
            break
        start = basis.blocks[name].start
        rows.extend(range(start, start + 2 * degree + 1))
        held += strength
    return np.array(sorted(rows))


def scan_tile(
    volume: MatchedVolume, table: SearchTable, spectra: BasisSpectra, maps: TileMaps
) -> Float32s:
    """Scores (n_templates, *tile shape) from a tile's correlations."""
    values = maps.maps
    searched = torch.arange(values.shape[1], device=values.device)
    if volume.search is not None:
        flat = np.flatnonzero(volume.search[maps.tile.slices].ravel())
        searched = torch.from_numpy(flat).to(values.device)
        values = values.index_select(1, searched)
    n_templates = len(table.by_template)
    out = torch.zeros((n_templates, maps.maps.shape[1]), dtype=torch.float32, device=values.device)
    if len(searched):
        inverses = [maps.inverse_norms[mask][searched] for mask in spectra.masks]
        scores = [
            _everywhere(table, number, values, inverses[number]) for number in range(n_templates)
        ]
        _best_voxels(volume, table, scores, inverses, searched, maps.tile)
        for number in range(n_templates):
            out[number, searched] = scores[number]
    return out.cpu().numpy().reshape(n_templates, *maps.tile.shape)


def _everywhere(table: SearchTable, number: int, maps: Tensor, inverse: Tensor) -> Tensor:
    """Scores (n,) of a template at the searched voxels from the scanned maps alone."""
    stages, limits = table.by_template[number], table.limits[number]
    scores = best_over_rotations(stages[0].coefficients, maps, stages[0].rows) * inverse
    for stage, limit in zip(stages[1:-1], limits[:-1], strict=True):
        chosen = torch.nonzero(scores > limit[0]).reshape(-1)
        if not len(chosen):
            break
        finer = best_over_rotations(stage.coefficients, maps.index_select(1, chosen), stage.rows)
        scores[chosen] = _blended(scores[chosen], finer * inverse[chosen], limit)
    return scores


def _best_voxels(
    volume: MatchedVolume,
    table: SearchTable,
    scores: list[Tensor],
    inverses: list[Tensor],
    voxels: Tensor,
    tile: Tile,
) -> None:
    """Replace the best scores by those of the finest grid in the whole basis, in place."""
    limits = [limits[-1] for limits in table.limits]
    taken = torch.stack([own > limit[0] for own, limit in zip(scores, limits, strict=True)])
    union = torch.nonzero(taken.any(dim=0)).reshape(-1)
    for start in range(0, len(union), WHOLE_BASIS_VOXELS):
        some = union[start : start + WHOLE_BASIS_VOXELS]
        maps = _whole_basis(volume, table.basis, voxels[some], tile).to(voxels.device)
        for number, own in enumerate(scores):
            mine = torch.nonzero(taken[number, some]).reshape(-1)
            if not len(mine):
                continue
            stage, chosen = table.by_template[number][-1], some[mine]
            finer = best_over_rotations(stage.coefficients, maps.index_select(1, mine), stage.rows)
            own[chosen] = _blended(own[chosen], finer * inverses[number][chosen], limits[number])


def _blended(coarse: Tensor, fine: Tensor, limit: tuple[float, float]) -> Tensor:
    """From the coarse score at the lower limit to the fine one at the upper."""
    low, high = limit
    share = ((coarse - low) / max(high - low, 1e-9)).clamp(0.0, 1.0)
    return coarse + share * (fine - coarse)


def _whole_basis(volume: MatchedVolume, basis: TemplateBasis, voxels: Tensor, tile: Tile) -> Tensor:
    """Correlations (K, n) with all of the basis at single voxels of a tile."""
    places = np.stack(np.unravel_index(voxels.cpu().numpy(), tile.shape), axis=1)
    return point_maps(volume, basis, places + np.array(tile.start), with_norms=False).maps
