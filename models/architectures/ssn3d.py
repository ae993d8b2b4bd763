"""Baseline: SSN3D, the encoder-decoder for subtomograms."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional


class Ssn3D(nn.Module):
    """Two convolutions and a pooling a level down; 1^3 convolutions, raised and added, up.

    Parameters
    ----------
    channels
        Of each level; input sides are multiples of 2^levels.
    n_out
        Output channels.
    n_in
        Input channels.

    References
    ----------
    Liu et al. (2018), arXiv:1802.04087, the encoder-decoder variant (32, 64, 128 channels, skips
    added, nearest neighbours up).
    """

    def __init__(self, channels: Sequence[int], n_out: int, n_in: int = 1) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(
            nn.Sequential(
                nn.Conv3d(a, b, 3, padding=1), nn.ReLU(), nn.Conv3d(b, b, 3, padding=1), nn.ReLU()
            )
            for a, b in pairwise([n_in, *channels])
        )
        self.bottom = nn.Conv3d(channels[-1], channels[-1], 1)
        self.skips = nn.ModuleList(nn.Conv3d(n, m, 1) for n, m in pairwise(channels))
        self.raised = nn.ModuleList(nn.Conv3d(m, n, 1) for n, m in pairwise(channels))
        self.head = nn.Conv3d(channels[0], n_out, 1)

    def forward(self, volumes: Tensor) -> Tensor:
        """Logits (n, n_out, z, y, x) of normalised volumes (n, n_in, z, y, x)."""
        features, pooled = volumes, []
        for encoder in self.encoders:
            features = functional.max_pool3d(encoder(features), 2)
            pooled.append(features)
        features = functional.relu(self.bottom(features))
        for level in reversed(range(len(self.skips))):
            features = functional.interpolate(features, scale_factor=2.0, mode="nearest")
            features = features + self.skips[level](pooled[level])
            features = functional.relu(self.raised[level](features))
        logits: Tensor = self.head(
            functional.interpolate(features, scale_factor=2.0, mode="nearest")
        )
        return logits


def ssn_receptive_radius_vox(n_levels: int) -> int:
    """Voxels on each side that can change an output voxel."""
    return sum(4 * 2**level for level in range(n_levels))
