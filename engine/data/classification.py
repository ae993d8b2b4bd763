"""What a trained network says of subtomograms."""

from dataclasses import dataclass

import numpy as np

from engine.data.arrays import Float32s, Float64s, read_only

# The class of what is no class; of training examples and of answers.
NONE_OF_THESE = "none_of_these"


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
        float64 (n,), how far from every known class; `is_none` is true beyond the limit. By the
        model's card, a distance of features or the log odds of being none of the classes.
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


@dataclass(frozen=True)
class ClassAverages:
    """What a stack made of its classes.

    Attributes
    ----------
    names
        Of the classes, then of groups of what is none of them.
    volumes
        float32 (n, side, side, side), protein bright; each in a pose of its own, contrast transfer
        not corrected.
    n_members
        Subtomograms that are nearest to each, (n,).
    """

    names: tuple[str, ...]
    volumes: Float32s
    n_members: tuple[int, ...]
    voxel_size_angst: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "volumes", read_only(np.asarray(self.volumes, dtype=np.float32)))
