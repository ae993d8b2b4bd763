"""Rows of several tasks at once: class, mask and density together against each alone."""

from dataclasses import replace

import numpy as np
from scipy.stats import ttest_rel

from app.bench.classification_runs import OURS, Runs
from app.bench.classification_sets import (
    CROWDED,
    TEST,
    TRAIN_EACH,
    TRAINING,
    made_set,
)
from app.bench.result import BenchRow
from models.architectures.multi_task import MultiTask
from models.classifier_data import LabelledSubtomograms
from models.multi_task_training import (
    TaskScores,
    TaskWeights,
    multi_task_objective,
    multi_task_validation,
    task_scores,
)

TOGETHER = "together"
RUNS: dict[str, TaskWeights] = {
    TOGETHER: TaskWeights(),
    "accuracy": TaskWeights(1.0, 0.0, 0.0),
    "mask_iou": TaskWeights(0.0, 1.0, 0.0),
    "density_correlation": TaskWeights(0.0, 0.0, 1.0),
}
CHANNELS, SEEDS, TEST_EACH = (8, 16, 32), range(5), 100


def task_rows(runs: Runs) -> list[BenchRow]:
    """Each head with and without the others; the full tier, or what it has finished."""
    # The quick tier scores what is at hand: an hour of a core.
    each = TRAIN_EACH // 2 if runs.is_reduced else TRAIN_EACH
    keys = [_key(name, each, seed) for seed in SEEDS for name in RUNS]
    if runs.tier != "full" and not all(runs.is_finished(key) for key in keys):
        return []
    known = runs.material.known
    test = made_set(known, CROWDED, TEST_EACH, (TEST, 200), with_targets=True)
    scores: dict[str, list[TaskScores]] = {name: [] for name in RUNS}
    for seed in SEEDS:
        data = made_set(known, CROWDED, each, (TRAINING, 200, seed), with_targets=True)
        for name in RUNS:
            scores[name].append(_scored(runs, name, _key(name, each, seed), seed, data, test))
    return [_row(head, each, scores) for head in RUNS if head != TOGETHER]


def _key(name: str, each: int, seed: int) -> str:
    return f"tasks-{name}-{each}-{seed}"


def _scored(
    runs: Runs,
    name: str,
    key: str,
    seed: int,
    data: LabelledSubtomograms,
    test: LabelledSubtomograms,
) -> TaskScores:
    weights = RUNS[name]
    fitted = runs.trained(
        name, seed, replace(OURS, epochs=OURS.epochs // 2),
        key=key, data=data,
        objective=multi_task_objective(weights), validation=multi_task_validation(weights),
        make=lambda: MultiTask(len(data.class_names), CHANNELS),
    )  # fmt: skip
    return task_scores(fitted.network, test)


def _row(head: str, each: int, scores: dict[str, list[TaskScores]]) -> BenchRow:
    together = np.array([getattr(one, head) for one in scores[TOGETHER]])
    alone = np.array([getattr(one, head) for one in scores[head]])
    test = ttest_rel(together, alone)
    interval = test.confidence_interval()
    return BenchRow(
        f"multi_task_gain_in_{head}", float((together - alone).mean()), "1", "higher",
        float(interval.low), float(interval.high), 0.0,
        f"together {together.mean():.3f}, alone {alone.mean():.3f}; paired t test over "
        f"{len(alone)} seeds, p = {test.pvalue:.3g}; {each} a class to train",
    )  # fmt: skip
