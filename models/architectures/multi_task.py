"""Multi-task network of Liu et al. (2019): one encoder, three heads."""

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.architectures.layers import begun_by_glorot, convolved


@dataclass(frozen=True)
class TaskOutputs:
    """What the three heads say of a batch.

    Attributes
    ----------
    logits
        (n, classes).
    mask
        (n, 1, z, y, x), logits of being the central structure.
    density
        (n, 1, z, y, x), the structure without noise, wedge and contrast transfer.
    """

    logits: Tensor
    mask: Tensor
    density: Tensor


class MultiTask(nn.Module):
    """Shared features; class from their pooled values, mask and coarse structure from decoders.

    Encoder and decoders are those of SSN3D's encoder-decoder (the publication's program was never
    released): three pooled pairs of convolutions, 1^3 convolutions and added skips on the way up.

    Parameters
    ----------
    n_classes
        Of the class head.
    channels
        Of each level; input sides are multiples of eight.

    References
    ----------
    Liu et al. (2018), arXiv:1805.06332. Departures: BatchNorm, without which the rectifiers of a
    decoder die where its task has no large gradient; global pooling before the class head.
    """

    def __init__(self, n_classes: int, channels: tuple[int, int, int] = (16, 32, 64)) -> None:
        super().__init__()
        widths = (1, *channels)
        self.encoders = nn.ModuleList(
            nn.Sequential(
                *convolved([a, b]), nn.BatchNorm3d(b), *convolved([b, b]), nn.BatchNorm3d(b),
                nn.MaxPool3d(2),
            )
            for a, b in itertools.pairwise(widths)
        )  # fmt: skip
        self.head = nn.Linear(2 * channels[-1], n_classes)
        self.mask = _Decoder(channels)
        self.density = _Decoder(channels)
        begun_by_glorot(self)

    def encoded(self, volumes: Tensor) -> list[Tensor]:
        """Pooled features of every level, finest first."""
        levels = []
        for encoder in self.encoders:
            volumes = encoder(volumes)
            levels.append(volumes)
        return levels

    def features(self, volumes: Tensor) -> Tensor:
        """Mean and largest value of every deepest channel, (n, 2 channels)."""
        return _pooled(self.encoded(volumes)[-1])

    def forward(self, volumes: Tensor) -> TaskOutputs:
        """All three answers to normalised subtomograms (n, 1, z, y, x)."""
        levels = self.encoded(volumes)
        return TaskOutputs(self.head(_pooled(levels[-1])), self.mask(levels), self.density(levels))


def _pooled(channels: Tensor) -> Tensor:
    return torch.cat([channels.mean(dim=(2, 3, 4)), channels.amax(dim=(2, 3, 4))], dim=1)


class _Decoder(nn.Module):
    """From the deepest level up, skips added, one channel out."""

    def __init__(self, channels: tuple[int, int, int]) -> None:
        super().__init__()
        first, second, third = channels
        self.bottom = nn.Sequential(*convolved([third, third], 1), nn.BatchNorm3d(third))
        self.skips = nn.ModuleList([nn.Conv3d(second, third, 1), nn.Conv3d(first, second, 1)])
        self.raised = nn.ModuleList(
            nn.Sequential(*convolved([a, b]), nn.BatchNorm3d(b))
            for a, b in ((third, second), (second, first))
        )
        self.last = nn.Conv3d(first, 1, 3, padding=1)

    def forward(self, levels: list[Tensor]) -> Tensor:
        """One channel (n, 1, z, y, x) of the pooled features of every level, finest first."""
        features = self.bottom(levels[2])
        for index, level in enumerate((levels[1], levels[0])):
            features = functional.interpolate(features, scale_factor=2.0, mode="nearest")
            features = self.raised[index](features + self.skips[index](level))
        answer: Tensor = self.last(
            functional.interpolate(features, scale_factor=2.0, mode="nearest")
        )
        return answer
