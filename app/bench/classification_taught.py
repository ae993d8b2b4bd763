"""Rows of students: what they lose of their teacher, what they save."""

import time
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from app.bench.classification_runs import OURS, Runs, accuracy_row, papers_params, right
from app.bench.classification_sets import (
    BOX_VOX,
    TILT_SERIES,
    TILTED,
    TRAIN_EACH,
    TRAINING,
    made_set,
)
from app.bench.result import BenchRow, bootstrap_mean
from models.arithmetic import multiply_adds, n_weights
from models.classifier_training import Fitted, logits_of, parts_of
from models.distilling import Teaching, distillation_objective

TEACHER = "dsrf3d_v2"
# From random weights it stays at chance at SNR 0.1; it is shown clear subtomograms first.
CLEAR_SNR, CLEAR_EPOCHS, TEACHER_EPOCHS = 1.0, 6, 12
TEACHER_KEY, CLEAR_KEY = f"{TEACHER}-teacher-0", f"{TEACHER}-clear-0"
# The published students regress logits; ours copies softened probabilities.
STUDENTS: dict[str, Teaching] = {
    "dsrf3d_v2_s1": "logits", "dsrf3d_v2_s2": "logits", "dsrf3d_v2_s3": "logits",
    "compact": "softened", "compact_small": "softened",
}  # fmt: skip
OUR_STUDENTS = ("compact", "compact_small")
PUBLISHED_BOX_VOX, PUBLISHED_CLASSES = 40, 22
TIMED, ROUNDS = 128, 5


def distillation_rows(runs: Runs) -> list[BenchRow]:
    """Students of the published teacher; none where this tier may not train it."""
    if not runs.has(TEACHER, TEACHER_KEY):
        return []
    teacher, test = trained_teacher(runs), runs.test(TILTED)
    shown, _ = parts_of(runs.training(0, TILTED), papers_params(TEACHER))
    taught = logits_of(teacher.network, shown.images)
    own = right(teacher.network, test)
    rows = [accuracy_row(f"accuracy_of_the_teacher_{TEACHER}", [own])]
    for name, teaching in STUDENTS.items():
        if not runs.has(name, f"{name}-taught-0"):
            continue
        params = OURS if name in OUR_STUDENTS else papers_params(name)
        student = runs.trained(
            name, 0, params, view=TILTED, key=f"{name}-taught-0",
            objective=distillation_objective(taught, teaching),
        )  # fmt: skip
        found = right(student.network, test)
        rows.append(
            _lost_row(f"accuracy_lost_by_{name}", name, f"taught by {teaching}", own, found, runs)
        )
        if name in OUR_STUDENTS:
            alone = right(runs.trained(name, 0, OURS, view=TILTED).network, test)
            rows.append(
                _lost_row(
                    f"accuracy_lost_by_{name}_untaught", name, "labels alone", own, alone, runs
                )
            )
        rows.append(_speed_row(name, teacher.network, student.network, test.images[:TIMED]))
    return rows


def trained_teacher(runs: Runs) -> Fitted:
    """The published teacher on the same 200 a class, after as many clear ones."""

    def begin(network: nn.Module) -> None:
        """With what clear subtomograms taught."""
        conditions = TILT_SERIES.model_copy(update={"snr_range": (CLEAR_SNR, CLEAR_SNR)})
        clear = runs.trained(
            TEACHER, 0, replace(papers_params(TEACHER), epochs=CLEAR_EPOCHS, patience=0),
            key=CLEAR_KEY,
            data=made_set(runs.material.known, conditions, TRAIN_EACH, (TRAINING, 400)),
        )  # fmt: skip
        network.load_state_dict(clear.network.state_dict())

    params = replace(papers_params(TEACHER), epochs=TEACHER_EPOCHS)
    return runs.trained(TEACHER, 0, params, view=TILTED, key=TEACHER_KEY, start=begin)


def _lost_row(
    metric: str, name: str, how: str, own: np.ndarray, found: np.ndarray, runs: Runs
) -> BenchRow:
    lost = own.astype(np.float64) - found
    here = (BOX_VOX, len(runs.material.known))
    there = (PUBLISHED_BOX_VOX, PUBLISHED_CLASSES)
    fewer = n_weights(TEACHER, *there) / n_weights(name, *there)
    return BenchRow(
        metric, float(lost.mean()), "1", "lower",
        *bootstrap_mean(lost.tolist()), 0.005 if name == "compact_small" else None,
        f"{how}; {multiply_adds(TEACHER, *here) / multiply_adds(name, *here):.1f} "
        f"times fewer multiply-adds, {n_weights(TEACHER, *here) / n_weights(name, *here):.0f} "
        f"times fewer weights ({fewer:.0f} times at {there[0]} voxels and {there[1]} classes)",
    )  # fmt: skip


def _speed_row(name: str, teacher: nn.Module, student: nn.Module, images: Tensor) -> BenchRow:
    """Teacher and student in turn on the same batch: median ratio of the rounds."""
    ratios = [
        _seconds(teacher, images) / max(_seconds(student, images), 1e-9) for _ in range(ROUNDS)
    ]
    return BenchRow(
        f"times_faster_than_the_teacher_{name}", float(np.median(ratios)), "1", "higher",
        float(min(ratios)), float(max(ratios)), baseline=f"torch, a batch of {TIMED}",
    )  # fmt: skip


def _seconds(network: nn.Module, images: Tensor) -> float:
    with torch.inference_mode():
        start = time.perf_counter()
        network(images)
        return time.perf_counter() - start
