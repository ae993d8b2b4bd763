"""What every network that names a subtomogram is: features, then one linear layer."""

from collections.abc import Sequence

from torch import Tensor, nn

from models.architectures.layers import begun_by_glorot, dense, flat_size


class Classifier(nn.Module):
    """Features of a subtomogram and the logits of its classes.

    Parameters
    ----------
    layers
        From (n, 1, z, y, x) to (n, features), without weights that depend on the box.
    box
        Voxels a side, as the flattened features ask for.
    hidden
        Widths of fully connected layers behind `layers`; with `dropout` behind each.
    dropout
        Share of the last features left out in training.
    """

    def __init__(
        self,
        layers: nn.Sequential,
        box: int,
        n_classes: int,
        hidden: Sequence[int] = (),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        n_flat = flat_size(layers, box)
        behind = dense([n_flat, *hidden], dropout) if hidden else [nn.Dropout(dropout)]
        self.box = box
        self.features = nn.Sequential(*layers, *behind)
        self.head = nn.Linear(hidden[-1] if hidden else n_flat, n_classes)
        begun_by_glorot(self)

    def classified(self, features: Tensor) -> Tensor:
        """Logits (n, classes) of features."""
        logits: Tensor = self.head(features)
        return logits

    def forward(self, volumes: Tensor) -> Tensor:
        """Logits (n, classes) of normalised subtomograms (n, 1, z, y, x)."""
        return self.classified(self.features(volumes))
