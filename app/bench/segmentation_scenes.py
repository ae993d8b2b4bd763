"""Simulated and rendered tomograms with known truth, analysed and scored one by one."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy import ndimage

from app.wiring import FINE_MODEL, chosen_networks, shipped_networks
from engine.data.arrays import Float64s
from engine.data.filaments import Filament
from engine.data.labels import CLASS_IDS
from engine.data.measurements import TomogramAnalysis
from engine.data.tomogram import Tomogram
from engine.segmentation.analyse import analyse_tomogram
from engine.segmentation.logits import pack_logits
from engine.segmentation.mitochondrion_anatomy import mitochondrion_anatomy
from engine.segmentation.resampling import resample
from engine.segmentation.scoring import (
    LineAgreement,
    centreline_dice,
    compare_lines,
    dice,
    flat_parts,
    match_bodies,
    match_points,
)
from engine.segmentation.tracing import TracingParams, trace_filaments
from engine.simulation.case import Truth, simulate_tomogram
from engine.simulation.params import (
    Family,
    SceneKind,
    SimulationParams,
    draw_acquisition,
    draw_scene,
    with_extras,
)

# Seeds far from those of training pools and of the reference cohort.
BENCH_SEED = 990_001
# Scenes that are no platelets.
OTHER_INDEX = 70_000
FAMILIES: tuple[Family, ...] = ("A", "B", "C")
SHAPE = (80, 320, 320)
MEAN_MITOCHONDRIA, MEAN_MICROTUBULES = 5.5, 9.0
RIBOSOME_WITHIN_ANGST = 150.0
MEMBRANE_NAMES = (
    "membrane", "outer_mitochondrial_membrane", "inner_mitochondrial_membrane",
)  # fmt: skip
# A mask that is sure of every voxel.
CERTAIN_LOGIT = 8.0
# Angle of a true line with the sections' plane, and of its projection there with the tilt axis.
RISE_BINS_DEG = ((0.0, 15.0), (15.0, 30.0), (30.0, 90.0))
TURN_BINS_DEG = ((0.0, 30.0), (30.0, 60.0), (60.0, 90.0))


@dataclass(frozen=True)
class Scored:
    """Truth and result of one tomogram.

    Attributes
    ----------
    perfect_length_nm
        What the tracer finds in the true cores.
    missed_nm, false_nm
        By length.
    centreline_dice, crista_ratio_error
        None where there is nothing to score.
    standing_membrane_dice, flat_membrane_share
        Dice but for what lies flat (`engine.segmentation.scoring.flat_parts`) and two voxels
        about it; share of the true membrane that does.
    bodies, ribosomes
        Found, true, matched.
    volume_ratios
        Of matched mitochondria.
    granules
        (found, true) matrix granules of each.
    spacings_nm
        (found, true) distance of outer and inner membrane of those where both were told.
    by_rise, by_turn
        (found, all) samples of true lines by `RISE_BINS_DEG` and `TURN_BINS_DEG`.
    cpu_seconds
        Of the analysis.
    """

    family: str
    true_count: int
    found_count: int
    true_length_nm: float
    found_length_nm: float
    membrane_dice: float
    standing_membrane_dice: float = 0.0
    flat_membrane_share: float = 0.0
    perfect_length_nm: float = 0.0
    missed_nm: float = 0.0
    false_nm: float = 0.0
    centreline_dice: float | None = None
    bodies: tuple[int, int, int] = (0, 0, 0)
    volume_ratios: tuple[float, ...] = ()
    granules: tuple[tuple[int, int], ...] = ()
    spacings_nm: tuple[tuple[float, float], ...] = ()
    ribosomes: tuple[int, int, int] = (0, 0, 0)
    crista_ratio_error: float | None = None
    by_rise: tuple[tuple[int, int], ...] = field(default=((0, 0),) * len(RISE_BINS_DEG))
    by_turn: tuple[tuple[int, int], ...] = field(default=((0, 0),) * len(TURN_BINS_DEG))
    cpu_seconds: float = 0.0


def bench_params(
    family: Family, index: int, kind: SceneKind = "platelet", *, matrix_granules: bool = False
) -> tuple[SimulationParams, int]:
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
        kind=kind,
    )
    scene = with_extras(scene, rng, matrix_granules=matrix_granules)
    return SimulationParams(scene, acquisition), int(rng.integers(2**31))


def score_index(index: int, device: str, others: Sequence[str] = ()) -> dict[str, Scored]:
    """Simulate, analyse and score one benchmark tomogram, by name of the fine network.

    Parameters
    ----------
    others
        Fine networks of the registry that are tried in the shipped one's place.
    """
    family = FAMILIES[index % len(FAMILIES)]
    params, seed = bench_params(family, index)
    simulated = simulate_tomogram(params, seed=seed)
    scored = {}
    for name in (FINE_MODEL, *others):
        networks = chosen_networks(None, None if name == FINE_MODEL else name, device)
        started = time.process_time()
        analysis = analyse_tomogram(simulated.tomogram, networks)
        seconds = time.process_time() - started
        own = score(family, simulated.tomogram, simulated.truth, analysis)
        scored[name] = replace(own, cpu_seconds=seconds)
    return scored


def score_kind(
    kind: SceneKind, number: int, device: str, *, matrix_granules: bool = False
) -> Scored:
    """Simulate, analyse and score a scene that is no platelet, or one with matrix granules."""
    family = FAMILIES[number % len(FAMILIES)]
    params, seed = bench_params(family, OTHER_INDEX + number, kind, matrix_granules=matrix_granules)
    simulated = simulate_tomogram(params, seed=seed)
    analysis = analyse_tomogram(simulated.tomogram, shipped_networks(device))
    return score(family, simulated.tomogram, simulated.truth, analysis)


def score(family: str, tomogram: Tomogram, truth: Truth, analysis: TomogramAnalysis) -> Scored:
    """Set an analysis against the truth."""
    labels = analysis.labels.labels
    voxel_nm = tomogram.voxel_size_angst / 10.0
    membrane = np.isin(labels, [CLASS_IDS[name] for name in MEMBRANE_NAMES])
    true_ids = _ids_of_class(
        truth.instances, [(o.instance_id, o.organelle_class) for o in truth.organelles]
    )
    found_ids = _ids_of_class(
        analysis.instances.ids,
        [(o.instance_id, o.organelle_class) for o in analysis.instances.organelles],
    )
    matches = match_bodies(found_ids, true_ids)
    lines = compare_lines(analysis.filaments, truth.filaments)
    flat = flat_parts(truth.membrane)
    seen = ~ndimage.binary_dilation(flat, iterations=2)
    ribosomes = match_points(analysis.ribosomes_angst, truth.ribosomes_angst, RIBOSOME_WITHIN_ANGST)
    by_rise, by_turn = _by_direction(lines)
    return Scored(
        family=family,
        true_count=truth.count("mitochondrion"),
        found_count=sum(
            one.organelle_class == "mitochondrion" for one in analysis.instances.organelles
        ),
        true_length_nm=truth.microtubule_length_nm,
        found_length_nm=lines.found_nm,
        membrane_dice=dice(membrane, truth.membrane),
        standing_membrane_dice=dice(membrane & seen, truth.membrane & seen),
        flat_membrane_share=float(flat.sum() / max(int(truth.membrane.sum()), 1)),
        perfect_length_nm=sum(one.length_nm for one in traced_from_truth(truth, voxel_nm)),
        missed_nm=lines.missed_nm,
        false_nm=lines.false_nm,
        centreline_dice=centreline_dice(
            labels == CLASS_IDS["microtubule"],
            analysis.filaments,
            truth.microtubule_core,
            truth.filaments,
            voxel_nm,
        ),
        bodies=(matches.n_found, matches.n_true, len(matches.pairs)),
        volume_ratios=tuple(float(ratio) for ratio in matches.volume_ratio),
        spacings_nm=_spacings_nm(truth, analysis, matches.pairs),
        granules=_granules(truth, analysis, matches.pairs),
        ribosomes=(ribosomes.n_found, ribosomes.n_true, ribosomes.n_matched),
        crista_ratio_error=_crista_error(truth, analysis),
        by_rise=by_rise,
        by_turn=by_turn,
    )


def traced_from_truth(truth: Truth, voxel_nm: float) -> tuple[Filament, ...]:
    """What the tracer makes of the true cores at the fine network's sampling."""
    core_nm = shipped_networks("cpu").fine.spec.voxel_size_nm
    share = resample(truth.microtubule_core.astype(np.uint8), core_nm / voxel_nm)
    codes = pack_logits(np.where(share > 0.5, CERTAIN_LOGIT, -CERTAIN_LOGIT))
    z, y, x = ((n - 1) * voxel_nm for n in truth.microtubule_core.shape)
    return trace_filaments(codes, core_nm, (z, y, x), TracingParams())


