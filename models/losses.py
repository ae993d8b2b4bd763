"""Losses of the two networks."""

import torch
from torch import Tensor
from torch.nn import functional

from models.patches import fine_channels
from models.training_pool import COARSE_CLASSES

# Cytoplasm and void fill most voxels; small bodies would otherwise not be learnt.
COARSE_WEIGHTS = (1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 2.0)
CORE_WEIGHT = 5.0


def soft_dice_loss(probabilities: Tensor, targets: Tensor) -> Tensor:
    """One minus the mean Dice over the channels (n, c, z, y, x) that the batch holds."""
    axes = (0, 2, 3, 4)
    overlap = (probabilities * targets).sum(axes)
    total = probabilities.sum(axes) + targets.sum(axes)
    present = targets.sum(axes) > 0
    dice = (2.0 * overlap + 1.0) / (total + 1.0)
    return 1.0 - dice[present].mean() if bool(present.any()) else probabilities.mean() * 0.0


def coarse_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy over classes, Dice on mitochondria, smooth L1 on their depth (full scale 1).

    Dice over all classes was tried and taught the network never to name a rare one: a gold bead
    of a few voxels weighs as much there as all mitochondria, and an absent class costs a full
    share whatever is answered.
    """
    n_classes = len(COARSE_CLASSES)
    labels = targets[:, 0].long()
    logits, depth = outputs[:, :n_classes], outputs[:, n_classes]
    weights = torch.tensor(COARSE_WEIGHTS, device=outputs.device)
    entropy = functional.cross_entropy(logits, labels, weight=weights)
    body = COARSE_CLASSES.index("mitochondrion")
    probability = torch.softmax(logits, dim=1)[:, body : body + 1]
    dice = soft_dice_loss(probability, (labels == body).float()[:, None])
    wanted = targets[:, 1].float() / 255.0
    weight = 1.0 + 4.0 * (wanted > 0)
    distance = functional.smooth_l1_loss(depth, wanted, reduction="none", beta=0.1)
    return entropy + 0.5 * dice + 2.0 * (distance * weight).mean()


def fine_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy and Dice on membrane and microtubule core."""
    wanted = fine_channels(targets)
    positive = torch.tensor([1.0, CORE_WEIGHT], device=outputs.device).reshape(1, 2, 1, 1, 1)
    entropy = functional.binary_cross_entropy_with_logits(outputs, wanted, pos_weight=positive)
    return entropy + soft_dice_loss(torch.sigmoid(outputs), wanted)
