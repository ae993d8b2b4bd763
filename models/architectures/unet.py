"""Plain 3-D U-Net: strided convolutions down, transposed convolutions up, BatchNorm.

BatchNorm folds into the convolutions at export, so that a voxel's result depends on its receptive
field alone and not on the tile it is computed in (InstanceNorm and GroupNorm would).
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


def _double_convolution(n_in: int, n_out: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for channels in (n_in, n_out):
        layers += [
            nn.Conv3d(channels, n_out, 3, padding=1, bias=False),
            nn.BatchNorm3d(n_out),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*layers)


class UNet3D(nn.Module):
    """U-Net after Çiçek et al. (2016), doi:10.1007/978-3-319-46723-8_49.

    Departures: stride-2 2^3 convolutions instead of max pooling, few channels at full resolution.

    Parameters
    ----------
    channels
        Of each level from full resolution down; input sides must be multiples of
        2^(levels - 1).
    n_out
        Output channels (logits or regressions).
    n_in
        Input channels.
    """

    def __init__(self, channels: Sequence[int], n_out: int, n_in: int = 1) -> None:
        super().__init__()
        pairs = list(pairwise(channels))
        self.entry = _double_convolution(n_in, channels[0])
        self.downs = nn.ModuleList(nn.Conv3d(a, b, 2, stride=2) for a, b in pairs)
        self.encoders = nn.ModuleList(_double_convolution(b, b) for _, b in pairs)
        self.ups = nn.ModuleList(nn.ConvTranspose3d(b, a, 2, stride=2) for a, b in pairs)
        self.decoders = nn.ModuleList(_double_convolution(2 * a, a) for a, _ in pairs)
        self.head = nn.Conv3d(channels[0], n_out, 1)

    def forward(self, volumes: Tensor) -> Tensor:
        """Logits (n, n_out, z, y, x) of normalised volumes (n, 1, z, y, x)."""
        features = self.entry(volumes)
        skipped = []
        for down, encoder in zip(self.downs, self.encoders, strict=True):
            skipped.append(features)
            features = encoder(down(features))
        for level in reversed(range(len(self.ups))):
            raised = self.ups[level](features)
            features = self.decoders[level](torch.cat([skipped[level], raised], dim=1))
        logits: Tensor = self.head(features)
        return logits


def receptive_radius_vox(n_levels: int) -> int:
    """Voxels on each side that can change an output voxel."""
    radius = 0
    for level in range(n_levels):
        step = 2**level
        convolutions = 2 if level == n_levels - 1 else 4
        radius += convolutions * step
        if level < n_levels - 1:
            # Down- and up-sampling reach to the other voxel of a pair.
            radius += 2 * step
    return radius