def _ids_of_class(ids: np.ndarray, rows: Sequence[tuple[int, str]]) -> np.ndarray:
    """Ids of the mitochondria alone."""
    table = np.zeros(int(ids.max(initial=0)) + 1, dtype=np.int64)
    for number, name in rows:
        if name == "mitochondrion":
            table[number] = number
    return np.asarray(table[ids])


def _granules(
    truth: Truth, analysis: TomogramAnalysis, pairs: Sequence[tuple[int, int]]
) -> tuple[tuple[int, int], ...]:
    """Matrix granules (found, true) of mitochondria, pairs of (found id, true id)."""
    found = {one.instance_id: one.n_matrix_granules or 0 for one in analysis.instances.organelles}
    voxel_angst = analysis.instances.voxel_size_angst
    index = np.rint(truth.matrix_granules_angst / voxel_angst).astype(int)
    hosts = truth.instances[tuple(np.minimum(index, np.array(truth.instances.shape) - 1).T)]
    return tuple((found[own], int((hosts == other).sum())) for own, other in pairs)


def _spacings_nm(
    truth: Truth, analysis: TomogramAnalysis, pairs: Sequence[tuple[int, int]]
) -> tuple[tuple[float, float], ...]:
    """(found, true) spacings of pairs (found id, true id) of mitochondria."""
    found = {one.instance_id: one.membrane_spacing_nm for one in analysis.instances.organelles}
    boxes = ndimage.find_objects(truth.instances)
    spacings = []
    for own, other in pairs:
        box, spacing = boxes[other - 1], found[own]
        real = mitochondrion_anatomy(
            truth.instances[box] == other, truth.outer_membrane[box], truth.inner_membrane[box],
            analysis.instances.voxel_size_angst / 10.0,
        ).spacing_nm  # fmt: skip
        if spacing is not None and real is not None:
            spacings.append((spacing, real))
    return tuple(spacings)


