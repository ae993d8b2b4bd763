"""DSRF3D-v2 of Che et al. (2018)."""

from torch import nn

from models.architectures.classifier import Classifier
from models.architectures.layers import convolved


def dsrf3d_v2(box: int, n_classes: int) -> Classifier:
    """Three pairs of small convolutions, three poolings, two layers of 1024 with dropout.

    References
    ----------
    Che et al. (2018), arXiv:1707.04885.
    """
    layers = nn.Sequential(
        *convolved([1, 32, 32]), nn.MaxPool3d(2),
        *convolved([32, 64, 64]), nn.MaxPool3d(2),
        *convolved([64, 128, 128]), nn.MaxPool3d(2),
        nn.Flatten(),
    )  # fmt: skip
    return Classifier(layers, box, n_classes, hidden=(1024, 1024), dropout=0.7)
