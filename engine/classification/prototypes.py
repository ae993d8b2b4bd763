"""A new structure from one to five examples: the nearest mean of an embedding."""

from dataclasses import dataclass

import numpy as np

from engine.data.arrays import AnyArray, Float64s, Ints
from engine.errors import BadInputError


@dataclass(frozen=True)
class Prototypes:
    """Mean unit vectors (classes, features) of a few examples of every class."""

    vectors: Float64s

    def distances(self, features: Float64s) -> Float64s:
        """Squared Euclidean distances (n, classes) of unit vectors."""
        offsets = unit_vectors(features)[:, None] - self.vectors[None]
        return np.asarray((offsets**2).sum(axis=2), dtype=np.float64)

    def nearest(self, features: Float64s) -> Ints:
        """Class of the nearest prototype, (n,)."""
        return np.asarray(self.distances(features).argmin(axis=1), dtype=np.int64)


def prototypes_of(features: Float64s, kinds: Ints, n_classes: int) -> Prototypes:
    """Prototypes of examples whose classes are known.

    Raises
    ------
    BadInputError
        A class without an example.

    References
    ----------
    Snell et al. (2017), arXiv:1703.05175; for subtomograms Li et al. (2020),
    doi:10.1371/journal.pcbi.1008227.
    """
    return Prototypes(unit_vectors(class_means(unit_vectors(features), kinds, n_classes)))


def class_means(features: Float64s, kinds: Ints, n_classes: int) -> Float64s:
    """Mean features (classes, d) of examples (n, d).

    Raises
    ------
    BadInputError
        A class without an example.
    """
    counts = np.bincount(kinds, minlength=n_classes)
    if (counts == 0).any():
        raise BadInputError(f"classes {np.flatnonzero(counts == 0).tolist()} have no example")
    means = [features[kinds == kind].mean(axis=0) for kind in range(n_classes)]
    return np.asarray(np.stack(means), dtype=np.float64)


def unit_vectors(vectors: AnyArray) -> Float64s:
    """Vectors (n, d) of length 1 in the same directions."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float64)
