"""Volumes brought to another voxel size, aligned at the centre of voxel (0, 0, 0)."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from engine.data.arrays import AnyArray, Float32s, Ints

OnProgress = Callable[[float], None]


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


def resample(
    voxels: AnyArray,
    ratio: float,
    *,
    dtype: type[np.floating] = np.float32,
    slab: int = 16,
    on_progress: OnProgress | None = None,
) -> NDArray[np.floating]:
    """Volume (z, y, x) at `ratio` times the voxel size; streamed by slabs of sections.

    Peak memory beyond input and output is a few slabs.
    """
    n_z, n_y, n_x = voxels.shape
    if abs(ratio - 1.0) < 1e-6:
        return np.array(voxels, dtype=dtype)
    along_z = resampling_matrix(n_z, ratio)
    along_y = torch.from_numpy(resampling_matrix(n_y, ratio))
    along_x_t = torch.from_numpy(resampling_matrix(n_x, ratio)).T.contiguous()
    shape = (along_z.shape[0], along_y.shape[0], along_x_t.shape[1])
    resampled = np.empty(shape, dtype=dtype)
    for start in range(0, shape[0], slab):
        weights = along_z[start : start + slab]
        used = np.flatnonzero(weights.any(axis=0))
        first, last = int(used[0]), int(used[-1]) + 1
        planes = torch.from_numpy(np.array(voxels[first:last], dtype=np.float32))
        in_plane = torch.matmul(along_y, torch.matmul(planes, along_x_t))
        mixed = torch.tensordot(torch.from_numpy(weights[:, first:last]), in_plane, dims=1)
        resampled[start : start + slab] = mixed.numpy().astype(dtype)
        if on_progress:
            on_progress(min(1.0, (start + slab) / shape[0]))
    return resampled


def nearest_index(n_out: int, ratio: float, n_in: int) -> Ints:
    """Input index (n_out,) nearest to each output sample at `ratio` = out / in voxel size."""
    nearest: Ints = np.rint(np.arange(n_out) * ratio).astype(np.int64)
    return np.asarray(np.minimum(nearest, n_in - 1))


def resample_nearest(volume: AnyArray, shape: tuple[int, int, int], ratio: float) -> AnyArray:
    """Labels or ids on another grid of `shape`, `ratio` = out / in voxel size, by nearest voxel."""
    z, y, x = (nearest_index(shape[axis], ratio, volume.shape[axis]) for axis in range(3))
    return volume[np.ix_(z, y, x)]
