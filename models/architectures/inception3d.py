"""Inception3D of Xu et al. (2017)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.architectures.classifier import Classifier
from models.architectures.layers import convolved


class Inception(nn.Module):
    """Four paths of 32, 64, 32 and 32 channels, joined."""

    def __init__(self, n_in: int) -> None:
        super().__init__()
        self.point = nn.Sequential(*convolved([n_in, 32], 1))
        self.three = nn.Sequential(*convolved([n_in, 32], 1), *convolved([32, 64], 3))
        self.five = nn.Sequential(*convolved([n_in, 16], 1), *convolved([16, 32], 5))
        self.pooled = nn.Sequential(*convolved([n_in, 32], 1))

    def forward(self, volumes: Tensor) -> Tensor:
        """160 channels of the same size."""
        # A window of two keeps the size with one more voxel on the far side.
        far = functional.pad(volumes, (0, 1) * 3, value=float("-inf"))
        largest = functional.max_pool3d(far, 2, stride=1)
        paths = [self.point(volumes), self.three(volumes), self.five(volumes), self.pooled(largest)]
        return torch.cat(paths, dim=1)


def inception3d(box: int, n_classes: int) -> Classifier:
    """A wide convolution, one inception layer, dropout, one linear layer.

    References
    ----------
    Xu et al. (2017), arXiv:1701.08404.
    """
    features = nn.Sequential(
        *convolved([1, 32], 5, valid=True),
        nn.MaxPool3d(2, ceil_mode=True),
        Inception(32),
        nn.AvgPool3d(2, stride=1),
        nn.Flatten(),
    )
    return Classifier(features, box, n_classes, dropout=0.7)
