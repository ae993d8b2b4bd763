"""What a trained network says of subtomograms."""

from dataclasses import dataclass

import numpy as np

from engine.data.arrays import Float32s, Float64s, read_only


@dataclass(frozen=True)
class Classification:
    """What a stack was found to hold, in its order.

    Attributes
    ----------
    probabilities
        float64 (n, classes), calibrated, given that it is one of them.
    embeddings
        float32 (n, features).
    distances
        float64 (n,), from the nearest known class; `is_none` is true beyond the limit.
    """

    class_names: tuple[str, ...]
    probabilities: Float64s
    embeddings: Float32s
    distances: Float64s
    is_none: np.ndarray

    def __post_init__(self) -> None:
        for name in ("probabilities", "embeddings", "distances", "is_none"):
            object.__setattr__(self, name, read_only(np.asarray(getattr(self, name))))

    @property
    def kinds(self) -> np.ndarray:
        """Most probable class of each, (n,)."""
        return np.asarray(self.probabilities.argmax(axis=1))
