"""Rows of the classes that were trained on: networks side by side, calibration, speed."""

import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from app.bench.classification_ideal import ideal_classes
from app.bench.classification_runs import (
    EMBEDDING_MODEL,
    SEEDS,
    Runs,
    accuracy_row,
    auroc,
    right,
)
from app.bench.classification_sets import (
    BOX_VOX,
    RECIPE_ONE,
    SNR,
    VIEWS,
    VOXEL_NM,
    View,
    unseen_set,
)
from app.bench.result import BenchRow
from engine.classification.classifier import SubtomogramClassifier
from engine.classification.confidence import OpenSetModel, calibration_error, probabilities_of
from engine.simulation.subtomogram_params import SubtomogramParams
from models.architectures.compact import EMBEDDING
from models.arithmetic import multiply_adds, multiply_adds_of
from models.classifier_data import stack_of
from models.classifier_training import Fitted, logits_of
from models.classifier_writing import (
    Deployment,
    deployment_of,
    features_of,
    none_scores,
    write_classifier,
)
from models.table import CLASSIFIERS, MULTI_REFERENCE

N_IDEAL = 500
SPEED_BOX_VOX, SPEED_COUNT, STUDENT = 32, 10_000, "compact_small"


def limit_rows(runs: Runs) -> list[BenchRow]:
    """What who knows structures, microscope and noise names rightly."""
    params = SubtomogramParams(
        BOX_VOX, 10.0 * VOXEL_NM, SNR,
        defocus_um=RECIPE_ONE.defocus_range_um[0], shift_vox=RECIPE_ONE.shift_vox,
    )  # fmt: skip
    images, kinds = runs.test().images[:N_IDEAL, 0], runs.test().kinds[:N_IDEAL].numpy()
    named = ideal_classes(runs.material.known, params, images, seed=3, on_progress=runs.on_training)
    return [accuracy_row("accuracy_of_the_ideal_observer", [named == kinds])]


def compact_rows(runs: Runs) -> list[BenchRow]:
    """Ours from random weights, through both microscopes."""
    cost = _cost("compact", runs)
    rows = [
        BenchRow(
            "multiply_adds_of_compact_of_those_of_cb3d", cost / _cost("cb3d", runs), "1", "lower",
            goal=0.05,
        )
    ]  # fmt: skip
    for view in VIEWS:
        test = runs.test(view)
        ours = [right(runs.compact(view, seed).network, test) for seed in SEEDS]
        rows.append(
            accuracy_row(
                f"accuracy_of_compact{view.suffix}", ours, goal=0.9,
                baseline=f"chance {1 / len(test.class_names):.2f}; {cost / 1e6:.0f} million "
                f"multiply-adds; {runs.material.origin}; SNR {SNR:g}, {10 * VOXEL_NM:g} A",
            )
        )  # fmt: skip
    return rows


def begun_rows(runs: Runs) -> list[BenchRow]:
    """The same training sets, but first weights from the shipped embedding of other structures."""
    return [row for view in VIEWS for row in _begun_rows(runs, view)]


def reference_rows(runs: Runs) -> list[BenchRow]:
    """The same training sets, each class averaged in place of training."""
    return [row for view in VIEWS for row in _reference_rows(runs, view)]


def _cost(name: str, runs: Runs) -> int:
    return multiply_adds(name, BOX_VOX, len(runs.material.known))


def _begun_rows(runs: Runs, view: View) -> list[BenchRow]:
    found = [
        runs.begun(view, key=f"compact-begun{view.suffix}-{seed}", seed=seed) for seed in SEEDS
    ]
    ours = [right(one.network, runs.test(view)) for one in found if one is not None]
    if not ours:
        return []
    return [
        accuracy_row(
            f"accuracy_of_compact_begun_with_{EMBEDDING_MODEL}{view.suffix}", ours, goal=0.9,
            baseline="features learnt from random complexes, none of these structures",
        )
    ]  # fmt: skip


