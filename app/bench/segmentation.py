"""`tomodx bench segmentation`: counts, lengths and masks against exact truth, family by family."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import as_completed
from pathlib import Path

import numpy as np
from statsmodels.stats.proportion import proportion_confint

from app.bench.kept_scores import KeptScores
from app.bench.result import BenchResult, BenchRow, bootstrap_mean
from app.bench.segmentation_large import large_rows
from app.bench.segmentation_real import real_rows
from app.bench.segmentation_robust import doubt_rows, parity_rows
from app.bench.segmentation_scenes import (
    FAMILIES,
    RISE_BINS_DEG,
    TURN_BINS_DEG,
    Scored,
    score_index,
    score_kind,
)
from app.wiring import FINE_MODEL, shipped_networks
from engine.one_thread import one_thread_processes
from engine.segmentation.inference import available_cores
from models.registry import TRAINED_FOLDER

PER_FAMILY = {"quick": 2, "full": 67}
# Baselines of the field, and the student of the shipped network.
RIVALS = ("chen2017-1", "convnet3d-1", "ssn3d-1", "student-1")
RIVALS_PER_FAMILY = {"quick": 1, "full": 6}
OTHERS_PER_FAMILY = {"quick": 1, "full": 4}
COMPARED = (
    "microtubule_length_missed", "microtubule_length_false", "microtubule_length_mean",
    "microtubule_centreline", "membrane_dice",
)  # fmt: skip


def run(tier: str, device: str, work: Path, on_progress: Callable[[float], None]) -> BenchResult:
    """Simulate organelle-rich tomograms that no training saw, analyse, compare; then the rest.

    Scores of single tomograms are kept in `work`.
    """
    kept = KeptScores(work, shipped_networks(device))
    scored = scored_tomograms(tier, device, kept, lambda f: on_progress(0.7 * f))
    rows = scored_rows([one[FINE_MODEL] for one in scored])
    rows += rival_rows([one for one in scored if len(one) > 1])
    rows += other_scene_rows(tier, device)
    rows += real_rows(device)
    on_progress(0.8)
    rows += parity_rows(device)
    on_progress(0.85)
    rows += doubt_rows(tier, device)
    on_progress(0.95)
    if tier == "full":
        rows += large_rows(device)
    on_progress(1.0)
    return BenchResult("segmentation", tier, tuple(rows))


def scored_tomograms(
    tier: str, device: str, kept: KeptScores, on_progress: Callable[[float], None]
) -> list[dict[str, Scored]]:
    """Every benchmark tomogram scored, a process a core; the result depends on no order.

    The first few of each family are scored with the other fine networks of the registry, too.
    """
    count = PER_FAMILY[tier] * len(FAMILIES)
    n_compared = RIVALS_PER_FAMILY[tier] * len(FAMILIES)
    rivals = [name for name in RIVALS if (TRAINED_FOLDER / name).is_dir()]
    wanted = {index: rivals if index < n_compared else [] for index in range(count)}
    done = {}
    for index, names in wanted.items():
        found = kept.get(index, (FINE_MODEL, *names))
        if found is not None:
            done[index] = found
    lacking = [index for index in range(count) if index not in done]
    n_workers = 1 if device == "cuda" else min(available_cores(), max(1, len(lacking)))
    with one_thread_processes(n_workers) as workers:
        running = {
            workers.submit(score_index, index, device, wanted[index]): index for index in lacking
        }
        for future in as_completed(running):
            index = running[future]
            done[index] = future.result()
            kept.put(index, done[index])
            on_progress(len(done) / count)
    return [done[index] for index in range(count)]


def other_scene_rows(tier: str, device: str) -> list[BenchRow]:
    """Neurites and cilia: what was made for platelets, where there are none; matrix granules."""
    count = OTHERS_PER_FAMILY[tier] * len(FAMILIES)
    cilia = [score_kind("cilia", number, device) for number in range(count)]
    neurites = [score_kind("neurite", number, device) for number in range(count)]
    false = [float(one.found_count) for one in cilia]
    rows = [
        BenchRow(
            "false_mitochondria_per_tomogram_of_cilia", float(np.mean(false)), "1", "lower",
            *bootstrap_mean(false), baseline=f"{count} tomograms without any",
        )
    ]  # fmt: skip
    for name, own in (("cilia", cilia), ("neurites", neurites)):
        rows += [
            row for row in rows_of(f"_in_{name}", own, goals=False)
            if row.metric.startswith(COMPARED)
        ]  # fmt: skip
    granular = [
        score_kind("platelet", number, device, matrix_granules=True) for number in range(count)
    ]
    return rows + granule_rows([pair for one in granular for pair in one.granules])


def granule_rows(pairs: Sequence[tuple[int, int]]) -> list[BenchRow]:
    """Matrix granules (found, true) of each mitochondrion that was found."""
    if not pairs:
        return []
    found, truth = np.array(pairs, dtype=float).T
    errors = np.abs(found - truth)
    median = float(np.median(truth))
    return [
        BenchRow(
            "matrix_granules_mean_absolute_error", float(errors.mean()), "a mitochondrion", "lower",
            *bootstrap_mean(errors.tolist()),
            baseline=f"best constant answer ({median:g}): {np.abs(truth - median).mean():.2f}; "
            f"{len(truth)} mitochondria, {truth.mean():.2f} each",
        ),
        BenchRow(
            "matrix_granules_bias", float(found.sum() / max(truth.sum(), 1.0) - 1.0), "1", "lower",
            baseline="of the total; the smaller in size the better",
        ),
    ]  # fmt: skip


def rival_rows(scored: Sequence[Mapping[str, Scored]]) -> list[BenchRow]:
    """What other fine networks reach on the same tomograms; traced and scored alike.

    Each was trained on the same pool; how long, its card says.
    """
    rows = []
    for name in scored[0] if scored else ():
        own = [one[name] for one in scored]
        rows += [
            row for row in rows_of(f"_of_{name}", own, goals=False)
            if row.metric.startswith(COMPARED)
        ]  # fmt: skip
        seconds = sum(one.cpu_seconds for one in own)
        shipped = sum(one[FINE_MODEL].cpu_seconds for one in scored)
        rows.append(
            BenchRow(
                f"cpu_time_of_an_analysis_with_{name}", seconds / max(shipped, 1e-9),
                "of that with the shipped network", "lower",
                baseline=f"{len(own)} tomograms, each on one core",
            )
        )  # fmt: skip
    return rows


def scored_rows(scored: Sequence[Scored]) -> list[BenchRow]:
    """Figures of all families together (with goals) and apart."""
    rows = [*rows_of("", scored, goals=True)]
    for family in FAMILIES:
        own = [one for one in scored if one.family == family]
        rows += rows_of(f"_family_{family}", own, goals=False)
    return rows


def rows_of(suffix: str, scored: Sequence[Scored], *, goals: bool) -> list[BenchRow]:
    """Figures of a set of tomograms; metric names end in `suffix`."""
    rows = _mitochondria_rows(scored, goals) + _length_rows(scored, goals)
    rows += _mask_rows(scored, goals)
    return [
        BenchRow(
            f"{row.metric}{suffix}", row.value, row.unit, row.better, row.low, row.high, row.goal,
            row.baseline,
        )
        for row in rows
    ]  # fmt: skip


def _mitochondria_rows(scored: Sequence[Scored], goals: bool) -> list[BenchRow]:
    truth = np.array([one.true_count for one in scored])
    found = np.array([one.found_count for one in scored])
    exact = truth == found
    low, high = proportion_confint(int(exact.sum()), len(exact), method="beta")
    constant = int(np.bincount(truth).argmax())
    best_exact = float((truth == constant).mean())
    errors = np.abs(truth - found)
    median = float(np.median(truth))
    n_found, n_true, n_matched = np.array([one.bodies for one in scored]).sum(axis=0)
    ratios = np.concatenate([np.array(one.volume_ratios) for one in scored])
    cristae = [one.crista_ratio_error for one in scored if one.crista_ratio_error is not None]
    rows = [
        BenchRow(
            "mitochondria_count_exact_share", float(exact.mean()), "1", "higher",
            float(low), float(high), 0.9 if goals else None,
            f"best constant answer ({constant}): {best_exact:.3f}",
        ),
        BenchRow(
            "mitochondria_count_mean_absolute_error", float(errors.mean()), "1", "lower",
            *bootstrap_mean(errors.tolist()), 0.15 if goals else None,
            f"best constant answer ({median:g}): {float(np.abs(truth - median).mean()):.2f}",
        ),
        BenchRow(
            "mitochondria_f1_at_iou_0.5", 2.0 * n_matched / max(n_found + n_true, 1), "1",
            "higher", goal=0.95 if goals else None,
        ),
        BenchRow("true_mitochondria_mean", float(truth.mean()), "1", "higher"),
        BenchRow("share_without_mitochondria", float((truth == 0).mean()), "1", "lower"),
    ]  # fmt: skip
    if len(ratios):
        off = np.abs(ratios - 1.0)
        lower, upper = (float(quartile) for quartile in np.quantile(off, [0.25, 0.75]))
        rows.append(
            BenchRow(
                "mitochondrion_volume_error_median", float(np.median(off)), "1", "lower",
                lower, upper, 0.05 if goals else None,
                f"quartiles; median ratio {float(np.median(ratios)):.3f}",
            )
        )  # fmt: skip
    spacings = [pair for one in scored for pair in one.spacings_nm]
    if spacings:
        seen, real = np.array(spacings).T
        off_nm = np.abs(seen - real)
        median_nm = float(np.median(real))
        rows.append(
            BenchRow(
                "mitochondrial_membrane_spacing_mean_absolute_error", float(off_nm.mean()), "nm",
                "lower", *bootstrap_mean(off_nm.tolist()),
                baseline=f"best constant answer ({median_nm:.1f}): "
                f"{np.abs(real - median_nm).mean():.2f}; {len(real)} of {n_matched} mitochondria, "
                f"bias {(seen - real).mean():.2f}",
            )
        )  # fmt: skip
    if cristae:
        rows.append(
            BenchRow(
                "crista_volume_ratio_mean_error", float(np.mean(cristae)), "1", "lower",
                *bootstrap_mean(cristae),
            )
        )  # fmt: skip
    return rows


def _length_rows(scored: Sequence[Scored], goals: bool) -> list[BenchRow]:
    lengths = np.array([one.true_length_nm for one in scored])
    traced = np.array([one.found_length_nm for one in scored])
    whole = max(float(lengths.sum()), 1.0)
    scale = max(float(lengths.mean()), 1.0)
    relative = np.abs(traced - lengths) / scale
    best = float(np.abs(lengths - np.median(lengths)).mean() / scale)
    perfect = sum(one.perfect_length_nm for one in scored)
    lines = [one.centreline_dice for one in scored if one.centreline_dice is not None]
    weber = "template tracing, single axis, as published (doi:10.1016/j.jsb.2011.12.004)"
    rows = [
        BenchRow(
            "microtubule_length_missed_share", sum(one.missed_nm for one in scored) / whole, "1",
            "lower", goal=0.08 if goals else None, baseline=f"{weber}: 0.16",
        ),
        BenchRow(
            "microtubule_length_false_share",
            sum(one.false_nm for one in scored) / max(float(traced.sum()), 1.0), "1",
            "lower", goal=0.08 if goals else None, baseline=f"{weber}: 0.14",
        ),
        BenchRow(
            "microtubule_length_mean_absolute_error", float(relative.mean()),
            "share of the mean true length", "lower", *bootstrap_mean(relative.tolist()),
            0.05 if goals else None, f"best constant answer: {best:.3f}",
        ),
        BenchRow(
            "microtubule_length_bias", float(traced.sum()) / whole - 1.0, "1", "lower",
            goal=0.02 if goals else None, baseline="the goal holds for its size",
        ),
        BenchRow(
            "microtubule_length_bias_of_the_tracer_on_true_cores", perfect / whole - 1.0, "1",
            "lower", goal=0.01 if goals else None, baseline="the goal holds for its size",
        ),
    ]  # fmt: skip
    if lines:
        rows.append(
            BenchRow(
                "microtubule_centreline_dice", float(np.mean(lines)), "1", "higher",
                *bootstrap_mean(lines), 0.9 if goals else None,
            )
        )  # fmt: skip
    for name, bins, counts in (
        ("rise", RISE_BINS_DEG, np.array([one.by_rise for one in scored]).sum(axis=0)),
        (
            "turn_from_tilt_axis",
            TURN_BINS_DEG,
            np.array([one.by_turn for one in scored]).sum(axis=0),
        ),
    ):
        for (low, high), (found, total) in zip(bins, counts, strict=True):
            if total:
                rows.append(
                    BenchRow(
                        f"microtubule_recall_{name}_{low:.0f}_to_{high:.0f}_deg",
                        float(found) / float(total), "1", "higher",
                        baseline=f"{2e-3 * total:.1f} um of true length",
                    )
                )  # fmt: skip
    return rows


def _mask_rows(scored: Sequence[Scored], goals: bool) -> list[BenchRow]:
    membrane = [one.membrane_dice for one in scored]
    standing = [one.standing_membrane_dice for one in scored]
    flat = float(np.mean([one.flat_membrane_share for one in scored]))
    n_found, n_true, n_matched = np.array([one.ribosomes for one in scored]).sum(axis=0)
    return [
        BenchRow(
            "membrane_dice", float(np.mean(membrane)), "1", "higher", *bootstrap_mean(membrane),
            0.8 if goals else None,
            "published on foreign volumes (results of ETSAM): ETSAM 0.787, TARDIS 0.555, "
            "MemBrain-seg 0.540",
        ),
        BenchRow(
            "membrane_dice_but_for_flat_ones", float(np.mean(standing)), "1", "higher",
            *bootstrap_mean(standing),
            baseline=f"without membranes within 30 degrees of a section, {flat:.2f} of all",
        ),
        BenchRow(
            "ribosome_f1_within_15_nm", 2.0 * n_matched / max(n_found + n_true, 1), "1", "higher",
            goal=0.86 if goals else None,
            baseline=f"{n_true} true, {n_found} found, {n_matched} matched",
        ),
    ]  # fmt: skip
