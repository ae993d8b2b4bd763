"""What of a template is molecule: its contrast, the level that bounds it, and its surface."""

from dataclasses import dataclass

import numpy as np
from skimage.filters import threshold_otsu

from engine.data.arrays import Float32s
from engine.data.meshes import MOST_TRIANGLES, SurfaceMesh, mesh_at_level
from engine.data.template import Template
from engine.errors import BadInputError

# Partial specific volume of protein, 0.73 cm3/g (Quillin & Matthews 2000,
# doi:10.1107/S090744490000679X).
ANGST3_PER_KDA = 1212.0
FEWEST_VOXELS = 8


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
    """Surface of a shape around its centre, as `mesh_at_level`."""
    middle = shape.contrast.shape[0] // 2
    return mesh_at_level(
        shape.contrast,
        shape.level,
        voxel_size_nm=shape.voxel_size_angst / 10.0,
        centre_vox=(middle, middle, middle),
        most_triangles=most_triangles,
    )
