"""The scan: every rotation of every template at every voxel, coarse first.

Most voxels hold nothing, and a few hundred rotations in a smaller basis show that. So the scan
runs in stages: each stage looks at fewer voxels with more rotations. Where a stage ends is set by
quantiles of the score at random voxels of the whole volume, so that tiles do not change a result;
between two stages the score goes over smoothly.
"""

from collections.abc import Iterator, Sequence
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
    TilePlan,
    point_maps,
    tile_maps,
)
from engine.matching.filters import MatchFilter, grid_frequencies
from engine.matching.matched_volume import MatchedVolume
from engine.matching.rotation_grid import distinct_rotations, even_rotations
from engine.matching.scan import best_over_rotations

N_SAMPLES = 2048


@dataclass(frozen=True)
class Stage:
    """One pass of the scan.

    Attributes
    ----------
    n_rotations
        Without symmetry.
    keep
        Share of the template's norm in the part of the basis that is used.
    upper_share
        Share of the voxels (those that score best) that the pass looks at.
    """

    n_rotations: int
    keep: float
    upper_share: float


def stages_for(n_rotations: int) -> tuple[Stage, ...]:
    """Stages of a scan whose finest grid has `n_rotations`.

    A copy of the template that stands out by 5 sigma still does so with 500 rotations and 0.95 of
    its norm (it loses 4-10 % to the grid), far above the best fifth of the voxels.
    """
    stages = [Stage(500, 0.95, 1.0)] if n_rotations > 700 else []
    share = 0.2 if stages else 1.0
    if n_rotations > 4000:
        stages.append(Stage(2000, 1.0, share))
        share = 0.03
    stages.append(Stage(n_rotations, 1.0, share))
    return tuple(stages)


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
    by_template
        Per template, per stage.
    limits
        Per template, per stage but the last: the score where the next stage begins and where it
        has taken over.
    sigma
        Per template: root mean square of the score over rotations and sampled voxels.
    sampled_best
        Per template: scores of the first stage at the sampled voxels.
    """

    basis: TemplateBasis
    gram: Float64s
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
    """Scale coefficients (n, K) so that times the maps and the inverse norm they are scores."""
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
    keep: float,
) -> SearchTable:
    """Prepare a scan; `positions_vox` (n, 3) are the voxels whose scores set the stages' limits."""
    gram = filtered_gram(basis, volume.filter)
    points = point_maps(volume, basis, positions_vox)
    by_template, limits, sigma = [], [], []
    mask_of = mask_numbers(basis)
    for number, masked in enumerate(basis.templates):
        symmetry = masked.template.symmetry
        tables: list[StageTable] = []
        borders: list[tuple[float, float]] = []
        inverse = points.inverse_norms[mask_of[number]]
        scores = torch.empty(0)
        for index, stage in enumerate(stages):
            rotations = distinct_rotations(even_rotations(stage.n_rotations), symmetry)
            rows = _telling_rows(basis, number, keep * stage.keep)
            own = np.zeros((len(rotations), basis.size), dtype=np.float32)
            own[:, rows] = basis.coefficients_of(number, rotations)[:, rows]
            scaled = score_coefficients(basis, gram, number, own)[:, rows]
            table = StageTable(torch.from_numpy(scaled).to(device), torch.from_numpy(rows).to(device))
            if index + 1 < len(stages):
                sampled = table.coefficients.cpu() @ points.maps[rows]
                scores = sampled.amax(dim=0) * inverse
                share = stages[index + 1].upper_share
                low, high = np.quantile(scores.numpy(), [1.0 - share, 1.0 - 0.8 * share])
                borders.append((float(low), float(high)))
            tables.append(table)
        first = tables[0]
        sampled = (first.coefficients.cpu() @ points.maps[first.rows.cpu()]) * inverse
        sigma.append(float(torch.sqrt((sampled.double() ** 2).mean())))
        by_template.append(tuple(tables))
        limits.append(tuple(borders))
    return SearchTable(basis, gram, tuple(by_template), tuple(limits), tuple(sigma))


def mask_numbers(basis: TemplateBasis) -> list[int]:
    """Number of each template's mask among the distinct ones, in the order of the maps."""
    seen: list[Float32s] = []
    numbers = []
    for template in basis.templates:
        for number, known in enumerate(seen):
            if np.array_equal(known, template.mask):
                numbers.append(number)
                break
        else:
            numbers.append(len(seen))
            seen.append(template.mask)
    return numbers


def _telling_rows(basis: TemplateBasis, template: int, keep: float) -> Ints:
    """Volumes, block by block, that hold `keep` of a template's norm in every rotation."""
    strengths = []
    for degree, names in enumerate(basis.columns):
        for column, name in enumerate(names):
            strength = float((basis.coefficients[template][degree][:, column] ** 2).sum())
            strengths.append((strength / (2 * degree + 1), strength, name, degree))
    strengths.sort(reverse=True)
    held, rows = 0.0, []
    for _, strength, name, degree in strengths:
        if held >= keep**2:
            break
        start = basis.blocks[name].start
        rows.extend(range(start, start + 2 * degree + 1))
        held += strength
    return np.array(sorted(rows))


@dataclass(frozen=True)
class TileScores:
    """Scores of one tile: float32 (n_templates, z, y, x); 0 where nothing is searched."""

    tile: Tile
    scores: Float32s


def scan_tiles(
    volume: MatchedVolume, table: SearchTable, spectra: BasisSpectra, plan: TilePlan,
    device: torch.device,
) -> Iterator[TileScores]:
    """Scan tile after tile."""
    for maps in tile_maps(volume, spectra, plan, device):
        yield TileScores(maps.tile, scan_tile(volume, table, spectra, maps))


def scan_tile(
    volume: MatchedVolume, table: SearchTable, spectra: BasisSpectra, maps: TileMaps
) -> Float32s:
    """Scores (n_templates, *tile shape) from a tile's correlations."""
    searched = None
    values = maps.maps
    if volume.search is not None:
        flat = np.flatnonzero(volume.search[maps.tile.slices].ravel())
        searched = torch.from_numpy(flat).to(values.device)
        values = values[:, searched]
    n_templates = len(table.by_template)
    out = torch.zeros((n_templates, maps.maps.shape[1]), dtype=torch.float32, device=values.device)
    for number in range(n_templates):
        inverse = maps.inverse_norms[spectra.masks[number]]
        if searched is None:
            out[number] = _staged(values, inverse, table.by_template[number], table.limits[number])
        elif len(searched):
            out[number, searched] = _staged(
                values, inverse[searched], table.by_template[number], table.limits[number]
            )
    return out.cpu().numpy().reshape(n_templates, *maps.tile.shape)


def _staged(
    maps: Tensor,
    inverse: Tensor,
    tables: tuple[StageTable, ...],
    limits: tuple[tuple[float, float], ...],
) -> Tensor:
    first = tables[0]
    scores = best_over_rotations(first.coefficients, maps, first.rows) * inverse
    chosen = torch.arange(len(scores), device=scores.device)
    for table, (low, high) in zip(tables[1:], limits, strict=True):
        chosen = chosen[scores[chosen] > low]
        if not len(chosen):
            break
        finer = best_over_rotations(table.coefficients, maps[:, chosen], table.rows)
        finer = finer * inverse[chosen]
        coarse = scores[chosen]
        share = ((coarse - low) / max(high - low, 1e-9)).clamp(0.0, 1.0)
        scores[chosen] = coarse + share * (finer - coarse)
    return scores
