"""Shape of bodies from masks on a grid whose voxels need not be cubes."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import ndimage
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree
from skimage.measure import marching_cubes, mesh_surface_area
from skimage.morphology import skeletonize

from engine.data.arrays import Bools, Float32s, Float64s, Ints

# Faces, edges and corners join voxels.
TOUCHING = np.ones((3, 3, 3))
# Of the longest side of a voxel.
BLUR = 0.7
RIM_VOX = 8
# Voxels to the radius of the largest sphere inside that a middle line needs at most.
RADIUS_VOX = 12.0
SurfaceRule = Literal["smooth", "outer"]
Spacing = tuple[float, float, float]


@dataclass(frozen=True)
class BodyShape:
    """One body's morphometry.

    Attributes
    ----------
    volume_um3, surface_um2
        Sphericity is pi^(1/3) (6 V)^(2/3) / A (Wadell 1935, doi:10.1086/624298), at most 1.
    smallest_diameter_nm
        Of the largest sphere inside.
    length_nm
        Longest way along the middle line, from surface to surface.
    n_branches
        Places where the middle line forks.
    """

    volume_um3: float
    surface_um2: float
    sphericity: float
    smallest_diameter_nm: float
    length_nm: float
    n_branches: int


def connected_bodies(mask: Bools) -> tuple[Ints, int]:
    """Ids (z, y, x) from 1 of the 26-connected parts of a mask, and how many there are."""
    ids, n = ndimage.label(mask, structure=TOUCHING)
    return ids.astype(np.int64), int(n)


def surface_um2(mask: Bools, spacing_nm: Spacing, rule: SurfaceRule = "smooth") -> float:
    """Area of a mask's surface by marching cubes.

    Parameters
    ----------
    spacing_nm
        (z, y, x) of a voxel.
    rule
        `smooth`: level one half of the mask blurred by 0.7 of the longest side of a voxel, without
        the staircase of the voxels. `outer`: the staircase, run next to the voxels outside, as
        some published figures have it (level 1 of a mask of 0 and 255); 10 to 25 % more.
    """
    padded = np.pad(mask, RIM_VOX).astype(np.float32)
    level = 1.0 / 255.0
    if rule == "smooth":
        blurred = ndimage.gaussian_filter(
            padded, [BLUR * max(spacing_nm) / nm for nm in spacing_nm]
        )
        # A body of a voxel or two is blurred away.
        if blurred.max() > 0.5:
            padded, level = blurred, 0.5
    vertices, faces, _, _ = marching_cubes(
        padded, level=level, spacing=tuple(nm * 1e-3 for nm in spacing_nm), allow_degenerate=False
    )
    return float(mesh_surface_area(vertices, faces))


def sphericity(volume_um3: float, area_um2: float) -> float:
    """Surface of the ball of a volume over the surface it has, at most 1; 0 without a surface.

    Wadell (1935), doi:10.1086/624298.
    """
    if not area_um2 > 0:
        return 0.0
    ball_um2 = math.pi ** (1 / 3) * (6.0 * volume_um3) ** (2 / 3)
    return float(min(1.0, ball_um2 / area_um2))


def volume_share(part: Bools, whole: Bools) -> float:
    """Share of a body's volume that a part of it takes; NaN where there is no body."""
    n = int((whole | part).sum())
    return float(part.sum()) / n if n else math.nan


def nearest_distance_nm(mask: Bools, other: Bools, spacing_nm: Spacing) -> float:
    """Smallest distance between the voxels of two masks; infinity where one is empty."""
    if not (mask.any() and other.any()):
        return math.inf
    distance = ndimage.distance_transform_edt(~other, sampling=spacing_nm)
    return float(distance[mask].min())


def spacing_between_nm(outer: Bools, inner: Bools, spacing_nm: Spacing) -> Float64s:
    """Distance from each voxel of an outer sheet to the nearest of an inner one, (n,).

    Its median is the spacing of outer and inner mitochondrial membrane; voxels of cristae are
    farther from the outer membrane and are nobody's nearest.
    """
    if not inner.any():
        return np.full(int(outer.sum()), np.inf)
    distance = ndimage.distance_transform_edt(~inner, sampling=spacing_nm)
    return np.asarray(distance[outer], dtype=np.float64)


