"""A template as it is correlated, and how a volume is turned."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

from engine.data.arrays import Float32s, Float64s
from engine.data.template import Template


@dataclass(frozen=True)
class MaskedTemplate:
    """What is correlated: the mean-free template times its mask, and the mask's sphere.

    Attributes
    ----------
    voxels
        float32 (n, n, n), sum 0, unit norm, centre n // 2.
    mask
        float32 (n, n, n) weights of the local mean and variance.
    support_radius_vox
        Beyond it everything is 0.
    soft_ratio
        sqrt(sum m T'^2) / ||m T'||, 1 for a hard mask: brings the score to Roseman's norm.
    """

    template: Template
    voxels: Float32s
    mask: Float32s
    support_radius_vox: float
    soft_ratio: float

    @property
    def white_sigma(self) -> float:
        """Deviation of the score in white noise, but for a factor that all templates share.

        Scores over it are comparable between templates with masks of different size.
        """
        return 1.0 / (self.soft_ratio * float(np.sqrt(self.mask.sum(dtype=np.float64))))


def masked_template(template: Template) -> MaskedTemplate:
    """Mean-free under the mask, times the mask, unit norm."""
    mask = template.mask.astype(np.float64)
    density = template.voxels.astype(np.float64)
    free = density - (mask * density).sum() / mask.sum()
    weighted = mask * free
    norm = float(np.sqrt((weighted**2).sum()))
    return MaskedTemplate(
        template=template,
        voxels=(weighted / norm).astype(np.float32),
        mask=template.mask,
        support_radius_vox=_support_radius_vox(template.mask),
        soft_ratio=float(np.sqrt((mask * free**2).sum())) / norm,
    )


def _support_radius_vox(mask: Float32s) -> float:
    centre = mask.shape[0] // 2
    places = np.argwhere(mask > 1e-3) - centre
    return float(np.sqrt((places**2).sum(axis=1).max()))


def voxel_offsets_xyz(box_vox: int) -> Float64s:
    """Offsets (box^3, 3) of the voxels of a box from its centre, (x, y, z)."""
    axis = np.arange(box_vox) - box_vox // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    return np.stack([x.ravel(), y.ravel(), z.ravel()], axis=1).astype(np.float64)


def rotate_volume(filtered: Float64s, rotation: Rotation, offsets_xyz: Float64s) -> Float64s:
    """Values (n,) of a rotated volume at offsets from its centre.

    Parameters
    ----------
    filtered
        Spline coefficients of the volume (`scipy.ndimage.spline_filter`, order 3).
    rotation
        Carries the reference onto the rotated copy.
    """
    back_xyz = rotation.inv().apply(offsets_xyz)
    centre = filtered.shape[0] // 2
    values: Float64s = map_coordinates(
        filtered, back_xyz[:, ::-1].T + centre, order=3, mode="constant", prefilter=False
    )
    return values
