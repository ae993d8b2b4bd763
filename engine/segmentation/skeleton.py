"""Thin lines from a mask: skeleton voxels as a graph, cut into unbranched paths."""

import numpy as np
from scipy import ndimage
from skimage.morphology import skeletonize

from engine.data.arrays import Bools, Float64s, Ints

NEIGHBOURS = np.array([offset for offset in np.ndindex(3, 3, 3) if offset != (1, 1, 1)]) - 1


def skeleton_paths(mask: Bools, shortest_spur_vox: float) -> list[Float64s]:
    """Unbranched paths (n, 3) of voxel positions along the middle of a mask.

    The mask is filled and smoothed first: one hole in a tube makes thinning return a shell. Spurs
    and bridges shorter than `shortest_spur_vox` that meet a junction are dropped, and what they
    split is joined again.
    """
    filled = ndimage.binary_fill_holes(mask)
    smooth = ndimage.gaussian_filter(np.pad(filled.astype(np.float32), 4, mode="edge"), 1.0) > 0.5
    thin = skeletonize(smooth)[4:-4, 4:-4, 4:-4]
    points = np.argwhere(thin)
    if len(points) == 0:
        return []
    neighbours = _neighbour_lists(points)
    for _ in range(3):
        paths, ends_at_junction = _trace(points, neighbours)
        spurs = [
            index
            for index, path in enumerate(paths)
            if any(ends_at_junction[index]) and _length(points[path]) < shortest_spur_vox
        ]
        if not spurs:
            break
        dropped = {voxel for index in spurs for voxel in _interior(paths[index], neighbours)}
        neighbours = {
            voxel: [other for other in others if other not in dropped]
            for voxel, others in neighbours.items()
            if voxel not in dropped
        }
    paths, _ = _trace(points, neighbours)
    return [points[path].astype(np.float64) for path in paths if len(path) >= 2]


def _neighbour_lists(points: Ints) -> dict[int, list[int]]:
    index_of = {tuple(point): index for index, point in enumerate(points.tolist())}
    lists: dict[int, list[int]] = {}
    for index, point in enumerate(points):
        around = (tuple(candidate) for candidate in (point + NEIGHBOURS).tolist())
        lists[index] = [index_of[candidate] for candidate in around if candidate in index_of]
    return lists


def _trace(
    points: Ints, neighbours: dict[int, list[int]]
) -> tuple[list[list[int]], list[tuple[bool, bool]]]:
    """Paths between voxels that do not have exactly two neighbours, and whether ends branch."""
    special = {voxel for voxel, others in neighbours.items() if len(others) != 2}
    visited: set[tuple[int, int]] = set()
    paths, branching = [], []
    for start in sorted(special):
        for following in neighbours[start]:
            if (start, following) in visited:
                continue
            path = [start, following]
            while path[-1] not in special:
                ahead = [voxel for voxel in neighbours[path[-1]] if voxel != path[-2]]
                path.append(ahead[0])
            visited |= {(path[0], path[1]), (path[-1], path[-2])}
            paths.append(path)
            branching.append((len(neighbours[path[0]]) > 2, len(neighbours[path[-1]]) > 2))
    on_path = {voxel for path in paths for voxel in path}
    paths += _loops(neighbours, on_path)
    branching += [(False, False)] * (len(paths) - len(branching))
    return paths, branching


def _loops(neighbours: dict[int, list[int]], on_path: set[int]) -> list[list[int]]:
    """Closed rings, cut open where their lowest voxel lies."""
    loops = []
    left = {voxel for voxel in neighbours if voxel not in on_path and neighbours[voxel]}
    while left:
        path = [min(left)]
        while True:
            ahead = [voxel for voxel in neighbours[path[-1]] if voxel in left and voxel not in path]
            if not ahead:
                break
            path.append(ahead[0])
        left -= set(path)
        loops.append(path)
    return loops


def _interior(path: list[int], neighbours: dict[int, list[int]]) -> list[int]:
    return [voxel for voxel in path if len(neighbours[voxel]) <= 2]


def _length(points: Ints) -> float:
    return float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())
