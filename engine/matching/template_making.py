"""From the density of a structure to a template: sampling, resolution, centre, hand, box, mask."""

import logging
import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from engine.data.arrays import Float32s, Float64s
from engine.data.provenance import Provenance
from engine.data.template import Template
from engine.data.tomogram import Contrast
from engine.errors import BadInputError
from engine.matching.template_masks import (
    EDGE_VOX,
    MARGIN_VOX,
    density_mask,
    soft_sphere,
    sphere_around,
)
from engine.matching.template_resampling import (
    Axis,
    boxed,
    low_pass,
    mirrored,
    resample,
    smallest_box_vox,
)
from engine.matching.template_structure import Structure, find_structure
from engine.matching.template_symmetry import require_symmetry, symmetry_generators

logger = logging.getLogger(__name__)

MaskKind = Literal["sphere", "density"]

# Beyond the structure in the box in which it is centred and measured.
WORKING_MARGIN_VOX = 8.0
# The structure is located at the new sampling, but in at least this many voxels a side.
LOCATING_BOX_VOX = 96
CENTRED_WITHIN_VOX = 0.002
CENTRING_ROUNDS = 4
DILATION_VOX = 1.0
LARGEST_BOX_VOX = 512


@dataclass(frozen=True)
class TemplateParams:
    """What a template is to be.

    Attributes
    ----------
    voxel_size_angst
        Of the tomograms it will be matched to.
    resolution_angst
        Of the low-pass filter; None for none beyond what the voxel size demands.
    box_vox
        None for the smallest box that holds the structure, its mask and is fast to transform.
    mask_radius_angst
        Of a spherical mask, without its edge; None to take it from the density.
    mirror_axis
        The map is mirrored along it; None keeps the hand.
    contrast
        Of protein in the source; None decides by the density.
    mass_kda
        None where it is not known.
    centre
        Whether the centre of mass is brought to the box centre.
    """

    voxel_size_angst: float
    resolution_angst: float | None = None
    box_vox: int | None = None
    symmetry: str = "C1"
    mask: MaskKind = "sphere"
    mask_radius_angst: float | None = None
    mirror_axis: Axis | None = None
    contrast: Contrast | None = None
    mass_kda: float | None = None
    centre: bool = True

    def __post_init__(self) -> None:
        for name in ("voxel_size_angst", "resolution_angst", "mask_radius_angst", "mass_kda"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                option = name.replace("_", "-")
                raise BadInputError(f"expected a positive --{option}, found {value:g}; correct it")
        symmetry_generators(self.symmetry)
        finest_angst = 2.0 * self.voxel_size_angst
        if self.resolution_angst is not None and self.resolution_angst < finest_angst * (1 - 1e-6):
            raise BadInputError(
                f"expected a resolution of at least two voxels, {finest_angst:g} Å, found "
                f"{self.resolution_angst:g} Å; take a smaller voxel or a lower resolution"
            )
        if self.box_vox is not None and not 4 <= self.box_vox <= LARGEST_BOX_VOX:
            raise BadInputError(
                f"expected a box of 4 to {LARGEST_BOX_VOX} voxels, found {self.box_vox}; "
                "correct --box"
            )
        if self.mask == "density" and self.mask_radius_angst is not None:
            raise BadInputError(
                "expected a mask radius with a spherical mask, found a mask from the density; "
                "leave --mask-radius-angst out"
            )

    def for_model(self, mass_kda: float) -> "TemplateParams":
        """What an atomic model settles: protein bright, two voxels' resolution, the mass."""
        return replace(
            self,
            contrast="bright",
            resolution_angst=self.resolution_angst or 2.0 * self.voxel_size_angst,
            mass_kda=self.mass_kda or mass_kda,
        )


@dataclass(frozen=True)
class MadeTemplate:
    """A template and the sign that was taken for its source."""

    template: Template
    source_contrast: Contrast


def make_template(
    voxels: Float32s,
    source_voxel_size_angst: float,
    params: TemplateParams,
    *,
    template_id: str,
    source: str,
    provenance: Provenance,
) -> MadeTemplate:
    """Make a template from the density of one structure.

    Parameters
    ----------
    voxels
        (z, y, x), any box, background and sign.

    Raises
    ------
    BadInputError
        Nothing stands out of the background, the box or the mask does not fit, or the map lacks
        the symmetry.
    """
    located = _located(voxels, params, source_voxel_size_angst)
    if located is None:
        raise BadInputError(
            f"{template_id}: expected a structure that stands out of its surroundings, found none; "
            "give another map, or the other --contrast"
        )
    logger.info("%s: protein taken as %s in the source", template_id, located.contrast)
    working = _centred(located, params, source_voxel_size_angst, template_id)
    radius_vox = working.radius_vox()
    box_vox = _box_vox(radius_vox, params, template_id)
    template = Template(
        template_id=template_id,
        voxels=_finish(np.asarray(working.density), box_vox, params),
        mask=_mask(working, radius_vox, box_vox, params),
        voxel_size_angst=params.voxel_size_angst,
        symmetry=params.symmetry,
        radius_angst=radius_vox * params.voxel_size_angst,
        mass_kda=params.mass_kda,
        hand="mirrored" if params.mirror_axis else "as_given",
        resolution_angst=params.resolution_angst,
        source=source,
        provenance=provenance,
    )
    require_symmetry(template.voxels, template.mask, template.symmetry, template_id)
    return MadeTemplate(template, located.contrast)


@dataclass(frozen=True)
class _Located:
    """A structure in its source: bright on background 0, centre and radius in voxels there."""

    density: Float32s
    contrast: Contrast
    centre_vox: Float64s
    radius_vox: float


def _located(
    voxels: Float32s, params: TemplateParams, source_voxel_size_angst: float
) -> _Located | None:
    """Find the structure at no finer sampling than it takes; None where nothing stands out."""
    ratio = params.voxel_size_angst / source_voxel_size_angst
    step = min(ratio, max(voxels.shape) / LOCATING_BOX_VOX)
    step = step if step >= 1.5 else 1.0
    coarse = voxels if step == 1.0 else resample(voxels, step)
    found = find_structure(coarse, params.contrast)
    if not found.stands_out or not found.mass.any():
        return None
    coarse_middle = np.array([n // 2 for n in coarse.shape], dtype=np.float64)
    coarse_centre = found.mass_centre_vox() if params.centre else coarse_middle
    sign = -1.0 if found.contrast == "dark" else 1.0
    middle = np.array([n // 2 for n in voxels.shape], dtype=np.float64)
    return _Located(
        density=(voxels - np.float32(found.background)) * np.float32(sign),
        contrast=found.contrast,
        centre_vox=middle + (coarse_centre - coarse_middle) * step,
        radius_vox=found.radius_vox(coarse_centre) * step,
    )


def _box_vox(radius_vox: float, params: TemplateParams, template_id: str) -> int:
    """The box asked for, or the smallest that holds structure and mask."""
    smallest_vox = 2 * math.ceil(radius_vox)
    if smallest_vox > LARGEST_BOX_VOX:
        raise BadInputError(
            f"{template_id}: expected a structure that fits {LARGEST_BOX_VOX} voxels a side, found "
            f"one that needs {smallest_vox} of {params.voxel_size_angst:g} Å; take a larger "
            "--voxel-size-angst"
        )
    if params.box_vox is not None and params.box_vox < smallest_vox:
        raise BadInputError(
            f"{template_id}: expected a box of at least {smallest_vox} voxels for a structure of "
            f"radius {radius_vox * params.voxel_size_angst:.0f} Å, found {params.box_vox}; take a "
            "larger --box"
        )
    mask_reach_vox = radius_vox + MARGIN_VOX + EDGE_VOX
    if params.mask_radius_angst is not None:
        mask_reach_vox = params.mask_radius_angst / params.voxel_size_angst + EDGE_VOX
    fitting_vox = smallest_box_vox(max(mask_reach_vox, radius_vox))
    return params.box_vox or min(fitting_vox, LARGEST_BOX_VOX)


def _centred(
    located: _Located, params: TemplateParams, source_voxel_size_angst: float, template_id: str
) -> Structure:
    """The structure at the new sampling in a roomy box; one interpolation from the source."""
    ratio = params.voxel_size_angst / source_voxel_size_angst
    centre = located.centre_vox
    radius_vox = located.radius_vox / ratio
    _box_vox(radius_vox, replace(params, box_vox=None), template_id)
    box_vox = smallest_box_vox(radius_vox + WORKING_MARGIN_VOX)
    for _ in range(CENTRING_ROUNDS):
        density = resample(located.density, ratio, centre_vox=centre, box_vox=box_vox)
        if params.resolution_angst is not None:
            density = low_pass(density, params.voxel_size_angst, params.resolution_angst)
        structure = find_structure(density, "bright")
        offset = structure.mass_centre_vox() - box_vox // 2
        if not params.centre or np.abs(offset).max() < CENTRED_WITHIN_VOX:
            break
        centre = centre + offset * ratio
    return structure


def _finish(voxels: Float32s, box_vox: int, params: TemplateParams) -> Float32s:
    cut = boxed(voxels, box_vox)
    return mirrored(cut, params.mirror_axis) if params.mirror_axis else cut


def _mask(working: Structure, radius_vox: float, box_vox: int, params: TemplateParams) -> Float32s:
    if params.mask == "density":
        inside = _finish((working.mass > 0).astype(np.float32), box_vox, params)
        return density_mask(inside > 0.5, DILATION_VOX)
    if params.mask_radius_angst is not None:
        return soft_sphere(box_vox, params.mask_radius_angst / params.voxel_size_angst)
    return sphere_around(box_vox, radius_vox)
