"""Every architecture that a recipe may name: one line each."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn

from models.architectures.ada3d import ada3d
from models.architectures.cb3d import cb3d
from models.architectures.compact import SMALL_WIDTHS, Compact
from models.architectures.convnet3d import ConvNet3D, convnet_receptive_radius_vox
from models.architectures.dsrf3d import dsrf3d
from models.architectures.dsrf3d_students import dsrf3d_v2_s1, dsrf3d_v2_s2, dsrf3d_v2_s3
from models.architectures.dsrf3d_v2 import dsrf3d_v2
from models.architectures.inception3d import inception3d
from models.architectures.multi_reference import MultiReference
from models.architectures.rb3d import rb3d
from models.architectures.slice_cnn import SliceCnn, slice_receptive_radius_vox
from models.architectures.ssn3d import Ssn3D, ssn_receptive_radius_vox
from models.architectures.stem_unet import StemUNet3D, stem_receptive_radius_vox
from models.architectures.unet import UNet3D, receptive_radius_vox


@dataclass(frozen=True)
class Architecture:
    """How a network is made and what its tiles need.

    Attributes
    ----------
    make
        Network of (channels of each level, number of outputs, number of input channels).
    receptive_radius_vox
        Of a number of levels.
    extra_halvings
        Halvings of the sampling beyond those between the levels.
    """

    make: Callable[[Sequence[int], int, int], nn.Module]
    receptive_radius_vox: Callable[[int], int]
    extra_halvings: int = 0

    def multiple(self, n_levels: int) -> int:
        """Input sides are multiples of this."""
        return int(2 ** (n_levels - 1 + self.extra_halvings))


ARCHITECTURES: dict[str, Architecture] = {
    "unet3d": Architecture(UNet3D, receptive_radius_vox),
    "stem_unet3d": Architecture(StemUNet3D, stem_receptive_radius_vox, extra_halvings=1),
    "slice_cnn": Architecture(SliceCnn, slice_receptive_radius_vox),
    "convnet3d": Architecture(ConvNet3D, convnet_receptive_radius_vox),
    "ssn3d": Architecture(Ssn3D, ssn_receptive_radius_vox, extra_halvings=1),
}


# The one whose weights are estimated (`models.reference_fitting`), not trained.
MULTI_REFERENCE = "multi_reference"
# Networks that name a subtomogram: of (voxels a side, classes). Each has `features` and `head`.
CLASSIFIERS: dict[str, Callable[[int, int], nn.Module]] = {
    "inception3d": inception3d,
    "dsrf3d": dsrf3d,
    "dsrf3d_v2": dsrf3d_v2,
    "rb3d": rb3d,
    "cb3d": cb3d,
    "dsrf3d_v2_s1": dsrf3d_v2_s1,
    "dsrf3d_v2_s2": dsrf3d_v2_s2,
    "dsrf3d_v2_s3": dsrf3d_v2_s3,
    "ada3d": ada3d,
    "compact": lambda _box, n_classes: Compact(n_classes),
    "compact_small": lambda _box, n_classes: Compact(n_classes, SMALL_WIDTHS),
    MULTI_REFERENCE: MultiReference,
}
