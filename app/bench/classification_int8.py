"""Rows of a classifier whose convolutions are of eight bits: what it loses, what it saves."""

import tempfile
import time
from pathlib import Path

import numpy as np

from app.bench.classification_runs import Runs
from app.bench.classification_sets import TILTED, VOXEL_NM
from app.bench.result import BenchRow
from engine.classification.classifier import SubtomogramClassifier
from engine.data.subtomograms import SubtomogramStack
from models.classifier_data import stack_of
from models.classifier_int8 import LARGEST_LOSS, SUFFIX, write_int8
from models.classifier_writing import deployment_of, write_classifier
from models.onnx_export import ParityError

NAME, TIMED, ROUNDS = "compact", 2000, 5


def int8_rows(runs: Runs) -> list[BenchRow]:
    """`compact` as deployed, with and without eight bits; none where the gate refuses them."""
    fitted, test = runs.compact(TILTED), runs.test(TILTED)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / NAME
        deployment = deployment_of(fitted, VOXEL_NM)
        write_classifier(fitted.network, deployment, {}, folder, "tomodx bench classification")
        try:
            scores = write_int8(folder, fitted.shown.images, fitted.held_out)
        except ParityError:
            return []
        both = [
            SubtomogramClassifier(one, "cpu")
            for one in (folder, folder.with_name(folder.name + SUFFIX))
        ]
        kinds, stack = test.kinds.numpy(), stack_of(test.images, VOXEL_NM)
        right = [(one.classify(stack).kinds == kinds).mean() for one in both]
        short = stack.take(slice(0, TIMED))
        ratios = [_seconds(both[0], short) / _seconds(both[1], short) for _ in range(ROUNDS)]
    return [
        BenchRow(
            f"accuracy_lost_by_int8{TILTED.suffix}", float(right[0] - right[1]), "1", "lower",
            goal=LARGEST_LOSS, baseline=f"float32: {right[0]:.3f} of {len(kinds):,}",
        ),
        BenchRow(
            "size_of_int8_of_that_of_float32", scores["int8-share-of-size"], "1", "lower",
        ),
        BenchRow(
            "times_faster_with_int8", float(np.median(ratios)), "1", "higher",
            float(min(ratios)), float(max(ratios)),
            baseline=f"{TIMED:,} subtomograms, normalisation included, whichever runtime is "
            "the fastest here",
        ),
    ]  # fmt: skip


def _seconds(classifier: SubtomogramClassifier, stack: SubtomogramStack) -> float:
    start = time.perf_counter()
    classifier.classify(stack)
    return time.perf_counter() - start
