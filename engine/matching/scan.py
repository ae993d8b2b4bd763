"""Best rotation at every voxel: a matrix product with a running maximum."""

import torch
from torch import Tensor

from engine.matching.scan_gpu import HAS_KERNEL, fused_best
from engine.matching.transforms import torch_threads, workers

# The product of a block stays in the second-level cache (1 MB a core on common machines).
ROTATION_BLOCK, VOXEL_BLOCK = 512, 1024
# A wider basis does not fit the chip's shared memory.
LARGEST_FUSED = 256


def best_over_rotations(coefficients: Tensor, maps: Tensor, rows: Tensor) -> Tensor:
    """Largest value over rotations of coefficients @ maps, without keeping the product.

    Parameters
    ----------
    coefficients
        float32 (n_rotations, k).
    maps
        float32 (K, n_voxels), one correlation map a row; may be strided.
    rows
        int64 (k,): the maps that the coefficients belong to.

    Returns
    -------
    Tensor
        float32 (n_voxels,). No index: keeping the best rotation costs 2-4 times more, and the
        few voxels that matter are searched again.
    """
    n_voxels = maps.shape[1]
    best = torch.full((n_voxels,), -torch.inf, dtype=torch.float32, device=maps.device)
    if maps.device.type == "cuda":
        return _on_gpu(coefficients, maps, rows, best)
    with torch_threads(workers()):
        _on_cpu(coefficients, maps, rows, best)
    return best


def _on_cpu(coefficients: Tensor, maps: Tensor, rows: Tensor, best: Tensor) -> None:
    block = torch.empty((ROTATION_BLOCK, VOXEL_BLOCK), dtype=torch.float32)
    for start in range(0, maps.shape[1], VOXEL_BLOCK):
        columns = maps[:, start : start + VOXEL_BLOCK].index_select(0, rows)
        here = best[start : start + VOXEL_BLOCK]
        for first in range(0, len(coefficients), ROTATION_BLOCK):
            some = coefficients[first : first + ROTATION_BLOCK]
            product = block[: len(some)]
            if columns.shape[1] == VOXEL_BLOCK:
                torch.mm(some, columns, out=product)
            else:
                product = torch.mm(some, columns)
            torch.maximum(here, product.amax(dim=0), out=here)


def _on_gpu(coefficients: Tensor, maps: Tensor, rows: Tensor, best: Tensor) -> Tensor:
    if HAS_KERNEL and len(rows) <= LARGEST_FUSED:
        return fused_best(coefficients, maps.index_select(0, rows))
    # Large blocks: a launch costs more than the memory that a block takes.
    step = max(1, (1 << 28) // max(1, len(coefficients)))
    for start in range(0, maps.shape[1], step):
        product = coefficients @ maps[:, start : start + step].index_select(0, rows)
        best[start : start + step] = product.amax(dim=0)
    return best