def _reference_rows(runs: Runs, view: View) -> list[BenchRow]:
    networks = [runs.references(view, seed).network for seed in SEEDS]
    ours = [right(network, runs.test(view)) for network in networks]
    cost = max(multiply_adds_of(one, BOX_VOX) for one in networks)
    return [
        BenchRow(
            f"multiply_adds_of_{MULTI_REFERENCE}{view.suffix}_of_those_of_cb3d",
            cost / _cost("cb3d", runs), "1", "lower", goal=0.05,
        ),
        accuracy_row(
            f"accuracy_of_{MULTI_REFERENCE}{view.suffix}", ours, goal=0.9,
            baseline=f"{cost / 1e6:.0f} million multiply-adds; knows no structure but from the "
            "same subtomograms",
        ),
    ]  # fmt: skip


def calibration_rows(runs: Runs) -> list[BenchRow]:
    """Whether probabilities mean what they say, and unseen structures are told from known ones."""
    rows = []
    for view in VIEWS:
        rows += _calibration_rows(runs, view, runs.compact(view), view.suffix)
        rows += _calibration_rows(runs, view, runs.references(view), f"_references{view.suffix}")
        begun = runs.begun(view, key=f"compact-begun{view.suffix}-0")
        if begun is not None:
            rows += _calibration_rows(runs, view, begun, f"_begun{view.suffix}")
    return rows


def _calibration_rows(runs: Runs, view: View, fitted: Fitted, suffix: str) -> list[BenchRow]:
    test = runs.test(view)
    deployment = deployment_of(fitted, VOXEL_NM)
    logits = logits_of(fitted.network, test.images).double().numpy()
    kinds = test.kinds.numpy()
    error = calibration_error(probabilities_of(logits, deployment.temperature), kinds)
    raw = calibration_error(probabilities_of(logits, 1.0), kinds)
    unseen = unseen_set(runs.material.unseen, view)
    distance = deployment.open_set
    assert isinstance(distance, OpenSetModel)
    own, others = (
        none_scores(fitted.network, distance, features_of(fitted.network, images))
        for images in (test.images[: len(unseen)], unseen.images)
    )
    each = [others[(unseen.kinds == kind).numpy()] for kind in range(len(unseen.class_names))]
    areas = [auroc(own, there) for there in each]
    known_refused = (own > distance.limit).mean()
    rows = [
        BenchRow(
            f"calibration_error{suffix}", error, "1", "lower", goal=0.03,
            baseline=f"without temperature {raw:.3f}",
        ),
        BenchRow(
            f"unseen_told_from_known_auroc{suffix}", float(np.mean(areas)), "1", "higher",
            goal=0.9, baseline=f"known ones called none of the classes: {known_refused:.2f}",
        ),
    ]  # fmt: skip
    for name, area, there in zip(unseen.class_names, areas, each, strict=True):
        rows.append(
            BenchRow(
                f"unseen_{name}_told_from_known_auroc{suffix}", area, "1", "higher",
                baseline=f"{(there > distance.limit).mean():.2f} called none of the classes",
            )
        )  # fmt: skip
    return rows


def speed_rows(runs: Runs) -> list[BenchRow]:
    """How long the deployed student takes for 10,000 subtomograms, everything included."""
    network = CLASSIFIERS[STUDENT](SPEED_BOX_VOX, len(runs.material.known)).eval()
    width, n_classes = EMBEDDING, len(runs.material.known)
    any_model = OpenSetModel(np.eye(n_classes, width), np.eye(width), np.ones(n_classes), 1.0)
    names = tuple(one.name for one in runs.material.known)
    deployment = Deployment(names, SPEED_BOX_VOX, VOXEL_NM, 1.0, any_model, {})
    rng = np.random.default_rng(0)
    voxels = rng.standard_normal((SPEED_COUNT, *(SPEED_BOX_VOX,) * 3), dtype=np.float32)
    stack = stack_of(torch.from_numpy(voxels)[:, None], VOXEL_NM)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "student"
        write_classifier(network, deployment, {}, folder, "tomodx bench classification")
        start = time.perf_counter()
        SubtomogramClassifier(folder, "cpu").classify(stack)
        seconds = time.perf_counter() - start
    cost = multiply_adds(STUDENT, SPEED_BOX_VOX, len(names))
    return [
        BenchRow(
            "seconds_for_10000_subtomograms_of_32", seconds, "s", "lower", goal=60.0,
            baseline=f"{STUDENT}, {cost / 1e6:.0f} million multiply-adds, opening included",
        )
    ]  # fmt: skip
