"""Baseline: the 2-D slice network of EMAN2, one small convolutional network a feature."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

SIDE, RADIUS = 15, 7


class SliceCnn(nn.Module):
    """Sections one by one: wide kernels, one pooling by two, nothing along z.

    Parameters
    ----------
    channels
        Kernels of each hidden layer, for every feature.
    n_out
        Features; each has a network of its own (groups of the convolutions).
    n_in
        Input channels.

    References
    ----------
    Chen et al. (2017), doi:10.1038/nmeth.4405: layers of 40, 40 and 1 kernels of 15×15, pooled
    once by two; the answer is enlarged again.
    """

    def __init__(self, channels: Sequence[int], n_out: int, n_in: int = 1) -> None:
        super().__init__()
        widths = [n * n_out for n in channels]
        self.entry = nn.Conv2d(n_in, widths[0], SIDE, padding=RADIUS)
        self.hidden = nn.ModuleList(
            nn.Conv2d(a, b, SIDE, padding=RADIUS, groups=n_out) for a, b in pairwise(widths)
        )
        self.head = nn.Conv2d(widths[-1], n_out, SIDE, padding=RADIUS, groups=n_out)

    def forward(self, volumes: Tensor) -> Tensor:
        """Logits (n, n_out, z, y, x) of normalised volumes (n, n_in, z, y, x)."""
        n, n_in, n_z, n_y, n_x = volumes.shape
        # Sections are a batch: 2-D convolutions of this width are far faster than flat 3-D ones.
        sections = volumes.transpose(1, 2).reshape(n * n_z, n_in, n_y, n_x)
        features = functional.max_pool2d(functional.relu(self.entry(sections)), 2)
        for layer in self.hidden:
            features = functional.relu(layer(features))
        answer = functional.interpolate(self.head(features), scale_factor=2.0, mode="nearest")
        logits: Tensor = answer.reshape(n, n_z, -1, n_y, n_x).transpose(1, 2)
        return logits


def slice_receptive_radius_vox(n_levels: int) -> int:
    """Voxels on each side (in y and x) that can change an output voxel."""
    at_half = n_levels
    return RADIUS + 2 + 2 * RADIUS * at_half
