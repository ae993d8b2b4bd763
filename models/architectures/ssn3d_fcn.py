"""SSN3D-FCN of Liu et al. (2018): the convolutions of DSRF3D-v2, a class a voxel."""

from torch import Tensor, nn
from torch.nn import functional

from models.architectures.layers import begun_by_glorot, convolved


class Ssn3DFcn(nn.Module):
    """Three pooled pairs of convolutions, two 1^3 layers of 1024, answers of three scales summed.

    Parameters
    ----------
    n_out
        Classes of a voxel.

    References
    ----------
    Liu et al. (2018), arXiv:1802.04087; input sides are multiples of eight.
    """

    def __init__(self, n_out: int) -> None:
        super().__init__()
        self.encoders = nn.ModuleList(
            nn.Sequential(*convolved(widths), nn.MaxPool3d(2))
            for widths in ([1, 32, 32], [32, 64, 64], [64, 128, 128])
        )
        self.bottom = nn.Sequential(
            *convolved([128, 1024], 1), nn.Dropout(0.7),
            *convolved([1024, 1024], 1), nn.Dropout(0.7),
        )  # fmt: skip
        self.answers = nn.ModuleList(nn.Conv3d(n, n_out, 1) for n in (32, 64, 1024))
        begun_by_glorot(self)

    def forward(self, volumes: Tensor) -> Tensor:
        """Logits (n, n_out, z, y, x) of normalised subtomograms (n, 1, z, y, x)."""
        pooled = []
        for encoder in self.encoders:
            volumes = encoder(volumes)
            pooled.append(volumes)
        features = [pooled[0], pooled[1], self.bottom(pooled[2])]
        answer = self.answers[2](features[2])
        for level in (1, 0):
            answer = self.answers[level](features[level]) + _twice(answer)
        return _twice(answer)


def _twice(volumes: Tensor) -> Tensor:
    return functional.interpolate(volumes, scale_factor=2.0, mode="nearest")
