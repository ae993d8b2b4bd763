"""A traced filament: an ordered centre line."""

from dataclasses import dataclass

import numpy as np

from engine.data.arrays import Float64s, read_only
from engine.errors import BadInputError


@dataclass(frozen=True)
class Filament:
    """A centre line.

    Attributes
    ----------
    filament_id
        From 1.
    filament_class
        `microtubule`.
    points_angst
        float64 (n, 3), n >= 2, (z, y, x), sampled densely on the fitted spline.
    starts_at_border, ends_at_border
        True where the filament leaves the volume there (its length is censored).
    confidence
        Mean core probability along the line, in [0, 1].
    """

    filament_id: int
    filament_class: str
    points_angst: Float64s
    starts_at_border: bool
    ends_at_border: bool
    confidence: float

    def __post_init__(self) -> None:
        points = np.asarray(self.points_angst, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != 3 or len(points) < 2:
            raise BadInputError(f"a filament needs (n >= 2, 3) points, found {points.shape}")
        object.__setattr__(self, "points_angst", read_only(points))

    @property
    def length_nm(self) -> float:
        """Arc length, nanometre."""
        steps = np.diff(self.points_angst, axis=0)
        return float(np.linalg.norm(steps, axis=1).sum() / 10.0)
