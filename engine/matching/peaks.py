"""Peaks of a score volume that do not overlap."""

import numpy as np
import torch
from scipy.spatial import cKDTree

from engine.data.arrays import Float32s, Float64s, Ints

SLAB_VOXELS = 20_000_000
LOWEST_SIGMA = 2.0


def local_maxima(scores: Float32s, above: float) -> tuple[Ints, Float64s]:
    """Voxels that are the largest of their 27 neighbours and exceed a score.

    Returns
    -------
    positions, scores
        int (n, 3), (z, y, x), and float64 (n,), best first (ties by position).
    """
    n_z, n_y, n_x = scores.shape
    step = max(1, SLAB_VOXELS // (n_y * n_x))
    found, values = [], []
    for start in range(0, n_z, step):
        low, high = max(0, start - 1), min(n_z, start + step + 1)
        slab = torch.from_numpy(np.array(scores[low:high]))[None, None]
        largest = torch.nn.functional.max_pool3d(slab, 3, stride=1, padding=1)
        inner = slice(start - low, start - low + min(step, n_z - start))
        here = slab[0, 0, inner]
        places = torch.nonzero((here == largest[0, 0, inner]) & (here > above)).numpy()
        values.append(here.numpy()[tuple(places.T)].astype(np.float64))
        found.append(places + np.array([start, 0, 0]))
    positions, heights = np.concatenate(found), np.concatenate(values)
    order = np.lexsort((*positions.T[::-1], -heights))
    return positions[order], heights[order]


def without_overlap(positions: Float64s | Ints, radius: float) -> Ints:
    """Indices of points, taken best first, none nearer than `radius` to a better one.

    Parameters
    ----------
    positions
        (n, 3), best first.
    """
    if not len(positions):
        return np.empty(0, dtype=np.int64)
    tree = cKDTree(np.asarray(positions, dtype=np.float64))
    blocked = np.zeros(len(positions), dtype=bool)
    kept = []
    for index, position in enumerate(np.asarray(positions, dtype=np.float64)):
        if blocked[index]:
            continue
        kept.append(index)
        blocked[tree.query_ball_point(position, radius * (1.0 - 1e-9))] = True
    return np.array(kept, dtype=np.int64)


def score_peaks(scores: Float32s, sigma: float, radius_vox: float) -> tuple[Ints, Float64s]:
    """Separate peaks of a score volume, best first: positions (n, 3) and scores (n,).

    From `LOWEST_SIGMA` on: far below any threshold.
    """
    positions, heights = local_maxima(scores, LOWEST_SIGMA * sigma)
    kept = without_overlap(positions, radius_vox)
    return positions[kept], heights[kept]
