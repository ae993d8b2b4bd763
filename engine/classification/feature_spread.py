"""How features of structures that no training saw lie: what few examples say of the rest.

A structure has a mean feature, drawn from a normal distribution; its subtomograms lie about it in
another, the same for all structures (two-covariance probabilistic discriminant analysis, Ioffe
2006, doi:10.1007/11744085_41). A few examples then tell how likely any other subtomogram is to be
of their structure, and how likely to be of one that has no example.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular
from scipy.special import logsumexp, softmax

from engine.classification.confidence import KNOWN_REFUSED, fitted_temperature
from engine.classification.prototypes import class_means, unit_vectors
from engine.data.arrays import AnyArray, Float32s, Float64s, Ints
from engine.data.classification import Classification
from engine.errors import BadInputError

# Of the within-structure covariance: a share of it is spread evenly over all directions.
SHRINKAGE = 0.05
# Variance between structures in directions in which fewer subtomograms than needed show none.
LEAST_BETWEEN = 1e-8
# From which temperature and limit are told: draws of so many structures, examples of each.
N_DRAWS, N_CLASSES, SHOTS = 60, 5, (1, 2, 5)


@dataclass(frozen=True)
class FeatureSpread:
    """Features of unseen structures at one noise level.

    Attributes
    ----------
    mean
        (d,) over structures, of unit vectors.
    between, within
        (d, d), covariance of the structures' means, and of subtomograms about theirs.
    temperature
        Log-likelihoods are divided by: the normal distributions have too little tail.
    limit
        Log odds of a structure without example from which a subtomogram is called none of those
        with examples; `KNOWN_REFUSED` of those with examples lie above it.
    """

    mean: Float64s
    between: Float64s
    within: Float64s
    temperature: float = 1.0
    limit: float = math.inf


def fitted_spread(features: Float64s, structures: Ints) -> FeatureSpread:
    """Means and covariances from features (n, d) of as many subtomograms of each structure (n,).

    Raises
    ------
    BadInputError
        Fewer than two structures, or one without an example.
    """
    n_structures = int(structures.max()) + 1
    if n_structures < 2 or len(features) <= n_structures:
        raise BadInputError("expected several subtomograms of at least two structures")
    vectors = unit_vectors(features)
    means = class_means(vectors, structures, n_structures)
    offsets = vectors - means[structures]
    within = offsets.T @ offsets / (len(vectors) - n_structures)
    # Means of few vary by what is within as well.
    apparent = np.cov(means.T) - within * n_structures / len(vectors)
    values, axes = np.linalg.eigh(apparent)
    between = (axes * values.clip(LEAST_BETWEEN)) @ axes.T
    level = float(np.trace(within)) / len(within)
    within = (1.0 - SHRINKAGE) * within + SHRINKAGE * level * np.eye(len(within))
    return FeatureSpread(means.mean(axis=0), between, within)


def calibrated_spread(
    spread: FeatureSpread, features: Float64s, structures: Ints, rng: np.random.Generator
) -> FeatureSpread:
    """With temperature and limit, from structures (n,) that the spread was not fitted on."""
    found, kinds = [], []
    for shots, examples, asked in _draws(structures, rng):
        example_kinds = np.repeat(np.arange(N_CLASSES), shots)
        found.append(log_likelihoods(spread, features[examples], example_kinds, features[asked]))
        kinds.append(np.repeat(np.arange(N_CLASSES), len(asked) // N_CLASSES))
    every = np.concatenate(found)
    temperature = fitted_temperature(every[:, :-1], np.concatenate(kinds))
    odds = _stranger_log_odds(every / temperature)
    return replace(
        spread,
        temperature=temperature,
        limit=float(np.quantile(odds, 1.0 - KNOWN_REFUSED)),
    )


def _draws(structures: Ints, rng: np.random.Generator) -> Iterator[tuple[int, Ints, Ints]]:
    """Examples a class, and indices of examples and of others of some structures, class by class.

    Every structure has as many subtomograms.
    """
    by_structure = [np.flatnonzero(structures == one) for one in np.unique(structures)]
    for shots in SHOTS:
        for _ in range(N_DRAWS):
            chosen = rng.choice(len(by_structure), N_CLASSES, replace=False)
            mixed = np.stack([rng.permutation(by_structure[one]) for one in chosen])
            yield shots, mixed[:, :shots].ravel(), mixed[:, shots:].ravel()


def log_likelihoods(
    spread: FeatureSpread, examples: AnyArray, kinds: Ints, features: AnyArray
) -> Float64s:
    """Of each class with examples, and last of a structure without: (n, classes + 1)."""
    shown, asked = unit_vectors(examples), unit_vectors(features)
    columns = []
    for kind in range(int(kinds.max()) + 1):
        own = shown[kinds == kind]
        if not len(own):
            raise BadInputError(f"class {kind} has no example")
        # Where the structure's mean lies, given its examples.
        whole = cho_factor(spread.between + spread.within / len(own))
        gain = cho_solve(whole, spread.between).T
        mean = spread.mean + gain @ (own.mean(axis=0) - spread.mean)
        left = spread.between - gain @ spread.between
        columns.append(_log_normal(asked, mean, left + spread.within))
    columns.append(_log_normal(asked, spread.mean, spread.between + spread.within))
    return np.stack(columns, axis=1)


def classified_by_examples(
    spreads: Sequence[FeatureSpread],
    class_names: tuple[str, ...],
    examples: Float32s,
    kinds: Ints,
    embeddings: Float32s,
) -> Classification:
    """What examples (m, d) of classes (m,) say of subtomograms with embeddings (n, d).

    The noise level is that of the spread under which all these subtomograms together are likeliest.

    Returns
    -------
    Classification
        Distances are log odds of a structure without example against all with.

    Raises
    ------
    BadInputError
        A class without an example.
    """
    each = [log_likelihoods(one, examples, kinds, embeddings) for one in spreads]
    best = int(np.argmax([float(logsumexp(one, axis=1).mean()) for one in each]))
    spread = spreads[best]
    found = each[best] / spread.temperature
    odds = _stranger_log_odds(found)
    return Classification(
        class_names, softmax(found[:, :-1], axis=1), embeddings, odds, odds > spread.limit
    )


def _stranger_log_odds(log_likelihoods: Float64s) -> Float64s:
    """Of the last column against all others, (n,)."""
    known = logsumexp(log_likelihoods[:, :-1], axis=1)
    return np.asarray(log_likelihoods[:, -1] - known, dtype=np.float64)


def _log_normal(vectors: Float64s, mean: Float64s, covariance: Float64s) -> Float64s:
    """Log density (n,) but for what is the same for all covariances."""
    root = cholesky(covariance, lower=True)
    turned = solve_triangular(root, (vectors - mean).T, lower=True)
    return np.asarray(-0.5 * (turned**2).sum(axis=0) - np.log(np.diag(root)).sum())
