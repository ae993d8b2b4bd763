"""Noise-only volumes: uniform p-values, and as many picks as are expected."""

from collections.abc import Callable

import numpy as np
from scipy.stats import kstest

from app.bench import matching_scenes as scenes
from app.bench.result import BenchRow
from engine import __version__
from engine.data.provenance import Provenance
from engine.data.template import Template
from engine.data.tomogram import Tomogram
from engine.matching.filters import MatchFilter
from engine.matching.match import match_templates
from engine.matching.noise_control import block_p_values
from engine.matching.params import MatchParams
from engine.matching.template_masks import soft_sphere
from engine.simulation.macromolecules import planted_scene

SEEDS = {"quick": 3, "full": 20}
SHAPE = (100, 160, 160)
EXPECTED = (1.0, 200.0)
# One test of 20 may fail at 1 %: that happens by chance in 1.7 % of benchmarks.
LEAST_P = 0.01


def noise_rows(tier: str, on_progress: Callable[[float], None]) -> list[BenchRow]:
    """Search noise with a template; count picks and test the p-values of its blocks."""
    template = noise_template()
    failures = 0
    all_p: list[float] = []
    counts: dict[float, list[int]] = {n: [] for n in EXPECTED}
    for seed in range(SEEDS[tier]):
        tomogram = noise_tomogram(seed)
        match_filter = MatchFilter(scenes.VOXEL_SIZE_ANGST, scenes.WEDGE)
        params = MatchParams(seed=seed, n_false_positives=EXPECTED[-1])
        result = match_templates(tomogram, (template,), match_filter, params)
        curve = result.summaries[0].false_positives
        found = result.particles.figures["scan_score"]
        for n in EXPECTED:
            counts[n].append(int((found >= curve.threshold(n)).sum()))
        p_values = block_p_values(tomogram, template, match_filter, params)
        failures += bool(kstest(p_values, "uniform").pvalue <= LEAST_P)
        all_p += p_values.tolist()
        on_progress((seed + 1) / SEEDS[tier])
    rows = [
        BenchRow("noise_p_values_not_uniform", float(failures), f"of {SEEDS[tier]} volumes",
                 "lower", goal=1.0),
        BenchRow("noise_p_values_all_volumes_ks_p", float(kstest(all_p, "uniform").pvalue), "1",
                 "higher", baseline=f"{len(all_p)} blocks together"),
    ]  # fmt: skip
    for n, goal in zip(EXPECTED, ("0.3 to 3", "150 to 260"), strict=True):
        values = np.array(counts[n], dtype=np.float64)
        error = 1.96 * float(values.std(ddof=1)) / np.sqrt(len(values))
        mean = float(values.mean())
        rows.append(
            BenchRow(f"noise_picks_at_{n:g}_expected", mean, "picks", "lower", mean - error,
                     mean + error, baseline=f"wanted {goal}")
        )  # fmt: skip
    return rows


def noise_template() -> Template:
    """The benchmark's template with a soft sphere."""
    return Template(
        template_id="template",
        voxels=scenes.structures()[0],
        mask=soft_sphere(scenes.BOX_VOX, scenes.RADIUS_VOX, 3),
        voxel_size_angst=scenes.VOXEL_SIZE_ANGST,
        symmetry="C1",
        radius_angst=scenes.RADIUS_VOX * scenes.VOXEL_SIZE_ANGST,
        mass_kda=None,
        hand="as_given",
        resolution_angst=None,
        source="benchmark",
        provenance=Provenance(__version__, "benchmark", simulated=True),
    )


def noise_tomogram(seed: int) -> Tomogram:
    """White noise behind the wedge."""
    scene = planted_scene(
        scenes.structures(), (0, 0), SHAPE,
        snr=1.0, snr_radius_vox=scenes.RADIUS_VOX, distances_vox=(1.0, 1.0), margin_vox=1,
        tilt_range=scenes.WEDGE, rng=np.random.default_rng([scenes.SCENE_SEED, 1, seed]),
    )  # fmt: skip
    return Tomogram(
        tomogram_id=f"noise_{seed}",
        voxels=scene.voxels,
        voxel_size_angst=scenes.VOXEL_SIZE_ANGST,
        tilt_range=scenes.WEDGE,
        recorded_contrast="bright",
        provenance=Provenance(__version__, "benchmark", seed=seed, simulated=True),
    )
