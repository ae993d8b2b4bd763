"""3D-ADA of Lin et al. (2019): the encoder that is adapted, and its discriminator."""

from torch import Tensor, nn

from models.architectures.classifier import Classifier
from models.architectures.layers import begun_by_glorot, convolved

# Valid convolutions and poolings leave nothing of smaller boxes.
SMALLEST_VALID_BOX = 36


def ada3d(box: int, n_classes: int) -> Classifier:
    """Wide convolutions that shrink the box, five poolings, a layer of 500 with dropout.

    Boxes of fewer than 36 voxels keep their size in the convolutions (a departure: the published
    network cannot take them).

    References
    ----------
    Lin et al. (2019), PMC6612867.
    """
    valid = box >= SMALLEST_VALID_BOX
    layers = nn.Sequential(
        *convolved([1, 8], 5, valid=valid),
        *convolved([8, 16], 5, valid=valid), nn.MaxPool3d(2, ceil_mode=True),
        *convolved([16, 32, 64], 4 if valid else 3, valid=valid), nn.MaxPool3d(2, ceil_mode=True),
        *convolved([64, 128, 128], 3, valid=valid), nn.MaxPool3d(2, ceil_mode=True),
        *convolved([128, 128, 256], 1), nn.MaxPool3d(2, ceil_mode=True),
        nn.Flatten(),
    )  # fmt: skip
    return Classifier(layers, box, n_classes, hidden=(500,), dropout=0.5)


class DomainDiscriminator(nn.Module):
    """Which of several domains features come from; two layers as wide as the features.

    Features of fewer than 64 numbers get layers of 64: narrower ones cannot tell domains apart.
    """

    def __init__(self, n_features: int = 500, n_domains: int = 2) -> None:
        super().__init__()
        width = max(n_features, 64)
        self.layers = nn.Sequential(
            nn.Linear(n_features, width), nn.LeakyReLU(),
            nn.Linear(width, width), nn.LeakyReLU(),
            nn.Linear(width, n_domains),
        )  # fmt: skip
        begun_by_glorot(self)

    def forward(self, features: Tensor) -> Tensor:
        """Logits (n, domains) of features (n, n_features)."""
        logits: Tensor = self.layers(features)
        return logits
