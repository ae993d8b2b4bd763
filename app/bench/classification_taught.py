"""Rows of students: what they lose of their teacher, what they save."""

import time

import numpy as np
import torch
from torch import Tensor, nn

from app.bench.classification_chapter import chapter_network, key_of, papers_params
from app.bench.classification_runs import OURS, Runs, accuracy_row, right
from app.bench.classification_sets import BOX_VOX, TILTED
from app.bench.result import BenchRow, bootstrap_mean
from models.arithmetic import multiply_adds, n_weights
from models.classifier_training import Fitted, logits_of, parts_of
from models.distilling import Teaching, distillation_objective

TEACHER = "dsrf3d_v2"
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
    if not runs.has(TEACHER, key_of(TEACHER, TILTED)):
        return []
    teacher, test = chapter_network(runs, TEACHER, TILTED), runs.test(TILTED)
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
        alone = _untaught(runs, name)
        if alone is not None:
            found = right(alone.network, test)
            rows.append(
                _lost_row(
                    f"accuracy_lost_by_{name}_untaught", name, "labels alone", own, found, runs
                )
            )
        rows.append(_speed_row(name, teacher.network, student.network, test.images[:TIMED]))
    return rows


def _untaught(runs: Runs, name: str) -> Fitted | None:
    """The same student from labels alone; None where this tier may not train it."""
    if name in OUR_STUDENTS:
        return runs.trained(name, 0, OURS, view=TILTED)
    return chapter_network(runs, name, TILTED) if runs.has(name, key_of(name, TILTED)) else None


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
