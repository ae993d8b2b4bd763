"""Losses of the two networks."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from engine.data.labels import INSTANCE_CLASSES
from models.patches import fine_channels
from models.training_pool import COARSE_CLASSES, UNKNOWN_CLASS

# Cytoplasm and void fill most voxels; small bodies would otherwise not be learnt.
COARSE_WEIGHTS = (1.0, 1.0, 2.0, 3.0, 3.0, 3.0, 2.0)
# Of the positive voxels of masks that are rare.
FINE_WEIGHTS = {
    "membrane": 1.0,
    "microtubule_core": 4.0,
    "outer_mitochondrial_membrane": 2.0,
    "inner_mitochondrial_membrane": 2.0,
    "ribosome": 20.0,
    "matrix_granule": 10.0,
}


def soft_dice_loss(probabilities: Tensor, targets: Tensor) -> Tensor:
    """One minus the mean Dice over the channels (n, c, z, y, x) that the batch holds."""
    axes = (0, 2, 3, 4)
    overlap = (probabilities * targets).sum(axes)
    total = probabilities.sum(axes) + targets.sum(axes)
    present = targets.sum(axes) > 0
    dice = (2.0 * overlap + 1.0) / (total + 1.0)
    return 1.0 - dice[present].mean() if bool(present.any()) else probabilities.mean() * 0.0


def coarse_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy over classes, Dice on organelles, smooth L1 on mitochondrial depth.

    Artefacts stay out of the Dice: a gold bead of a few voxels would weigh as much there as all
    mitochondria.
    """
    n_classes = len(COARSE_CLASSES)
    labels = targets[:, 0].long()
    known = (labels != UNKNOWN_CLASS).float()
    logits, depth = outputs[:, :n_classes], outputs[:, n_classes]
    weights = torch.tensor(COARSE_WEIGHTS, device=outputs.device)
    if not bool(known.any()):
        return outputs.sum() * 0.0
    entropy = functional.cross_entropy(logits, labels, weight=weights, ignore_index=UNKNOWN_CLASS)
    bodies = [COARSE_CLASSES.index(name) for name in INSTANCE_CLASSES]
    wanted_bodies = torch.stack([labels == body for body in bodies], dim=1).float()
    probabilities = torch.softmax(logits, dim=1)[:, bodies] * known[:, None]
    dice = soft_dice_loss(probabilities, wanted_bodies)
    wanted = targets[:, 1].float() / 255.0
    weight = (1.0 + 4.0 * (wanted > 0)) * known
    distance = functional.smooth_l1_loss(depth, wanted, reduction="none", beta=0.1)
    return entropy + 0.5 * dice + 2.0 * (distance * weight).mean()


def fine_loss(outputs: Tensor, targets: Tensor, names: Sequence[str]) -> Tensor:
    """Binary cross-entropy summed and Dice averaged over the masks of the outputs named.

    Voxels where a mask is not known say nothing of it.
    """
    wanted = fine_channels(targets[:, :1], names)
    known = fine_channels(targets[:, 1:2], names)
    weights = [FINE_WEIGHTS[name] for name in names]
    positive = torch.tensor(weights, device=outputs.device).reshape(1, -1, 1, 1, 1)
    each = functional.binary_cross_entropy_with_logits(
        outputs, wanted, weight=known, pos_weight=positive, reduction="sum"
    )
    entropy = each / known.sum().clamp_min(1.0)
    # Two masks as ever: a recipe with more of them keeps the balance of both terms.
    probabilities = torch.sigmoid(outputs) * known
    return 0.5 * len(names) * entropy + soft_dice_loss(probabilities, wanted * known)


def distillation_loss(outputs: Tensor, taught: Tensor) -> Tensor:
    """Cross-entropy of masks with a teacher's probabilities (n, c, z, y, x), as `fine_loss` scales.

    After Hinton et al. (2015), arXiv:1503.02531, at temperature 1: the teacher is calibrated.
    """
    entropy = functional.binary_cross_entropy_with_logits(outputs, taught)
    return 0.5 * outputs.shape[1] * entropy
