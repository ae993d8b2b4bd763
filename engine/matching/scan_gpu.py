"""The scan on a GPU as one kernel: the matrix product never leaves the chip.

Written out, the product takes 8 bytes of memory traffic a voxel and rotation; here each map is
read once for all rotations. Products are of half-precision numbers, sums of float32.
"""

import torch
from torch import Tensor

try:
    import triton
    import triton.language as tl
except ImportError:
    HAS_KERNEL = False
else:
    HAS_KERNEL = True

BLOCK_VOXELS = 128
BLOCK_ROTATIONS = 128
# Half precision ends at 65,504: larger maps are scaled down first.
LARGEST_HALF = 1e4

if HAS_KERNEL:

    @triton.jit  # type: ignore[untyped-decorator]
    def _kernel(  # type: ignore[no-untyped-def]  # noqa: ANN202
        coefficients, maps, best,  # noqa: ANN001
        n_rotations, n_voxels, row_stride,  # noqa: ANN001
        K: tl.constexpr, ROTATIONS: tl.constexpr, VOXELS: tl.constexpr,  # noqa: N803
    ):  # fmt: skip
        first = tl.program_id(0).to(tl.int64) * VOXELS
        voxels = first + tl.arange(0, VOXELS)
        k = tl.arange(0, K)
        inside = voxels < n_voxels
        columns = tl.load(
            maps + k[:, None].to(tl.int64) * row_stride + voxels[None, :],
            mask=inside[None, :], other=0.0,
        ).to(tl.float16)  # fmt: skip
        largest = tl.full((VOXELS,), float("-inf"), tl.float32)
        for start in range(0, n_rotations, ROTATIONS):
            rows = start + tl.arange(0, ROTATIONS)
            block = tl.load(coefficients + rows[:, None] * K + k[None, :])
            product = tl.dot(block, columns)
            largest = tl.maximum(largest, tl.max(product, axis=0))
        tl.store(best + voxels, largest, mask=inside)


def fused_best(coefficients: Tensor, maps: Tensor) -> Tensor:
    """Largest value over rotations of coefficients @ maps, on a CUDA device.

    Parameters
    ----------
    coefficients
        float32 (n_rotations, k).
    maps
        float32 (k, n_voxels), contiguous rows.

    Returns
    -------
    Tensor
        float32 (n_voxels,), within 1e-3 of the product in float32.
    """
    n_rotations, k = coefficients.shape
    padded_k = max(16, 1 << (k - 1).bit_length())
    n_padded = -(-n_rotations // BLOCK_ROTATIONS) * BLOCK_ROTATIONS
    scale = max(1.0, float(maps.abs().max()) / LARGEST_HALF)
    rows = torch.zeros((n_padded, padded_k), dtype=torch.float16, device=maps.device)
    rows[:n_rotations, :k] = coefficients
    # Repeated rows do not change a maximum; rows of zeros would.
    rows[n_rotations:, :k] = coefficients[0]
    if padded_k != k or scale > 1.0:
        full = torch.zeros((padded_k, maps.shape[1]), dtype=torch.float16, device=maps.device)
        full[:k] = maps / scale
        maps = full
    best = torch.empty(maps.shape[1], dtype=torch.float32, device=maps.device)
    grid = (triton.cdiv(maps.shape[1], BLOCK_VOXELS),)
    _kernel[grid](
        rows, maps, best, n_padded, maps.shape[1], maps.stride(0),
        K=padded_k, ROTATIONS=BLOCK_ROTATIONS, VOXELS=BLOCK_VOXELS,
    )  # fmt: skip
    return best * scale
