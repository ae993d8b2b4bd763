"""Rows of the shipped network that tells normal mitochondria from others, on found bodies."""

from dataclasses import dataclass

import numpy as np

from app.bench.classification_runs import Runs
from app.bench.result import BenchRow
from app.bench.segmentation_scenes import FAMILIES, MEAN_MICROTUBULES, SHAPE
from app.wiring import shipped_networks
from engine.data.labels import MITOCHONDRION_STATES, NORMAL_STATE
from engine.segmentation.coarse import coarse_view
from engine.segmentation.instances import InstanceParams, paint_bodies
from engine.segmentation.known_spectrum import as_known
from engine.segmentation.mitochondrion_states import with_states
from engine.segmentation.scoring import match_bodies
from engine.simulation.case import simulate_tomogram
from engine.simulation.params import SimulationParams, draw_acquisition, draw_scene, with_extras

# Far from those of training.
FIELD_SEED = 880_003
N_FIELDS = {"quick": 24, "full": 120}
MEAN_MITOCHONDRIA = 7.0
N_DRAWN = 1000


@dataclass(frozen=True)
class NamedField:
    """(true, found) states of the mitochondria of one field; found is None for none of these."""

    family: str
    pairs: tuple[tuple[str, str | None], ...]


def state_rows(runs: Runs) -> list[BenchRow]:
    """Balanced accuracy on simulated fields: all families, those trained on, the held-out one."""
    count = N_FIELDS[runs.tier]
    fields = []
    for number in range(count):
        fields.append(named_field(number, runs.device))
        runs.on_training((number + 1) / count)
    held_out = [one for one in fields if one.family == FAMILIES[-1]]
    others = [one for one in fields if one.family != FAMILIES[-1]]
    name = "mitochondrion_state_balanced_accuracy"
    return [
        _row(name, fields, 0.9),
        _row(f"{name}_training_families", others, 0.9),
        _row(f"{name}_held_out_family", held_out, 0.9),
        abnormal_row(fields),
    ]


def named_field(number: int, device: str) -> NamedField:
    """Simulate a field, find its mitochondria, name their states."""
    rng = np.random.default_rng([FIELD_SEED, number])
    family = FAMILIES[number % len(FAMILIES)]
    acquisition = draw_acquisition(family, rng)
    scene = draw_scene(
        rng, SHAPE, acquisition.voxel_size_nm, family=family,
        mean_mitochondria=MEAN_MITOCHONDRIA, mean_microtubules=MEAN_MICROTUBULES,
    )  # fmt: skip
    scene = with_extras(scene, rng, mitochondrion_states=True)
    made = simulate_tomogram(SimulationParams(scene, acquisition), seed=int(rng.integers(2**31)))
    networks = shipped_networks(device)
    assert networks.states is not None
    tomogram, voxel_nm = made.tomogram, made.tomogram.voxel_size_angst / 10.0
    look = as_known(tomogram.voxels, voxel_nm, networks.spectrum)
    view = coarse_view(tomogram, networks.coarse, lambda fraction: None, look)
    z, y, x = tomogram.voxels.shape
    bodies = view.bodies(InstanceParams())
    ids, organelles = paint_bodies(bodies, (z, y, x), voxel_nm, view.voxel_size_nm)
    named = with_states(organelles, ids, voxel_nm, look, networks.states, tomogram.provenance)
    found = {one.instance_id: one.state for one in named}
    true = {one.instance_id: one.shown_state for one in made.truth.organelles}
    is_mitochondrion = {one.instance_id for one in named if one.organelle_class == "mitochondrion"}
    pairs = [
        (state, found[mine])
        for mine, theirs in match_bodies(ids, made.truth.instances).pairs
        if mine in is_mitochondrion and (state := true.get(theirs)) is not None
    ]
    return NamedField(family, tuple(pairs))


def balanced_accuracy(fields: list[NamedField]) -> float:
    """Mean over the states of the share of each that was called by its name."""
    pairs = [pair for one in fields for pair in one.pairs]
    shares = []
    for state in MITOCHONDRION_STATES:
        called = [found == state for true, found in pairs if true == state]
        if called:
            shares.append(float(np.mean(called)))
    return float(np.mean(shares)) if shares else 0.0


def _row(metric: str, fields: list[NamedField], goal: float) -> BenchRow:
    rng = np.random.default_rng(0)
    drawn = [
        balanced_accuracy([fields[n] for n in rng.integers(len(fields), size=len(fields))])
        for _ in range(N_DRAWN)
    ]
    low, high = np.percentile(drawn, [2.5, 97.5])
    pairs = [pair for one in fields for pair in one.pairs]
    shares = ", ".join(
        f"{name} {np.mean([f == name for t, f in pairs if t == name]):.2f} of "
        f"{sum(t == name for t, _ in pairs)}"
        for name in MITOCHONDRION_STATES
        if any(t == name for t, _ in pairs)
    )
    return BenchRow(
        metric, balanced_accuracy(fields), "1", "higher", float(low), float(high), goal,
        f"chance: 0.33; {shares}",
    )  # fmt: skip


def abnormal_row(fields: list[NamedField]) -> BenchRow:
    """How far the share of abnormal mitochondria of a field is off, of those told."""
    errors, shares = [], []
    for one in fields:
        told = [(true, found) for true, found in one.pairs if found is not None]
        if told:
            true, found = (np.mean([pair[k] != NORMAL_STATE for pair in told]) for k in (0, 1))
            errors.append(abs(float(found - true)))
            shares.append(float(true))
    constant = float(np.mean(np.abs(np.array(shares) - np.median(shares))))
    return BenchRow(
        "mito_abnormal_fraction_mean_absolute_error", float(np.mean(errors)), "1", "lower",
        baseline=f"best constant answer ({np.median(shares):.2f}): {constant:.2f}",
    )  # fmt: skip
