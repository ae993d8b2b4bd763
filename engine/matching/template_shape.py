"""What of a template is molecule: its contrast, the level that bounds it, and its surface."""

from dataclasses import dataclass

import numpy as np
from skimage.filters import threshold_otsu
from skimage.measure import marching_cubes

from engine.data.arrays import Float32s, Float64s, Ints
from engine.data.template import Template
from engine.errors import BadInputError

# Partial specific volume of protein, 0.73 cm3/g (Quillin & Matthews 2000,
# doi:10.1107/S090744490000679X).
ANGST3_PER_KDA = 1212.0
FEWEST_VOXELS = 8
MOST_TRIANGLES = 20_000


@dataclass(frozen=True)
class TemplateShape:
    """A template as it is put into an atlas.

    Attributes
    ----------
    contrast
        float32 (n, n, n), centre n // 2: times the soft mask, 0 in solvent, mean 1 in the shape.
    level
        Contrast above which a voxel belongs to the shape.
    """

    template_id: str
    contrast: Float32s
    level: float
    voxel_size_angst: float

    @property
    def reach_vox(self) -> float:
        """From the centre to the farthest voxel that is not 0."""
        places = np.argwhere(np.abs(self.contrast) > 1e-3) - self.contrast.shape[0] // 2
        return float(np.sqrt((places**2).sum(axis=1).max()))


@dataclass(frozen=True)
class SurfaceMesh:
    """Triangles around a shape, seen from outside counter-clockwise.

    Attributes
    ----------
    vertices_nm
        float32 (v, 3), (x, y, z) from the template's centre.
    normals
        float32 (v, 3), unit, outwards.
    triangles
        uint32 (t, 3).
    """

    vertices_nm: Float32s
    normals: Float32s
    triangles: np.ndarray


def template_shape(template: Template) -> TemplateShape:
    """Scale a template to unit contrast and find its level.

    The level encloses the volume of the template's mass where that is known, otherwise it is
    Otsu's between solvent and molecule within the mask. Solvent is the median of what lies below.

    Raises
    ------
    BadInputError
        Nothing of the template is brighter than its surroundings.
    """
    voxels = template.voxels.astype(np.float64)
    level = _level(template)
    below, shape = voxels[voxels <= level], (voxels > level) & (template.mask > 0)
    solvent = float(np.median(below)) if len(below) else 0.0
    if not shape.any() or not (scale := float(voxels[shape].mean()) - solvent) > 0:
        raise BadInputError(
            f"{template.template_id}: expected a template brighter than its surroundings, found "
            "none; give a map with protein bright"
        )
    contrast = template.mask * (voxels - solvent) / scale
    return TemplateShape(
        template_id=template.template_id,
        contrast=contrast.astype(np.float32),
        level=(level - solvent) / scale,
        voxel_size_angst=template.voxel_size_angst,
    )


def _level(template: Template) -> float:
    inside = np.sort(template.voxels[template.mask > 0.5].astype(np.float64))[::-1]
    if len(inside) < FEWEST_VOXELS:
        inside = np.sort(template.voxels.astype(np.float64).ravel())[::-1]
    if template.mass_kda is not None:
        n_vox = round(template.mass_kda * ANGST3_PER_KDA / template.voxel_size_angst**3)
        if FEWEST_VOXELS <= n_vox < len(inside) and inside[n_vox] < inside[0]:
            return float(inside[n_vox])
    return float(threshold_otsu(inside))  # type: ignore[no-untyped-call]


def surface_mesh(shape: TemplateShape, most_triangles: int = MOST_TRIANGLES) -> SurfaceMesh:
    """Surface of a shape by marching cubes, sampled coarser until it is small enough.

    Lewiner et al. (2003), doi:10.1080/10867651.2003.10487582.
    """
    voxels = shape.contrast.astype(np.float64)
    for step in range(1, max(2, shape.contrast.shape[0] // 4)):
        # A rim of solvent closes a surface that reaches the box's faces.
        rim = 2 * step
        places, triangles, _, _ = marching_cubes(  # type: ignore[no-untyped-call]
            np.pad(voxels, rim), shape.level, step_size=step, allow_degenerate=False
        )
        if len(triangles) <= most_triangles:
            break
    offsets_xyz = (places - rim - voxels.shape[0] // 2)[:, ::-1] * shape.voxel_size_angst / 10.0
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