def body_shape(mask: Bools, spacing_nm: Spacing, rule: SurfaceRule = "smooth") -> BodyShape:
    """Morphometry of one body; `mask` (z, y, x) holds nothing else."""
    volume = float(mask.sum()) * math.prod(spacing_nm) * 1e-9
    area = surface_um2(mask, spacing_nm, rule)
    padded = np.pad(mask, 1)
    depth = ndimage.distance_transform_edt(padded, sampling=spacing_nm)
    radius_nm = float(depth.max())
    length, n_branches = _middle_line(mask, spacing_nm, radius_nm / RADIUS_VOX)
    return BodyShape(
        volume_um3=volume,
        surface_um2=area,
        sphericity=sphericity(volume, area),
        smallest_diameter_nm=2.0 * radius_nm - min(spacing_nm),
        length_nm=length,
        n_branches=n_branches,
    )


def _middle_line(mask: Bools, spacing_nm: Spacing, enough_nm: float) -> tuple[float, int]:
    """Length of the longest way along the skeleton with both ends reaching the surface; forks."""
    even, side_nm = _evenly_sampled(mask, spacing_nm, max(min(spacing_nm), enough_nm))
    filled = ndimage.binary_fill_holes(np.pad(even, 2))
    depth = ndimage.distance_transform_edt(filled)
    points = np.argwhere(skeletonize(filled))
    if not len(points):
        points = np.argwhere(depth == depth.max())[:1]
    way, n_branches = _longest_way(points, depth[tuple(points.T)])
    line = points[way].astype(np.float64)
    steps = np.linalg.norm(np.diff(line, axis=0), axis=1).sum()
    ends = sum(_beyond(filled, depth, one) for one in (line, line[::-1]))
    return (float(steps) + ends) * side_nm, n_branches


def _beyond(filled: Bools, depth: Float32s, line: Float64s) -> float:
    """Voxels from the last point of a line straight on to the surface: thinning ends early."""
    radius = float(depth[tuple(line[-1].astype(np.int64))])
    back = np.linalg.norm(line - line[-1], axis=1)
    far = np.flatnonzero(back >= min(radius, back.max()))
    direction = line[-1] - line[far[-1]]
    norm = float(np.linalg.norm(direction))
    if norm < 1.0:
        return radius
    reach = 0.0
    while True:
        place = tuple(np.rint(line[-1] + (reach + 0.5) * direction / norm).astype(np.int64))
        if not filled[place]:
            return reach
        reach += 0.5


def _evenly_sampled(mask: Bools, spacing_nm: Spacing, side_nm: float) -> tuple[Bools, float]:
    """The mask on cubic voxels: thinning knows no other.

    Blurred by the longest side, so that thinning does not follow the steps between sections.
    """
    blur_nm = max(side_nm, BLUR * max(spacing_nm))
    soft: Float32s = np.pad(mask, 4).astype(np.float32)
    smooth = ndimage.gaussian_filter(soft, [blur_nm / nm for nm in spacing_nm])
    step = [side_nm / nm for nm in spacing_nm]
    shape = tuple(int((n - 1) / each) + 1 for n, each in zip(soft.shape, step, strict=True))

    def sampled(values: Float32s) -> Bools:
        return np.asarray(ndimage.affine_transform(values, step, output_shape=shape, order=1) > 0.5)

    even = sampled(smooth)
    return (even if even.any() else sampled(soft)), side_nm


def _longest_way(points: Ints, depth_vox: Float64s) -> tuple[list[int], int]:
    """Points of the longest of all shortest ways, and the branches that stick out of it.

    A branch sticks out where it is longer than twice the depth at its root: shorter ones are
    corners of the surface.
    """
    pairs = cKDTree(points).query_pairs(1.8, output_type="ndarray")
    steps = np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1)
    graph = coo_matrix((steps, (pairs[:, 0], pairs[:, 1])), shape=(len(points),) * 2).tocsr()
    first = _farthest(dijkstra(graph, directed=False, indices=0))
    distance, before = dijkstra(graph, directed=False, indices=first, return_predecessors=True)
    way = _way(before, _farthest(distance))
    taken = np.zeros(len(points), dtype=bool)
    taken[way] = True
    n_branches = 0
    while not taken.all():
        away, before, roots = dijkstra(
            graph, directed=False, indices=np.flatnonzero(taken), min_only=True,
            return_predecessors=True,
        )  # fmt: skip
        sticking_out = np.where(np.isfinite(away), away - 2.0 * depth_vox[roots.clip(0)], -np.inf)
        tip = int(sticking_out.argmax())
        if not sticking_out[tip] > 0:
            break
        taken[_way(before, tip)] = True
        n_branches += 1
    return way, n_branches


def _farthest(distance: Float64s) -> int:
    return int(np.where(np.isfinite(distance), distance, -1.0).argmax())


def _way(before: Ints, end: int) -> list[int]:
    """Points from where a search started to `end`."""
    way = [end]
    while before[way[-1]] >= 0:
        way.append(int(before[way[-1]]))
    return way
