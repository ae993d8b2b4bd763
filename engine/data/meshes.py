"""Closed surfaces of triangles."""

from dataclasses import dataclass

import numpy as np
from skimage.measure import marching_cubes

from engine.data.arrays import AnyArray, Float32s, Float64s, Ints

MOST_TRIANGLES = 20_000


@dataclass(frozen=True)
class SurfaceMesh:
    """Triangles around a shape, seen from outside counter-clockwise.

    Attributes
    ----------
    vertices_nm
        float32 (v, 3), (x, y, z).
    normals
        float32 (v, 3), unit, outwards.
    triangles
        uint32 (t, 3).
    """

    vertices_nm: Float32s
    normals: Float32s
    triangles: np.ndarray


def mesh_at_level(
    values: AnyArray,
    level: float,
    *,
    voxel_size_nm: float,
    centre_vox: tuple[float, float, float],
    most_triangles: int = MOST_TRIANGLES,
) -> SurfaceMesh:
    """Surface of a volume by marching cubes, sampled coarser until it is small enough.

    Lewiner et al. (2003), doi:10.1080/10867651.2003.10487582.

    Parameters
    ----------
    values
        (z, y, x); 0 beyond its faces, which closes a surface that reaches them.
    centre_vox
        (z, y, x) of the place that becomes (0, 0, 0).
    """
    for step in range(1, max(2, min(values.shape) // 4)):
        rim = 2 * step
        places, triangles, _, _ = marching_cubes(  # type: ignore[no-untyped-call]
            np.pad(values.astype(np.float64), rim), level, step_size=step, allow_degenerate=False
        )
        if len(triangles) <= most_triangles:
            break
    offsets_xyz = (places - rim - np.array(centre_vox))[:, ::-1] * voxel_size_nm
    triangles = _outwards(offsets_xyz, triangles)
    return SurfaceMesh(
        vertices_nm=np.ascontiguousarray(offsets_xyz, dtype=np.float32),
        normals=_normals(offsets_xyz, triangles).astype(np.float32),
        triangles=np.ascontiguousarray(triangles, dtype=np.uint32),
    )


def _outwards(vertices: Float64s, triangles: Ints) -> Ints:
    a, b, c = (vertices[triangles[:, i]] for i in range(3))
    signed_volume = np.einsum("ij,ij->i", a, np.cross(b, c)).sum()
    return triangles if signed_volume > 0 else triangles[:, ::-1]


def _normals(vertices: Float64s, triangles: Ints) -> Float64s:
    """Means of the triangles at each vertex, weighted by area."""
    a, b, c = (vertices[triangles[:, i]] for i in range(3))
    across = np.cross(b - a, c - a)
    sums = np.zeros_like(vertices)
    for corner in range(3):
        np.add.at(sums, triangles[:, corner], across)
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    up = np.array([0.0, 0.0, 1.0])
    return np.where(lengths > 0, sums / np.where(lengths > 0, lengths, 1.0), up)
