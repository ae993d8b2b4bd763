"""Three tasks at once: class, mask of the central structure, its density without the microscope."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.data.arrays import Ints
from engine.errors import BadInputError
from models.architectures.multi_task import TaskOutputs
from models.classifier_data import LabelledSubtomograms
from models.classifier_training import Objective, Validation

# Channels of the targets.
MASK, DENSITY = 0, 1


@dataclass(frozen=True)
class TaskWeights:
    """Weights of the losses in their sum; 0 leaves a task out."""

    classes: float = 1.0
    mask: float = 1.0
    density: float = 1.0


def multi_task_objective(weights: TaskWeights) -> Objective:
    """Linear combination of cross-entropy, Dice and entropy of the mask, density not recovered.

    The squared error of the density is divided by its variance: a share of 1 for a constant,
    whatever its units.
    """

    def loss(outputs: TaskOutputs, batch: LabelledSubtomograms, _index: Ints) -> Tensor:
        """Of one batch, a scalar."""
        mask, density = _targets(batch, outputs.mask)
        total = torch.zeros((), device=mask.device)
        # Nothing is sent back through the head of a task that is left out.
        if weights.classes:
            kinds = batch.kinds.to(mask.device)
            total = total + weights.classes * functional.cross_entropy(outputs.logits, kinds)
        if weights.mask:
            total = total + weights.mask * _mask_loss(outputs.mask, mask)
        if weights.density:
            error = functional.mse_loss(outputs.density, density)
            total = total + weights.density * error / density.var().clamp_min(1e-6)
        return total

    return loss


def _targets(batch: LabelledSubtomograms, like: Tensor) -> tuple[Tensor, Tensor]:
    if batch.targets is None or batch.targets.shape[1] != 2:
        raise BadInputError("multi-task training needs a mask and a density of every subtomogram")
    targets = batch.targets.to(like)
    return targets[:, MASK : MASK + 1], targets[:, DENSITY : DENSITY + 1]


def _mask_loss(logits: Tensor, mask: Tensor) -> Tensor:
    probability = torch.sigmoid(logits)
    dims = (1, 2, 3, 4)
    overlap = (probability * mask).sum(dims)
    dice = (2.0 * overlap + 1.0) / (probability.sum(dims) + mask.sum(dims) + 1.0)
    return functional.binary_cross_entropy_with_logits(logits, mask) + 1.0 - dice.mean()


def mask_objective(logits: Tensor, batch: LabelledSubtomograms, _index: Ints) -> Tensor:
    """Of a network that gives the mask alone, logits (n, 1, z, y, x)."""
    return _mask_loss(logits, _targets(batch, logits)[0])


def mask_overlaps(network: nn.Module, data: LabelledSubtomograms, batch: int = 64) -> Tensor:
    """Intersection over union of the central structure (n,), found where the logit is positive."""
    parts = []
    with torch.inference_mode():
        for start in range(0, len(data), batch):
            part = data.take(np.arange(start, min(start + batch, len(data))))
            logits = network.eval()(part.images)
            parts.append(_overlap(logits, _targets(part, logits)[0]))
    return torch.cat(parts)


def mask_validation(network: nn.Module, data: LabelledSubtomograms) -> float:
    """Mean overlap, turned round."""
    return -float(mask_overlaps(network, data).mean())


def _overlap(logits: Tensor, mask: Tensor) -> Tensor:
    found, true = logits.flatten(1) > 0, mask.flatten(1) > 0
    return (found & true).sum(1) / (found | true).sum(1).clamp_min(1)


@dataclass(frozen=True)
class TaskScores:
    """How right each head is on examples.

    Attributes
    ----------
    accuracy
        Share of right classes.
    mask_iou
        Mean intersection over union of the central structure.
    density_correlation
        Mean correlation of the recovered density with the true one.
    """

    accuracy: float
    mask_iou: float
    density_correlation: float


def task_scores(network: nn.Module, data: LabelledSubtomograms, batch: int = 64) -> TaskScores:
    """Score the three heads; each example counts alike."""
    right, overlaps, correlations = [], [], []
    with torch.inference_mode():
        for start in range(0, len(data), batch):
            part = data.take(np.arange(start, min(start + batch, len(data))))
            outputs = network.eval()(part.images)
            mask, density = _targets(part, outputs.mask)
            right.append((outputs.logits.argmax(1) == part.kinds).float())
            overlaps.append(_overlap(outputs.mask, mask))
            correlations.append(_correlation(outputs.density.flatten(1), density.flatten(1)))
    return TaskScores(
        *(float(torch.cat(values).mean()) for values in (right, overlaps, correlations))
    )


def multi_task_validation(weights: TaskWeights) -> Validation:
    """Validation of a multi-task run: the mean of what its tasks are scored by, turned round."""

    def validation(network: nn.Module, data: LabelledSubtomograms) -> float:
        scores = task_scores(network, data)
        each = (scores.accuracy, scores.mask_iou, scores.density_correlation)
        of_tasks = (weights.classes, weights.mask, weights.density)
        used = [score for score, weight in zip(each, of_tasks, strict=True) if weight > 0]
        return -sum(used) / len(used)

    return validation


def _correlation(a: Tensor, b: Tensor) -> Tensor:
    a = a - a.mean(dim=1, keepdim=True)
    b = b - b.mean(dim=1, keepdim=True)
    length = torch.linalg.vector_norm(a, dim=1) * torch.linalg.vector_norm(b, dim=1)
    correlation: Tensor = (a * b).sum(1) / length.clamp_min(1e-12)
    return correlation
