"""RB3D of Che et al. (2018)."""

from torch import nn

from models.architectures.classifier import Classifier
from models.architectures.layers import Residue, convolved


def _block(n_in: int) -> nn.Sequential:
    bottleneck = nn.Sequential(
        *convolved([n_in, 16], 1), *convolved([16, 32]), nn.Conv3d(32, 16, 1), nn.Dropout(0.7)
    )
    return nn.Sequential(Residue(nn.Conv3d(n_in, 16, 3, padding=1), bottleneck), nn.ReLU())


def rb3d(box: int, n_classes: int) -> Classifier:
    """Four bottlenecks, each joined to a convolved shortcut; two layers of 1024 with dropout.

    References
    ----------
    Che et al. (2018), arXiv:1707.04885; shortcut and bottleneck are joined as channels, not added,
    as in the authors' programs.
    """
    blocks = [_block(32) for _ in range(4)]
    layers = nn.Sequential(*convolved([1, 32]), nn.MaxPool3d(2), *blocks, nn.Flatten())
    return Classifier(layers, box, n_classes, hidden=(1024, 1024), dropout=0.5)
