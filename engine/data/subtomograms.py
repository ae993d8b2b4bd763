"""Small volumes around particles."""

from dataclasses import dataclass, replace

import numpy as np

from engine.data.arrays import Float32s, Ints, read_only
from engine.data.provenance import Provenance
from engine.errors import BadInputError


@dataclass(frozen=True)
class SubtomogramStack:
    """Subtomograms of one box and sampling, protein bright.

    Attributes
    ----------
    voxels
        float32 (n, side, side, side), finite, centred on voxel `side // 2`; read-only.
    names
        One each, unique: a particle's in its tomogram, or a number.
    labels
        True class of each where it is known, else empty.
    """

    voxels: Float32s
    voxel_size_angst: float
    names: tuple[str, ...]
    labels: tuple[str, ...]
    provenance: Provenance

    def __post_init__(self) -> None:
        voxels = np.asarray(self.voxels, dtype=np.float32)
        if voxels.ndim != 4 or len(set(voxels.shape[1:])) > 1:
            raise BadInputError(
                f"expected cubic subtomograms (n, side, side, side), found {voxels.shape}"
            )
        n = len(voxels)
        if len(self.names) != n or len(self.labels) != n:
            raise BadInputError(
                f"{n} subtomograms have {len(self.names)} names and {len(self.labels)} labels"
            )
        if len(set(self.names)) != n:
            raise BadInputError("subtomograms must have names of their own: some are the same")
        finite = np.isfinite(voxels).all(axis=(1, 2, 3))
        if not finite.all():
            first = self.names[int(np.flatnonzero(~finite)[0])]
            raise BadInputError(
                f"{int((~finite).sum())} of {n} subtomograms hold NaN or infinite voxels (first "
                f"{first}); mend or leave them out"
            )
        if not (np.isfinite(self.voxel_size_angst) and self.voxel_size_angst > 0):
            raise BadInputError(f"expected a positive voxel size, found {self.voxel_size_angst}")
        object.__setattr__(self, "voxels", read_only(voxels))

    def __len__(self) -> int:
        return len(self.voxels)

    def take(self, chosen: slice | Ints) -> "SubtomogramStack":
        """Those of a slice or an index array, in that order."""
        index = np.arange(len(self))[chosen]
        return replace(
            self,
            voxels=self.voxels[chosen],
            names=tuple(self.names[one] for one in index),
            labels=tuple(self.labels[one] for one in index),
        )

    @property
    def box_vox(self) -> int:
        """Side of a box."""
        return int(self.voxels.shape[1])
