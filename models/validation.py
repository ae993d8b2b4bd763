"""How well a network does on pool members it was not trained on."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from models.patches import as_simulated, context_of, fine_channels
from models.recipe import Recipe
from models.table import ARCHITECTURES
from models.training_pool import (
    COARSE_CLASSES,
    FINE_NM,
    UNKNOWN_CLASS,
    PoolMember,
    read_member,
)


def validation_metrics(
    network: nn.Module, recipe: Recipe, paths: Sequence[Path]
) -> dict[str, float]:
    """Dice of every class or mask over all voxels of the held-out members."""
    overlap: dict[str, float] = {}
    total: dict[str, float] = {}
    for path in paths:
        member = read_member(path, recipe.task)
        predicted, wanted, known = _masks(network, recipe, member)
        for name, mask in predicted.items():
            found, truth = mask & known[name], wanted[name] & known[name]
            overlap[name] = overlap.get(name, 0.0) + 2.0 * float((found & truth).sum())
            total[name] = total.get(name, 0.0) + float(found.sum() + truth.sum())
    return {f"dice_{name}": overlap[name] / max(total[name], 1.0) for name in overlap}


@torch.inference_mode()
def _masks(
    network: nn.Module, recipe: Recipe, member: PoolMember
) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
    """Masks found, true and known, by output."""
    image, targets = as_simulated(member), member.targets[0]
    multiple = ARCHITECTURES[recipe.architecture].multiple(len(recipe.channels))
    size = [n // multiple * multiple for n in image.shape]
    # The fine volumes are large: the middle part is enough for a card.
    size = [min(n, limit) for n, limit in zip(size, (96, 224, 224), strict=True)]
    z, y, x = (
        slice((n - part) // 2, (n - part) // 2 + part)
        for n, part in zip(image.shape, size, strict=True)
    )
    box = (z, y, x)
    shown = image[box][None]
    if recipe.context:
        shown = torch.cat([shown, torch.from_numpy(context_of(member, recipe).at(box, FINE_NM))])
    outputs = network(shown[None])[0]
    truth = torch.from_numpy(np.array(targets[box]))
    if recipe.task == "coarse":
        labels = outputs[: len(COARSE_CLASSES)].argmax(0)
        return (
            {name: labels == index for index, name in enumerate(COARSE_CLASSES)},
            {name: truth == index for index, name in enumerate(COARSE_CLASSES)},
            dict.fromkeys(COARSE_CLASSES, truth != UNKNOWN_CLASS),
        )
    masks = fine_channels(truth[None, None], recipe.outputs)[0] > 0
    said = torch.from_numpy(np.array(member.targets[1][box]))
    known = fine_channels(said[None, None], recipe.outputs)[0] > 0
    return (
        {name: outputs[index] > 0 for index, name in enumerate(recipe.outputs)},
        {name: masks[index] for index, name in enumerate(recipe.outputs)},
        {name: known[index] for index, name in enumerate(recipe.outputs)},
    )
