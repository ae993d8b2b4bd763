"""3-D U-Net behind a stem of stride 2: sees and answers at full sampling, works at half.

Narrow layers at full sampling are bound by memory, not arithmetic: on two AVX-512 cores a U-Net of
8-24-48 channels trains at 115 GFLOP/s and one of 32-64-96 at half sampling at 167 (374 in bf16),
with four times the channels for the same time.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from models.architectures.unet import UNet3D, receptive_radius_vox


class StemUNet3D(nn.Module):
    """Blocks of 2^3 voxels become channels, a U-Net runs on them, each block is answered whole.

    Parameters
    ----------
    channels
        Of each level from half resolution down; input sides must be multiples of 2^levels.
    n_out
        Output channels.
    n_in
        Input channels: the density, then context.

    References
    ----------
    The rearrangement of blocks into channels is that of Shi et al. (2016),
    doi:10.1109/CVPR.2016.207, with learnt weights on both sides.
    """

    def __init__(self, channels: Sequence[int], n_out: int, n_in: int = 1) -> None:
        super().__init__()
        self.stem = nn.Conv3d(n_in, channels[0], 2, stride=2)
        self.body = UNet3D(channels, channels[0], n_in=channels[0])
        self.head = nn.Sequential(
            nn.ReLU(inplace=True), nn.ConvTranspose3d(channels[0], n_out, 2, stride=2)
        )

    def forward(self, volumes: Tensor) -> Tensor:
        """Logits (n, n_out, z, y, x) of normalised volumes (n, n_in, z, y, x)."""
        logits: Tensor = self.head(self.body(self.stem(volumes)))
        return logits


def stem_receptive_radius_vox(n_levels: int) -> int:
    """Voxels on each side that can change an output voxel: those of the body, and a block."""
    return 2 * receptive_radius_vox(n_levels) + 1
