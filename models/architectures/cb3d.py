"""CB3D of Che et al. (2018): C3D without the first duplicates."""

from torch import nn

from models.architectures.classifier import Classifier
from models.architectures.layers import convolved


def cb3d(box: int, n_classes: int) -> Classifier:
    """Eight convolutions, five poolings, two layers of 4096 with dropout.

    References
    ----------
    Che et al. (2018), arXiv:1707.04885. The first pooling leaves z as it is.
    """
    layers = nn.Sequential(
        *convolved([1, 64]), nn.MaxPool3d((1, 2, 2)),
        *convolved([64, 128]), nn.MaxPool3d(2),
        *convolved([128, 256, 256]), nn.MaxPool3d(2),
        *convolved([256, 512, 512]), nn.MaxPool3d(2),
        *convolved([512, 512, 512]), nn.ZeroPad3d((1, 1, 1, 1, 0, 0)), nn.MaxPool3d(2),
        nn.Flatten(),
    )  # fmt: skip
    return Classifier(layers, box, n_classes, hidden=(4096, 4096), dropout=0.5)
