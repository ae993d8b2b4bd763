"""The control search: what the templates find where nothing is."""

import math
from dataclasses import dataclass

import numpy as np
import torch

from engine.matching.correlation import plan_tiles
from engine.matching.explained import QuietNoise, quiet_noise
from engine.matching.matched_volume import noise_like
from engine.matching.params import MatchParams
from engine.matching.peaks import score_peaks
from engine.matching.region import search_region
from engine.matching.scanning import InMemory, largest_tile_vox, sample_voxels, scan_setup
from engine.matching.search import search_table
from engine.matching.setup import Setup
from engine.matching.significance import FalsePositives, with_scrambled

# Scrambled copies that search the same noise: in it they behave as their template does, and more
# peaks settle the tail. With many templates the time goes into these.
SCRAMBLED_COPIES, COPIES_IN_ALL = 4, 6


@dataclass(frozen=True)
class Control:
    """What noise alone shows: false positives, one curve a template, and its local variance."""

    curves: tuple[FalsePositives, ...]
    quiet: QuietNoise


def control_search(
    setup: Setup, params: MatchParams, rng: np.random.Generator, device: torch.device
) -> Control:
    """Search noise of the tomogram's own spectrum."""
    n_templates = len(setup.basis.templates)
    symmetric = any(m.template.symmetry != "C1" for m in setup.basis.templates)
    # Scrambling does not keep a symmetry, and a symmetric template has fewer distinct rotations.
    n_copies = 0 if symmetric else min(SCRAMBLED_COPIES, COPIES_IN_ALL // n_templates)
    basis = with_scrambled(setup.basis, n_copies, rng=rng)
    # Templates that reach beyond a face see less noise: the control lies wholly inside.
    margin = basis.support_vox
    inner = max(round(params.control_vox ** (1.0 / 3.0)), 2 * margin)
    side = inner + 2 * margin
    noise = noise_like(setup.volume, (side, side, side), rng=rng)
    region = search_region(noise.shape, margin)
    positions = sample_voxels(noise, region, rng)
    # Scrambled copies share the volumes of the basis.
    table = search_table(noise, basis, setup.stages, positions, device, gram=setup.table.gram)
    plan = plan_tiles(region, basis.support_vox, largest_tile_vox(table, params))
    control = Setup(noise, basis, table, plan, region, setup.stages, math.prod(region.shape))
    store = InMemory(len(basis.templates), noise.shape)
    scan_setup(control, store, device, lambda fraction: None)
    ratio = setup.n_searched_vox / control.n_searched_vox / (1 + n_copies)
    curves = []
    for number in range(n_templates):
        template = basis.templates[number].template
        radius_vox = template.radius_angst / template.voxel_size_angst
        own = range(number, len(basis.templates), n_templates)
        heights = [
            score_peaks(store.scores()[copy], table.sigma[copy], radius_vox)[1] for copy in own
        ]
        pooled = np.sort(np.concatenate(heights))[::-1]
        curves.append(FalsePositives(pooled, table.sigma[number], ratio))
    places = sample_voxels(setup.volume, setup.region, rng)
    quiet = quiet_noise(setup.volume, noise, setup.basis, places, positions)
    return Control(tuple(curves), quiet)
