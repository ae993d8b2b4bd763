"""What the published subtomogram networks are made of, begun as their framework begins them."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.errors import BadInputError


def convolved(widths: Sequence[int], side: int = 3, *, valid: bool = False) -> list[nn.Module]:
    """Convolutions from width to width, each followed by ReLU; they keep the size or are valid."""
    padding = 0 if valid else side // 2
    layers: list[nn.Module] = []
    for a, b in pairwise(widths):
        layers += [nn.Conv3d(a, b, side, padding=padding), nn.ReLU()]
    return layers


def dense(widths: Sequence[int], dropout: float = 0.0) -> list[nn.Module]:
    """Fully connected layers, each with ReLU and, where it is not 0, dropout behind it."""
    layers: list[nn.Module] = []
    for a, b in pairwise(widths):
        layers += [nn.Linear(a, b), nn.ReLU()]
        if dropout > 0.0:
            layers.append(nn.Dropout(dropout))
    return layers


def flat_size(layers: nn.Module, box: int) -> int:
    """Numbers that layers make of one subtomogram of a channel and `box` voxels a side.

    Raises
    ------
    BadInputError
        The box is too small for the layers.
    """
    # Shapes alone: nothing is computed.
    state = {name: values.to("meta") for name, values in layers.state_dict().items()}
    empty = torch.empty((1, 1, box, box, box), device="meta")
    try:
        return int(torch.func.functional_call(layers, state, (empty,)).numel())
    except RuntimeError as error:
        raise BadInputError(f"a box of {box} voxels is too small for this network") from error


class Residue(nn.Module):
    """Layers whose output is joined to that of a shortcut, channel behind channel."""

    def __init__(self, shortcut: nn.Module, layers: nn.Module) -> None:
        super().__init__()
        self.shortcut, self.layers = shortcut, layers

    def forward(self, volumes: Tensor) -> Tensor:
        """Channels of the shortcut, then those of the layers."""
        return torch.cat([self.shortcut(volumes), self.layers(volumes)], dim=1)


class PoolThree(nn.Module):
    """Pooling by three, by what is left where a box has fewer voxels."""

    def forward(self, volumes: Tensor) -> Tensor:
        """The largest of every 3^3 voxels."""
        return functional.max_pool3d(volumes, min(3, volumes.shape[-1]))


def begun_by_glorot(network: nn.Module) -> None:
    """Weights uniform as Glorot and Bengio (2010) draw them, biases 0: the default of Keras."""
    for module in network.modules():
        if isinstance(module, nn.Conv3d | nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