def _crista_error(truth: Truth, analysis: TomogramAnalysis) -> float | None:
    """Found minus true mean share of cristae, None where either is not known."""
    found = analysis.measurements.values["crista_volume_ratio_mean"].value
    shares = [
        float(truth.crista[truth.instances == one.instance_id].mean())
        for one in truth.organelles
        if one.organelle_class == "mitochondrion"
    ]
    return found - float(np.mean(shares)) if found is not None and shares else None


def _by_direction(
    lines: LineAgreement,
) -> tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]:
    """Samples of true lines found and in all, by rise and by turn from the tilt axis (y)."""
    z, y, x = np.abs(lines.samples).T if len(lines.samples) else np.zeros((3, 0))
    rise = np.degrees(np.arcsin(np.clip(z, 0.0, 1.0)))
    turn = np.degrees(np.arctan2(x, y))
    return _binned(rise, lines, RISE_BINS_DEG), _binned(turn, lines, TURN_BINS_DEG)


def _binned(
    angle_deg: Float64s, lines: LineAgreement, bins: Sequence[tuple[float, float]]
) -> tuple[tuple[int, int], ...]:
    counts = []
    for index, (low, high) in enumerate(bins):
        last = index == len(bins) - 1
        own = (angle_deg >= low) & ((angle_deg <= high) if last else (angle_deg < high))
        counts.append((int(lines.is_found[own].sum()), int(own.sum())))
    return tuple(counts)
