"""Baseline: the 3-D ConvNet of DeepFinder, a U-Net of 32, 48 and 64 channels."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional


def _convolutions(n_in: int, n_out: int, count: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for index in range(count):
        layers += [nn.Conv3d(n_in if index == 0 else n_out, n_out, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers)


class ConvNet3D(nn.Module):
    """Max pooling down, nearest neighbours and a 2^3 convolution up, no normalisation.

    Parameters
    ----------
    channels
        Of each level from full resolution down; input sides are multiples of 2^(levels - 1).
    n_out
        Output channels.
    n_in
        Input channels.

    References
    ----------
    Moebel et al. (2021), doi:10.1038/s41592-021-01275-4.
    """

    def __init__(self, channels: Sequence[int], n_out: int, n_in: int = 1) -> None:
        super().__init__()
        pairs = list(pairwise(channels))
        widths = [n_in, *channels]
        self.encoders = nn.ModuleList(
            _convolutions(a, b, 2) for a, b in pairwise(widths[: len(pairs) + 1])
        )
        self.bottom = _convolutions(channels[-2] if pairs else n_in, channels[-1], 4)
        self.ups = nn.ModuleList(nn.Conv3d(b, a, 2) for a, b in pairs)
        self.decoders = nn.ModuleList(_convolutions(2 * a, a, 2) for a, _ in pairs)
        self.head = nn.Conv3d(channels[0], n_out, 1)

    def forward(self, volumes: Tensor) -> Tensor:
        """Logits (n, n_out, z, y, x) of normalised volumes (n, n_in, z, y, x)."""
        features, skipped = volumes, []
        for encoder in self.encoders:
            skipped.append(encoder(features))
            features = functional.max_pool3d(skipped[-1], 2)
        features = self.bottom(features)
        for level in reversed(range(len(self.ups))):
            raised = functional.interpolate(features, scale_factor=2.0, mode="nearest")
            # An even kernel keeps the size with one more voxel on the far side.
            raised = functional.relu(self.ups[level](functional.pad(raised, (0, 1) * 3)))
            features = self.decoders[level](torch.cat([skipped[level], raised], dim=1))
        logits: Tensor = self.head(features)
        return logits


def convnet_receptive_radius_vox(n_levels: int) -> int:
    """Voxels on each side that can change an output voxel."""
    # Two convolutions down, two and one of 2^3 up; pooling and raising reach a voxel each.
    levels = sum(7 * 2**level for level in range(n_levels - 1))
    return int(levels + 4 * 2 ** (n_levels - 1))
