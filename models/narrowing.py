"""A finished network made narrower: every layer keeps its strongest channels.

After Li et al. (2017), arXiv:1608.08710: the channels whose filters have the largest sum of
absolute weights, given what is left of the layer before. A student that begins so has a teacher's
filters and needs a fraction of the training that a random one needs.
"""

from collections.abc import Iterator, Mapping
from typing import TypeGuard

import torch
from torch import Tensor, nn

from models.architectures.stem_unet import StemUNet3D

Weights = Mapping[str, Tensor]


def narrowed(finished: Weights, network: StemUNet3D) -> dict[str, Tensor]:
    """Weights and biases of a finished network of the same depth, cut to the widths of another.

    Parameters
    ----------
    finished
        `NAME.weight` and `NAME.bias` of every convolution, BatchNorms folded.
    network
        As wide as is wanted, at most as wide as the finished one; inputs and outputs are all kept.
    """
    cut = _Cut(finished, network)
    n_in = network.stem.in_channels
    path = cut.layer("stem", torch.arange(n_in))
    path = cut.double("body.entry", path)
    skipped = []
    for level in range(len(network.body.downs)):
        skipped.append(path)
        path = cut.double(f"body.encoders.{level}", cut.layer(f"body.downs.{level}", path))
    for level in reversed(range(len(network.body.ups))):
        raised = cut.layer(f"body.ups.{level}", path)
        # Behind the skipped channels, all of them, come the raised ones.
        first = len(finished[f"body.{'entry.3' if level == 0 else f'encoders.{level - 1}.3'}.bias"])
        both = torch.cat([skipped[level], raised + first])
        path = cut.double(f"body.decoders.{level}", both)
    path = cut.layer("body.head", path)
    cut.layer("head.1", path, is_last=True)
    return cut.weights


class _Cut:
    """What is cut so far."""

    def __init__(self, finished: Weights, network: nn.Module) -> None:
        self.finished = finished
        self.modules = dict(network.named_modules())
        self.weights: dict[str, Tensor] = {}

    def double(self, name: str, inputs: Tensor) -> Tensor:
        """Two convolutions in a row; returns the channels kept of the second."""
        for layer in _convolutions(self.modules[name]):
            inputs = self.layer(f"{name}.{layer}", inputs)
        return inputs

    def layer(self, name: str, inputs: Tensor, *, is_last: bool = False) -> Tensor:
        """One convolution; returns the channels kept, in order."""
        weight, bias = self.finished[f"{name}.weight"], self.finished[f"{name}.bias"]
        module = self.modules[name]
        is_transposed = isinstance(module, nn.ConvTranspose3d)
        # (out, in, z, y, x) for both.
        by_output = (weight.transpose(0, 1) if is_transposed else weight)[:, inputs]
        n_out = len(by_output) if is_last else int(module.out_channels)
        strength = by_output.abs().flatten(1).sum(dim=1)
        kept = strength.topk(n_out).indices.sort().values
        chosen = by_output[kept]
        self.weights[f"{name}.weight"] = chosen.transpose(0, 1) if is_transposed else chosen
        self.weights[f"{name}.bias"] = bias[kept]
        return kept


def _convolutions(block: nn.Module) -> Iterator[int]:
    assert isinstance(block, nn.Sequential)
    return (index for index, layer in enumerate(block) if isinstance(layer, nn.Conv3d))


def is_narrower(network: nn.Module, finished: Weights) -> TypeGuard[StemUNet3D]:
    """Whether a network is a `StemUNet3D` of the same depth and narrower."""
    if not isinstance(network, StemUNet3D) or "stem.bias" not in finished:
        return False
    levels = sum(name.startswith("body.downs.") and name.endswith(".bias") for name in finished)
    return (
        levels == len(network.body.downs)
        and network.stem.in_channels == finished["stem.weight"].shape[1]
        and network.stem.out_channels < finished["stem.weight"].shape[0]
    )
