"""A reconstructed volume with what its header and its user say about it."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from engine.data.arrays import Float32s, read_only
from engine.data.provenance import Provenance
from engine.errors import BadInputError

Contrast = Literal["dark", "bright"]


@dataclass(frozen=True)
class TiltRange:
    """Smallest and largest tilt, degrees, tilt axis along y."""

    min_deg: float
    max_deg: float

    def __post_init__(self) -> None:
        if not -90.0 <= self.min_deg < self.max_deg <= 90.0:
            raise BadInputError(
                f"tilt range must lie within -90..90 degrees with minimum below maximum; "
                f"found {self.min_deg:g}..{self.max_deg:g}"
            )

    def tilts_deg(self, step_deg: float) -> tuple[float, ...]:
        """Tilts from end to end, evenly spaced by about `step_deg`."""
        count = round((self.max_deg - self.min_deg) / step_deg)
        angles = np.linspace(self.min_deg, self.max_deg, count + 1)
        return tuple(float(angle) for angle in angles)


@dataclass(frozen=True)
class Tomogram:
    """A tomogram, protein bright.

    Attributes
    ----------
    tomogram_id
        Short name, usually the file's stem.
    voxels
        float32 (z, y, x), read-only, finite, protein **bright** (the reader flips).
    voxel_size_angst
        Isotropic sampling.
    tilt_range
        None where it is not known.
    recorded_contrast
        Sign of the contrast in the file before the reader flipped it.
    """

    tomogram_id: str
    voxels: Float32s
    voxel_size_angst: float
    tilt_range: TiltRange | None
    recorded_contrast: Contrast
    provenance: Provenance

    def __post_init__(self) -> None:
        if self.voxels.ndim != 3 or min(self.voxels.shape) < 1:
            raise BadInputError(
                f"{self.tomogram_id}: expected a 3-D volume, found shape {self.voxels.shape}"
            )
        if not (np.isfinite(self.voxel_size_angst) and self.voxel_size_angst > 0):
            raise BadInputError(
                f"{self.tomogram_id}: voxel size must be positive, found {self.voxel_size_angst}"
            )
        object.__setattr__(self, "voxels", read_only(self.voxels.astype(np.float32, copy=False)))

    @property
    def size_nm(self) -> tuple[float, float, float]:
        """Extent (z, y, x) in nanometre."""
        z, y, x = (n * self.voxel_size_angst / 10.0 for n in self.voxels.shape)
        return z, y, x
