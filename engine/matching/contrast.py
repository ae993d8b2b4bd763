"""Sign of the contrast where grey values do not settle it: the templates match one sign only."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from engine.data.arrays import Float64s
from engine.data.template import Template
from engine.data.tomogram import Contrast, Tomogram
from engine.matching.basis import TemplateBasis, template_basis
from engine.matching.correlation import basis_spectra, plan_tiles, tile_maps
from engine.matching.filters import MatchFilter
from engine.matching.masked_template import masked_template
from engine.matching.matched_volume import matched_volume
from engine.matching.params import MatchParams
from engine.matching.peaks import local_maxima, without_overlap
from engine.matching.region import common_box, search_region
from engine.matching.rotation_grid import even_rotations
from engine.matching.scan import best_over_rotations
from engine.matching.search import LARGEST_SCANNED, filtered_gram, score_coefficients

N_ROTATIONS = 300
# A part is enough; its sides at most.
PART_VOX = 128
N_PEAKS = 5
SURE_SIGMAS = 1.0


@dataclass(frozen=True)
class ContrastDecision:
    """The tomogram with protein bright, as the templates have it.

    Attributes
    ----------
    best_sigmas, other_sigmas
        Mean of the highest separate peaks with the chosen and with the other sign.
    is_sure
        Whether they differ by more than noise peaks do.
    """

    tomogram: Tomogram
    best_sigmas: float
    other_sigmas: float
    is_sure: bool


def decide_contrast(
    tomogram: Tomogram,
    templates: tuple[Template, ...],
    match_filter: MatchFilter,
    params: MatchParams,
) -> ContrastDecision:
    """Match a central part with both signs and keep the one with the higher peaks."""
    starts = [max(0, (n - PART_VOX) // 2) for n in tomogram.voxels.shape]
    part = tomogram.voxels[tuple(slice(s, s + PART_VOX) for s in starts)]
    masked = tuple(masked_template(t) for t in common_box(templates))
    basis = template_basis(masked, keep=0.95, largest=LARGEST_SCANNED)
    upright, flipped = _peak_heights(part, basis, match_filter, params)
    keep = upright >= flipped
    chosen = tomogram
    if not keep:
        recorded: Contrast = "bright" if tomogram.recorded_contrast == "dark" else "dark"
        chosen = replace(tomogram, voxels=-tomogram.voxels, recorded_contrast=recorded)
    return ContrastDecision(
        chosen,
        max(upright, flipped),
        min(upright, flipped),
        abs(upright - flipped) > SURE_SIGMAS,
    )


def _peak_heights(
    part: np.ndarray, basis: TemplateBasis, match_filter: MatchFilter, params: MatchParams
) -> tuple[float, float]:
    volume = matched_volume(part, match_filter, halo_vox=basis.volumes.shape[1])
    device = torch.device("cpu")
    radius = min(t.support_radius_vox for t in basis.templates)
    region = search_region(volume.shape, params.edge_share * radius)
    plan = plan_tiles(region, basis.support_vox, int(params.tile_bytes / (4.0 * basis.size)))
    spectra = basis_spectra(basis, basis.size, plan.fft_shape, device)
    gram = filtered_gram(basis, match_filter)
    rotations = even_rotations(N_ROTATIONS)
    tables = [
        torch.from_numpy(score_coefficients(basis, gram, t, basis.coefficients_of(t, rotations)))
        for t in range(len(basis.templates))
    ]
    rows = torch.arange(basis.size)
    scores = np.zeros((2, *volume.shape), dtype=np.float32)
    for maps in tile_maps(volume, spectra, plan, device):
        for sign in (0, 1):
            best = torch.stack(
                [
                    best_over_rotations(table if sign == 0 else -table, maps.maps, rows)
                    * maps.inverse_norms[spectra.masks[t]]
                    / basis.templates[t].white_sigma
                    for t, table in enumerate(tables)
                ]
            ).amax(dim=0)
            scores[(sign, *maps.tile.slices)] = best.numpy().reshape(maps.tile.shape)
    heights: list[Float64s] = []
    for sign in (0, 1):
        positions, values = local_maxima(scores[sign], 0.0)
        heights.append(values[without_overlap(positions[:2000], 2 * radius)][:N_PEAKS])
    return float(heights[0].mean()), float(heights[1].mean())
