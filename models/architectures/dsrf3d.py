"""DSRF3D of Xu et al. (2017)."""

from torch import nn

from models.architectures.classifier import Classifier
from models.architectures.layers import convolved


def dsrf3d(box: int, n_classes: int) -> Classifier:
    """Pairs of small convolutions, two poolings, two layers of 512; no dropout.

    References
    ----------
    Xu et al. (2017), arXiv:1701.08404.
    """
    layers = nn.Sequential(
        *convolved([1, 32, 32]), nn.MaxPool3d(2),
        *convolved([32, 64, 64]), nn.MaxPool3d(2),
        nn.Flatten(),
    )  # fmt: skip
    return Classifier(layers, box, n_classes, hidden=(512, 512))
