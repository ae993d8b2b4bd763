"""How much a classifier computes, counted from its shapes alone."""

import torch
from torch import Tensor, nn

from models.table import CLASSIFIERS


def multiply_adds(name: str, box_vox: int, n_classes: int) -> int:
    """Multiply-adds of a subtomogram in every convolution and linear layer of a classifier."""
    total = 0

    def count(module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        taps = module.weight[0].numel()  # type: ignore[index]
        total += taps * (output.numel() // output.shape[0])

    with torch.device("meta"):
        network = CLASSIFIERS[name](box_vox, n_classes).eval()
        for module in network.modules():
            if isinstance(module, nn.Conv3d | nn.Linear):
                module.register_forward_hook(count)
        network(torch.empty((1, 1, box_vox, box_vox, box_vox)))
    return total


def n_weights(name: str, box_vox: int, n_classes: int) -> int:
    """Weights and biases of a classifier."""
    with torch.device("meta"):
        network = CLASSIFIERS[name](box_vox, n_classes)
    return sum(one.numel() for one in network.parameters())
