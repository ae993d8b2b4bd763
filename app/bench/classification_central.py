"""Rows of the central structure's mask: SSN3D and a plain U-Net of equal cost."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from app.bench.classification_runs import OURS, Runs
from app.bench.classification_sets import BOX_VOX, CROWDED, TEST, TRAIN_EACH, TRAINING, made_set
from app.bench.result import BenchRow, bootstrap_mean
from engine.data.arrays import Float64s
from models.architectures.ssn3d import Ssn3D
from models.architectures.unet import UNet3D
from models.arithmetic import multiply_adds_of
from models.classifier_data import LabelledSubtomograms
from models.multi_task_training import mask_objective, mask_overlaps, mask_validation

# SSN3D with a quarter of its published channels; what the published ones cost is 15 times as much.
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "ssn3d": lambda: Ssn3D((8, 16, 32), 1),
    "unet3d": lambda: UNet3D((4, 10, 20), 1),
}
PARAMS = replace(OURS, epochs=10)
TEST_EACH = 100


def central_rows(runs: Runs) -> list[BenchRow]:
    """Mean intersection over union of each, and the difference, paired by subtomogram."""
    known = runs.material.known
    data = made_set(known, CROWDED, TRAIN_EACH, (TRAINING, 300), with_targets=True)
    test = made_set(known, CROWDED, TEST_EACH, (TEST, 300), with_targets=True)
    found = {name: _overlaps(runs, name, data, test) for name in NETWORKS}
    rows = [_row(name, own) for name, own in found.items()]
    gain = found["ssn3d"] - found["unet3d"]
    paired = BenchRow(
        "central_structure_iou_gain_of_ssn3d", float(gain.mean()), "1", "higher",
        *bootstrap_mean(gain.tolist()), 0.0, "over the U-Net, paired by subtomogram",
    )  # fmt: skip
    return [*rows, paired]


def _overlaps(
    runs: Runs, name: str, data: LabelledSubtomograms, test: LabelledSubtomograms
) -> Float64s:
    fitted = runs.trained(
        name, 0, PARAMS, key=f"central-{name}-0", data=data, objective=mask_objective,
        validation=mask_validation, make=NETWORKS[name],
    )  # fmt: skip
    return np.asarray(mask_overlaps(fitted.network, test).double().numpy())


def _row(name: str, overlaps: Float64s) -> BenchRow:
    with torch.device("meta"):
        cost = multiply_adds_of(NETWORKS[name](), BOX_VOX)
    return BenchRow(
        f"central_structure_mean_iou_of_{name}", float(overlaps.mean()), "1", "higher",
        *bootstrap_mean(overlaps.tolist()),
        baseline=f"{cost / 1e6:.0f} million multiply-adds; {len(overlaps)} subtomograms of a tilt "
        "series with one to three neighbours",
    )  # fmt: skip
