"""Probabilities that mean what they say: class weights taken out, temperature fitted.

A loss that weighs rare voxels up teaches odds that are too high by just that weight; mitochondria
came out 4 % too large by it. What overconfidence the rest of training leaves is one scale of the
logits (temperature scaling, Guo et al. 2017, arXiv:1706.04599), fitted on members of the pool
that the network was not trained on. Both go into the last convolution: nothing is left to do at
inference.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor, nn
from torch.nn import functional

from engine.data.arrays import Float64s
from engine.segmentation.coarse import DEPTH_OUTPUT
from models.losses import COARSE_WEIGHTS, FINE_WEIGHTS
from models.recipe import Recipe
from models.validation import POINT_OUTPUTS, SeenMember, point_f1

CONVOLUTIONS = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose3d)
# Temperatures between a third and three.
WIDEST_LOG_SCALE = float(np.log(3.0))
# On a grid: a finer one would follow the few members at hand.
THRESHOLDS = tuple(round(0.05 * step, 2) for step in range(1, 15))


@dataclass(frozen=True)
class Calibration:
    """What was done to a network's logits, and where its masks begin.

    Attributes
    ----------
    scale, shift
        Of every output, in order: new logit = scale * logit + shift.
    thresholds
        Of the masks of a fine network: the probability that gives the largest Dice on held-out
        members; where masks stand for points, the largest F1. It is below one half where voxels
        are not told apart surely.
    """

    scale: tuple[float, ...]
    shift: tuple[float, ...]
    thresholds: dict[str, float]


def calibrate(
    network: nn.Module, recipe: Recipe, members: Sequence[SeenMember]
) -> tuple[Calibration, list[SeenMember]]:
    """Change the last convolution of `network` so that its probabilities are calibrated.

    Parameters
    ----------
    members
        What it makes of members that it was not trained on; without any, scales stay 1 and there
        are no thresholds.

    Returns
    -------
    Calibration, list of SeenMember
        What was done, and what the changed network makes of the same members.
    """
    shift = -_log_weights(recipe)
    scale, thresholds = np.ones(len(shift)), {}
    if members and recipe.task == "coarse":
        is_class = np.array([name != DEPTH_OUTPUT for name in recipe.outputs])
        shifts = torch.tensor(shift[is_class], dtype=torch.float32).reshape(-1, 1, 1, 1)
        scale[is_class] = _best_scale(lambda one: _class_entropy(members, one, shifts))
    elif members:
        for index, name in enumerate(recipe.outputs):
            output = [_of_output(member, index) for member in members]
            scale[index] = _best_scale(partial(_mask_entropy, output, float(shift[index])))
            if name not in POINT_OUTPUTS:
                thresholds[name] = _best_threshold(output, scale[index], shift[index])
    _fold(network, scale, shift)
    factors, added = (
        torch.tensor(one, dtype=torch.float32).reshape(-1, 1, 1, 1) for one in (scale, shift)
    )
    after = [replace(one, logits=one.logits * factors + added) for one in members]
    for index, name in enumerate(recipe.outputs):
        if members and name in POINT_OUTPUTS:
            thresholds[name] = _best_for_points(after, recipe, index)
    return Calibration(tuple(map(float, scale)), tuple(map(float, shift)), thresholds), after


def _log_weights(recipe: Recipe) -> Float64s:
    """By how much the loss raises the log odds of every output."""
    if recipe.task == "fine":
        return np.log([FINE_WEIGHTS[name] for name in recipe.outputs])
    return np.log([*COARSE_WEIGHTS, 1.0])


def _best_scale(entropy: Callable[[float], float]) -> float:
    found = minimize_scalar(
        lambda log_scale: entropy(float(np.exp(log_scale))),
        bounds=(-WIDEST_LOG_SCALE, WIDEST_LOG_SCALE),
        method="bounded",
        options={"xatol": 0.01},
    )
    return float(np.exp(found.x))


def _class_entropy(members: Sequence[SeenMember], scale: float, shift: Tensor) -> float:
    """Mean cross-entropy (nats) of the known voxels' classes."""
    total, n_voxels = 0.0, 0
    for member in members:
        logits = member.logits[: len(shift)] * scale + shift
        truth = member.truth.long().argmax(dim=0)
        each = functional.cross_entropy(logits[None], truth[None], reduction="none")[0]
        total += float(each[member.known[0]].double().sum())
        n_voxels += int(member.known[0].sum())
    return total / max(n_voxels, 1)


def _of_output(member: SeenMember, index: int) -> tuple[Tensor, Tensor]:
    """Logits and truth of one output where the truth is known."""
    known = member.known[index]
    return member.logits[index][known], member.truth[index][known]


def _mask_entropy(output: Sequence[tuple[Tensor, Tensor]], shift: float, scale: float) -> float:
    """Mean cross-entropy (nats) of a mask's voxels."""
    total, n_voxels = 0.0, 0
    for logits, truth in output:
        each = functional.binary_cross_entropy_with_logits(
            logits * scale + shift, truth.float(), reduction="none"
        )
        total += float(each.double().sum())
        n_voxels += len(truth)
    return total / max(n_voxels, 1)


def _best_threshold(output: Sequence[tuple[Tensor, Tensor]], scale: float, shift: float) -> float:
    """The threshold of the largest Dice over all members; one half where nothing is true."""
    scores = []
    for threshold in THRESHOLDS:
        level = (np.log(threshold / (1.0 - threshold)) - shift) / scale
        overlap = sum(int((truth & (logits > level)).sum()) for logits, truth in output)
        total = sum(int(truth.sum()) + int((logits > level).sum()) for logits, truth in output)
        scores.append(2.0 * overlap / max(total, 1))
    return THRESHOLDS[int(np.argmax(scores))] if max(scores) > 0.0 else 0.5


def _best_for_points(members: Sequence[SeenMember], recipe: Recipe, index: int) -> float:
    """The threshold that finds most points; one half where no member holds any."""
    scores = [point_f1(members, recipe, index, threshold) for threshold in THRESHOLDS]
    return THRESHOLDS[int(np.argmax(scores))] if max(scores) > 0.0 else 0.5


def _fold(network: nn.Module, scale: Float64s, shift: Float64s) -> None:
    """Scale and shift into the last convolution of a network."""
    head = [one for one in network.modules() if isinstance(one, CONVOLUTIONS)][-1]
    factor = torch.tensor(scale, dtype=head.weight.dtype)
    with torch.no_grad():
        # (out, in, …) of a convolution, (in, out, …) of a transposed one.
        axis = 1 if isinstance(head, nn.ConvTranspose3d) else 0
        shape = [1] * head.weight.dim()
        shape[axis] = len(factor)
        head.weight.mul_(factor.reshape(shape))
        head.bias.mul_(factor).add_(torch.tensor(shift, dtype=head.weight.dtype))  # type: ignore[union-attr]
