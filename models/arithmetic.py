"""How much a classifier computes, counted from its shapes alone."""

import copy

import torch
from torch import Tensor, nn

from models.table import CLASSIFIERS


def multiply_adds(name: str, box_vox: int, n_classes: int) -> int:
    """Multiply-adds of a subtomogram in every convolution and linear layer of a classifier."""
    with torch.device("meta"):
        return multiply_adds_of(CLASSIFIERS[name](box_vox, n_classes), box_vox)


def multiply_adds_of(network: nn.Module, box_vox: int) -> int:
    """Of one subtomogram, for a network on any device; it is left as it is."""
    network = copy.deepcopy(network).to("meta")
    total = 0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        # Of one place: of the output, but where a convolution is transposed.
        taps = module.weight[0].numel()  # type: ignore[index]
        places = inputs[0] if isinstance(module, nn.ConvTranspose3d) else output
        total += taps * (places.numel() // places.shape[0])

    for module in network.eval().modules():
        if isinstance(module, nn.Conv3d | nn.ConvTranspose3d | nn.Linear):
            module.register_forward_hook(count)
    network(torch.empty((1, 1, box_vox, box_vox, box_vox), device="meta"))
    return total


def n_weights(name: str, box_vox: int, n_classes: int) -> int:
    """Weights and biases of a classifier."""
    with torch.device("meta"):
        network = CLASSIFIERS[name](box_vox, n_classes)
    return sum(one.numel() for one in network.parameters())
