"""Every architecture that a recipe may name: one line each."""

from collections.abc import Callable, Sequence

from torch import nn

from models.architectures.unet import UNet3D

ARCHITECTURES: dict[str, Callable[[Sequence[int], int], nn.Module]] = {
    "unet3d": UNet3D,
}
