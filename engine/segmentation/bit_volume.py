"""True or false for every voxel of a large volume, eight voxels in a byte."""

import numpy as np

from engine.data.arrays import Bools
from engine.segmentation.tiling import Box


class BitVolume:
    """A volume of bits, false everywhere at first.

    Parameters
    ----------
    shape
        (z, y, x).
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        n_z, n_y, self._n_x = shape
        self._bytes = np.zeros((n_z, n_y, -(-self._n_x // 8)), dtype=np.uint8)

    def write(self, box: Box, values: Bools) -> None:
        """Set the voxels of a box to `values` (z, y, x); it may begin and end within a byte."""
        in_z, in_y, in_x = box
        octets = slice(in_x.start // 8, -(-in_x.stop // 8))
        bits = np.unpackbits(self._bytes[in_z, in_y, octets], axis=2)
        first = in_x.start - 8 * octets.start
        bits[:, :, first : first + values.shape[2]] = values
        self._bytes[in_z, in_y, octets] = np.packbits(bits, axis=2)

    def read(self, box: Box) -> Bools:
        """The voxels (z, y, x) of a box."""
        in_z, in_y, in_x = box
        octets = slice(in_x.start // 8, -(-in_x.stop // 8))
        bits = np.unpackbits(self._bytes[in_z, in_y, octets], axis=2).astype(bool)
        first = in_x.start - 8 * octets.start
        return bits[:, :, first : first + in_x.stop - in_x.start]

    def section(self, z: int) -> Bools:
        """The voxels (y, x) of one section."""
        return np.unpackbits(self._bytes[z], axis=1, count=self._n_x).astype(bool)
