"""Volumes brought to another voxel size, aligned at the centre of voxel (0, 0, 0)."""

import math
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.data.arrays import AnyArray, Float32s, Ints

# Sections at a time, and rows of a band of weights at a time.
SLAB, ROWS = 16, 32


def resampled_length(n_in: int, ratio: float) -> int:
    """Samples that cover `n_in` voxels at `ratio` = new / old voxel size; at least 1."""
    return max(1, round(n_in / ratio))


def resampling_matrix(n_in: int, ratio: float) -> Float32s:
    """Weights (n_out, n_in) of linear interpolation, widened to an anti-aliasing triangle.

    Output sample j lies at input index j * ratio; the triangle is max(1, ratio) wide, and every
    row sums to 1, so that nothing darkens at the faces.
    """
    centres = np.minimum(np.arange(resampled_length(n_in, ratio)) * ratio, n_in - 1.0)
    width = max(1.0, ratio)
    distance = np.abs(np.arange(n_in)[None, :] - centres[:, None])
    weights = np.maximum(0.0, 1.0 - distance / width)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


class Volume(Protocol):
    """Densities (z, y, x) that are read box by box."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(z, y, x)."""
        ...

    def __getitem__(self, box: tuple[slice, slice, slice], /) -> AnyArray:
        """The voxels of a box."""
        ...


class ResampledVolume:
    """A volume on another grid, computed box by box: it is never held as a whole.

    Parameters
    ----------
    voxels
        (z, y, x).
    ratio
        New over old voxel size.
    """

    def __init__(self, voxels: Volume, ratio: float) -> None:
        self._voxels = voxels
        self._is_same = abs(ratio - 1.0) < 1e-6
        z, y, x = (resampling_matrix(n, ratio) for n in voxels.shape)
        self._weights = (z, y, x)
        self.shape = (len(z), len(y), len(x))

    def __getitem__(self, box: tuple[slice, slice, slice]) -> Float32s:
        """The voxels of a box, float32 (z, y, x); peak memory beyond them is one slab."""
        if self._is_same:
            return np.array(self._voxels[box], dtype=np.float32)
        z, y, x = (weights[part] for weights, part in zip(self._weights, box, strict=True))
        y, in_y = _used(y)
        x, in_x = _used(x)
        resampled = np.empty((len(z), len(y), len(x)), dtype=np.float32)
        for start in range(0, len(z), SLAB):
            rows, in_z = _used(z[start : start + SLAB])
            planes = torch.from_numpy(np.array(self._voxels[in_z, in_y, in_x], dtype=np.float32))
            for axis, weights in ((2, x), (1, y), (0, rows)):
                planes = _weighted(planes, weights, axis)
            resampled[start : start + SLAB] = planes.numpy()
        return resampled

    def sample(self, n_voxels: int) -> Float32s:
        """About `n_voxels` voxels on a regular lattice of the grid."""
        step = max(1, int((math.prod(self.shape) / n_voxels) ** (1 / 3)))
        return self[::step, ::step, ::step]


def _used(weights: Float32s) -> tuple[Float32s, slice]:
    """Columns that weigh anything, and where they are."""
    columns = np.flatnonzero(weights.any(axis=0))
    used = slice(int(columns[0]), int(columns[-1]) + 1)
    return weights[:, used], used


def _weighted(planes: Tensor, weights: Float32s, axis: int) -> Tensor:
    """`planes` (z, y, x) with one axis replaced by its weighted sums.

    The weights are a narrow band about the diagonal: taken a few rows at a time, most zeros are
    never multiplied.
    """
    parts = []
    for start in range(0, len(weights), ROWS):
        rows, used = _used(weights[start : start + ROWS])
        along = planes.narrow(axis, used.start, used.stop - used.start)
        mixed = torch.tensordot(torch.from_numpy(rows), along, dims=([1], [axis]))
        parts.append(mixed.movedim(0, axis))
    return torch.cat(parts, dim=axis)


def resample(
    voxels: Volume, ratio: float, *, dtype: type[np.floating] = np.float32
) -> NDArray[np.floating]:
    """Volume (z, y, x) at `ratio` times the voxel size; beyond it, memory holds one slab."""
    view = ResampledVolume(voxels, ratio)
    resampled = np.empty(view.shape, dtype=dtype)
    everything = slice(None)
    for start in range(0, view.shape[0], SLAB):
        slab = slice(start, start + SLAB)
        resampled[slab] = view[slab, everything, everything]
    return resampled


def nearest_index(n_out: int, ratio: float, n_in: int) -> Ints:
    """Input index (n_out,) nearest to each output sample at `ratio` = out / in voxel size."""
    nearest: Ints = np.rint(np.arange(n_out) * ratio).astype(np.int64)
    return np.asarray(np.minimum(nearest, n_in - 1))


def resample_nearest(volume: AnyArray, shape: tuple[int, int, int], ratio: float) -> AnyArray:
    """Labels or ids on another grid of `shape`, `ratio` = out / in voxel size, by nearest voxel."""
    z, y, x = (nearest_index(shape[axis], ratio, volume.shape[axis]) for axis in range(3))
    return volume[np.ix_(z, y, x)]


def box_around(
    voxels: Float32s, low: Ints, side: int, fill: float | None = None
) -> tuple[Float32s, float]:
    """A cube (z, y, x) from `low` on, and the share of it that the volume holds.

    What lies outside is filled with `fill`, or with the mean of what lies inside.
    """
    start = np.clip(low, 0, voxels.shape)
    stop = np.clip(low + side, 0, voxels.shape)
    inside = voxels[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))]
    if fill is None:
        fill = float(inside.mean()) if inside.size else 0.0
    box = np.full((side,) * 3, fill, dtype=np.float32)
    box[tuple(slice(a, b) for a, b in zip(start - low, stop - low, strict=True))] = inside
    return box, inside.size / side**3
