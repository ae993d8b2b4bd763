"""The three students of DSRF3D-v2, Guo et al. (2018)."""

from functools import partial

from torch import nn

from models.architectures.classifier import Classifier
from models.architectures.layers import PoolThree, convolved


def _student(box: int, n_classes: int, widths: tuple[int, int, int]) -> Classifier:
    """Pooled by three instead of two, one layer of 1024, no dropout.

    Boxes of fewer than 27 voxels have less than three left for the last pooling; it takes what
    there is (the publication has boxes of 40).

    References
    ----------
    Guo et al. (2018), arXiv:1801.10597.
    """
    first, second, third = widths
    layers = nn.Sequential(
        *convolved([1, first, first]), PoolThree(),
        *convolved([first, second, second]), PoolThree(),
        *convolved([second, third, third]), PoolThree(),
        nn.Flatten(),
    )  # fmt: skip
    return Classifier(layers, box, n_classes, hidden=(1024,))


dsrf3d_v2_s1 = partial(_student, widths=(32, 64, 128))
dsrf3d_v2_s2 = partial(_student, widths=(32, 64, 64))
dsrf3d_v2_s3 = partial(_student, widths=(16, 32, 32))
