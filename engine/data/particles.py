"""Picks and refined particles: where, how turned, how sure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from scipy.spatial.transform import Rotation

from engine.data.arrays import Float64s, read_only
from engine.errors import BadInputError


@dataclass(frozen=True)
class ParticleSet:
    """Particles of one or several tomograms.

    Attributes
    ----------
    positions_angst
        float64 (n, 3), (z, y, x), from the centre of voxel (0, 0, 0).
    rotations
        n rotations that carry the reference onto the particle, acting on (x, y, z).
    tomogram_ids, class_names
        One a particle; the class is the template's id for picks.
    figures
        Named float64 columns of length n: `score`, `p_value`, `q_value`, `probability`, ...;
        NaN where a figure is absent.
    """

    positions_angst: Float64s
    rotations: Rotation
    tomogram_ids: tuple[str, ...]
    class_names: tuple[str, ...]
    figures: Mapping[str, Float64s] = field(default_factory=dict)

    def __post_init__(self) -> None:
        positions = np.asarray(self.positions_angst, dtype=np.float64).reshape(-1, 3)
        n = len(positions)
        if not np.isfinite(positions).all():
            raise BadInputError("particle positions must be finite")
        lengths = {
            "rotations": len(self.rotations),
            "tomogram_ids": len(self.tomogram_ids),
            "class_names": len(self.class_names),
            **{name: len(values) for name, values in self.figures.items()},
        }
        wrong = {name: length for name, length in lengths.items() if length != n}
        if wrong:
            raise BadInputError(f"a set of {n} particles has columns of other lengths: {wrong}")
        object.__setattr__(self, "positions_angst", read_only(positions))
        figures = {
            name: read_only(np.asarray(values, dtype=np.float64))
            for name, values in self.figures.items()
        }
        object.__setattr__(self, "figures", MappingProxyType(figures))

    def __len__(self) -> int:
        return len(self.positions_angst)

    def take(self, index: np.ndarray) -> "ParticleSet":
        """Return the particles at an index array or boolean mask, in that order."""
        chosen = np.arange(len(self))[index]
        return ParticleSet(
            positions_angst=self.positions_angst[chosen],
            rotations=self.rotations[chosen] if len(self) else self.rotations,
            tomogram_ids=tuple(self.tomogram_ids[i] for i in chosen),
            class_names=tuple(self.class_names[i] for i in chosen),
            figures={name: values[chosen] for name, values in self.figures.items()},
        )
