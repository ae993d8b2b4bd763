"""A known structure to look for."""

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np

from engine.data.arrays import Float32s, read_only
from engine.data.provenance import Provenance
from engine.errors import BadInputError

Hand = Literal["as_given", "mirrored"]
SYMMETRY = re.compile(r"^[CD][1-9][0-9]?$")


@dataclass(frozen=True)
class Template:
    """A density in a cubic box with the region in which it is compared.

    Attributes
    ----------
    template_id
        Short name, usually the file's stem.
    voxels
        float32 (n, n, n), protein **bright**, centred on voxel `n // 2`.
    mask
        float32, same shape, in [0, 1]: the weight of each voxel in the correlation.
    voxel_size_angst
        Isotropic sampling.
    symmetry
        `C1`, `Cn` or `Dn` about the z axis of the box (a two-fold of `Dn` lies along x).
    radius_angst
        Of the sphere around the centre that holds the structure.
    mass_kda
        None where it is not known.
    hand
        Whether the map was mirrored after reading.
    resolution_angst
        Of the low-pass filter that was applied; None where none was.
    source
        Where the map or model comes from, for people; empty where unknown.
    """

    template_id: str
    voxels: Float32s
    mask: Float32s
    voxel_size_angst: float
    symmetry: str
    radius_angst: float
    mass_kda: float | None
    hand: Hand
    resolution_angst: float | None
    source: str
    provenance: Provenance

    def __post_init__(self) -> None:
        voxels = np.asarray(self.voxels, dtype=np.float32)
        mask = np.asarray(self.mask, dtype=np.float32)
        if voxels.ndim != 3 or len(set(voxels.shape)) != 1 or mask.shape != voxels.shape:
            raise BadInputError(
                f"{self.template_id}: expected a cubic template and a mask of its shape, found "
                f"{voxels.shape} and {mask.shape}"
            )
        if not (np.isfinite(voxels).all() and np.isfinite(mask).all()):
            raise BadInputError(f"{self.template_id}: template and mask must be finite")
        if not (mask.min() >= 0.0 and mask.max() <= 1.0):
            raise BadInputError(f"{self.template_id}: mask weights must lie in [0, 1]")
        if not mask.any():
            raise BadInputError(f"{self.template_id}: the mask is empty; give one with a region")
        inside = voxels[mask > 0].astype(np.float64)
        if not inside.std() > 1e-6 * max(1e-12, float(np.abs(inside).max())):
            raise BadInputError(
                f"{self.template_id}: the template is flat inside its mask: nothing to look for"
            )
        if not SYMMETRY.match(self.symmetry):
            raise BadInputError(
                f"{self.template_id}: expected a symmetry C1, Cn or Dn, found {self.symmetry!r}"
            )
        if not (np.isfinite(self.voxel_size_angst) and self.voxel_size_angst > 0):
            raise BadInputError(
                f"{self.template_id}: voxel size must be positive, found {self.voxel_size_angst}"
            )
        object.__setattr__(self, "voxels", read_only(voxels))
        object.__setattr__(self, "mask", read_only(mask))

    @property
    def box_vox(self) -> int:
        """Side of the box."""
        return int(self.voxels.shape[0])
