"""`tomodx bench segmentation`: counts and lengths against exact truth, family by family."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from statsmodels.stats.proportion import proportion_confint

from app.bench.result import BenchResult, BenchRow, bootstrap_mean
from app.wiring import shipped_networks
from engine.data.labels import CLASS_IDS
from engine.segmentation.analyse import analyse_tomogram
from engine.simulation.case import simulate_tomogram
from engine.simulation.params import Family, SimulationParams, draw_acquisition, draw_scene

# Seeds far from those of training pools and of the reference cohort.
BENCH_SEED = 990_001
FAMILIES: tuple[Family, ...] = ("A", "B", "C")
SHAPE = (80, 320, 320)
PER_FAMILY = {"quick": 4, "full": 20}
MEAN_MITOCHONDRIA, MEAN_MICROTUBULES = 5.5, 9.0


@dataclass(frozen=True)
class Scored:
    """Truth and result of one tomogram."""

    family: Family
    true_count: int
    found_count: int
    true_length_nm: float
    found_length_nm: float
    membrane_dice: float


def run(tier: str, device: str, on_progress: Callable[[float], None]) -> BenchResult:
    """Simulate organelle-rich tomograms that no training saw, analyse, compare."""
    n = PER_FAMILY[tier]
    networks = shipped_networks(device)
    scored: list[Scored] = []
    for index in range(n * len(FAMILIES)):
        family = FAMILIES[index % len(FAMILIES)]
        params, seed = bench_params(family, index)
        simulated = simulate_tomogram(params, seed=seed)
        analysis = analyse_tomogram(simulated.tomogram, networks)
        labels = analysis.labels.labels
        found = labels == CLASS_IDS["membrane"]
        truth = simulated.truth.membrane
        overlap = 2.0 * float((found & truth).sum()) / max(1.0, float(found.sum() + truth.sum()))
        scored.append(
            Scored(
                family,
                simulated.truth.count("mitochondrion"),
                sum(
                    one.organelle_class == "mitochondrion" for one in analysis.instances.organelles
                ),
                simulated.truth.microtubule_length_nm,
                sum(one.length_nm for one in analysis.filaments),
                overlap,
            )
        )
        on_progress((index + 1) / (n * len(FAMILIES)))
    rows = [*rows_of("", scored, goals=True)]
    for family in FAMILIES:
        own = [one for one in scored if one.family == family]
        rows += rows_of(f"_family_{family}", own, goals=False)
    return BenchResult("segmentation", tier, tuple(rows))


def bench_params(family: Family, index: int) -> tuple[SimulationParams, int]:
    """Parameters and seed of one benchmark tomogram."""
    rng = np.random.default_rng([BENCH_SEED, index])
    acquisition = draw_acquisition(family, rng)
    scene = draw_scene(
        rng,
        SHAPE,
        acquisition.voxel_size_nm,
        family=family,
        mean_mitochondria=MEAN_MITOCHONDRIA,
        mean_microtubules=MEAN_MICROTUBULES,
    )
    return SimulationParams(scene, acquisition), int(rng.integers(2**31))


def rows_of(suffix: str, scored: Sequence[Scored], *, goals: bool) -> list[BenchRow]:
    """Figures of a set of tomograms; metric names end in `suffix`."""
    truth = np.array([one.true_count for one in scored])
    found = np.array([one.found_count for one in scored])
    exact = truth == found
    low, high = proportion_confint(int(exact.sum()), len(exact), method="beta")
    constant = int(np.bincount(truth).argmax())
    best_exact = float((truth == constant).mean())
    errors = np.abs(truth - found)
    median = float(np.median(truth))
    lengths = np.array([one.true_length_nm for one in scored])
    traced = np.array([one.found_length_nm for one in scored])
    scale = max(float(lengths.mean()), 1.0)
    relative = np.abs(traced - lengths) / scale
    best_length = float(np.abs(lengths - np.median(lengths)).mean() / scale)
    dice = [one.membrane_dice for one in scored]
    return [
        BenchRow(
            f"mitochondria_count_exact_share{suffix}", float(exact.mean()), "1", "higher",
            float(low), float(high), 0.75 if goals else None,
            f"best constant answer ({constant}): {best_exact:.3f}",
        ),
        BenchRow(
            f"mitochondria_count_mean_absolute_error{suffix}", float(errors.mean()), "1", "lower",
            *bootstrap_mean(errors.tolist()), None,
            f"best constant answer ({median:g}): {float(np.abs(truth - median).mean()):.2f}",
        ),
        BenchRow(
            f"microtubule_length_mean_absolute_error{suffix}", float(relative.mean()),
            "share of the mean true length", "lower", *bootstrap_mean(relative.tolist()),
            0.10 if goals else None, f"best constant answer: {best_length:.3f}",
        ),
        BenchRow(
            f"microtubule_length_bias{suffix}", float(traced.sum() / max(lengths.sum(), 1.0) - 1.0),
            "1", "lower",
        ),
        BenchRow(
            f"membrane_dice{suffix}", float(np.mean(dice)), "1", "higher", *bootstrap_mean(dice)
        ),
        BenchRow(f"true_mitochondria_mean{suffix}", float(truth.mean()), "1", "higher"),
        BenchRow(
            f"share_without_mitochondria{suffix}", float((truth == 0).mean()), "1", "lower"
        ),
    ]  # fmt: skip
