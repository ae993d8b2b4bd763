"""A classifier for ordinary machines: a strided stem, BatchNorm, global pooling, an embedding."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTHS = (12, 24, 48, 96)
# A sixth of the arithmetic and of the weights: for students.
SMALL_WIDTHS = (6, 10, 16, 28)
EMBEDDING = 64
SHARPNESS = 10.0


def _layer(n_in: int, n_out: int, side: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(n_in, n_out, side, stride, side // 2, bias=False),
        nn.BatchNorm3d(n_out),
        nn.ReLU(),
    )


class Compact(nn.Module):
    """Three halvings, mean and largest value of every channel, a unit vector, logits.

    The published networks spend half of their arithmetic at full sampling and most of their
    weights on flattened features; here there is neither, and boxes may have any side.

    Parameters
    ----------
    widths
        Channels at half, half, a quarter and an eighth of the sampling.
    n_embedding
        Of the vector that also tells structures apart that no training saw.
    """

    def __init__(
        self, n_classes: int, widths: Sequence[int] = WIDTHS, n_embedding: int = EMBEDDING
    ) -> None:
        super().__init__()
        self.widths = tuple(widths)
        layers = [_layer(1, widths[0], 5, 2), _layer(widths[0], widths[1], 3)]
        for a, b in pairwise(widths[1:]):
            layers += [_layer(a, b, 3, 2), _layer(b, b, 3)]
        self.layers = nn.Sequential(*layers)
        self.embedding = nn.Linear(2 * widths[-1], n_embedding)
        self.head = nn.Linear(n_embedding, n_classes)

    def features(self, volumes: Tensor) -> Tensor:
        """Unit vectors (n, n_embedding) of normalised subtomograms (n, 1, z, y, x)."""
        return self.pooled(self.layers(volumes))

    def pooled(self, channels: Tensor) -> Tensor:
        """Unit vectors (n, n_embedding) of the last layer's channels (n, c, z, y, x)."""
        pooled = torch.cat([channels.mean(dim=(2, 3, 4)), channels.amax(dim=(2, 3, 4))], dim=1)
        return functional.normalize(self.embedding(pooled), dim=1)

    def classified(self, features: Tensor) -> Tensor:
        """Logits (n, classes) of features."""
        # A unit vector times weights alone would leave softmax no room to be sure.
        logits: Tensor = self.head(SHARPNESS * features)
        return logits

    def forward(self, volumes: Tensor) -> Tensor:
        """Logits (n, classes) of normalised subtomograms (n, 1, z, y, x)."""
        return self.classified(self.features(volumes))
