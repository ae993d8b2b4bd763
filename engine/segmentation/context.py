"""What the coarse network saw, shown to the fine one beside the density."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.data.arrays import Float32s, UInt8s
from engine.segmentation.tiling import Box

FULL_SCALE = 255.0


@dataclass(frozen=True)
class Context:
    """Outputs of the coarse network, a byte a voxel.

    Attributes
    ----------
    codes
        uint8 (c, z, y, x) on the coarse grid: 255 times values in [0, 1].
    voxel_nm
        Of that grid; voxel i is centred on i * voxel_nm.
    names
        Of the outputs, where they are known.
    """

    codes: UInt8s
    voxel_nm: float
    names: tuple[str, ...] = ()

    def of(self, names: Sequence[str]) -> "Context":
        """Some of the outputs, in this order; their names must be known."""
        return Context(
            self.codes[[self.names.index(name) for name in names]], self.voxel_nm, tuple(names)
        )

    def at(self, box: Box, voxel_nm: float) -> Float32s:
        """The values (c, z, y, x) at the voxels of a box of another grid, float32.

        Trilinear; beyond the last voxel its value. A voxel's value does not depend on the box.
        """
        values: np.ndarray = self.codes
        for axis, part in enumerate(box, start=1):
            places = np.arange(part.start, part.stop) * (voxel_nm / self.voxel_nm)
            values = _interpolated(values, places, axis)
        return np.asarray(values / np.float32(FULL_SCALE), dtype=np.float32)


def packed(values: Float32s) -> UInt8s:
    """Codes of values, cut to [0, 1] first; same shape."""
    return np.asarray(np.rint(np.clip(values, 0.0, 1.0) * FULL_SCALE), dtype=np.uint8)


def _interpolated(values: np.ndarray, places: np.ndarray, axis: int) -> np.ndarray:
    n = values.shape[axis]
    places = np.clip(places, 0.0, n - 1.0)
    low = np.minimum(places.astype(np.int64), max(n - 2, 0))
    share = (places - low).astype(np.float32)
    shape = [1] * values.ndim
    shape[axis] = len(places)
    share = share.reshape(shape)
    before = values.take(low, axis=axis).astype(np.float32)
    after = values.take(np.minimum(low + 1, n - 1), axis=axis).astype(np.float32)
    return np.asarray(before + share * (after - before))
