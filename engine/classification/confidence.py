"""Class probabilities that mean what they say, and a score of being none of the classes."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, logsumexp, softmax

from engine.classification.prototypes import class_means
from engine.data.arrays import Float64s, Ints

WIDEST_LOG_TEMPERATURE = float(np.log(10.0))
N_BINS = 15
# Share of known subtomograms that are called none of the classes.
KNOWN_REFUSED = 0.05
# Of the covariance of features about their class means: few examples leave it nearly singular.
SHRINKAGE = 0.1
# What a distance (1 is typical) counts for, of the log odds' own spread; docs/benchmarks.md tells
# what else was tried.
DISTANCE_WEIGHT = 0.25
# Held-out examples of a class from which its typical distance is told.
LEAST_TYPICAL = 5


def fitted_temperature(logits: Float64s, kinds: Ints) -> float:
    """Temperature that makes the classes of held-out examples most likely.

    Parameters
    ----------
    logits
        (n, classes) of examples that the network was not trained on.
    kinds
        (n,) their classes.

    Returns
    -------
    float
        1 without examples; logits are divided by it.

    References
    ----------
    Guo et al. (2017), arXiv:1706.04599.
    """
    if not len(kinds):
        return 1.0
    rows = np.arange(len(kinds))

    def entropy(log_temperature: float) -> float:
        scaled = log_softmax(logits / np.exp(log_temperature), axis=1)
        return float(-scaled[rows, kinds].mean())

    found = minimize_scalar(
        entropy, bounds=(-WIDEST_LOG_TEMPERATURE, WIDEST_LOG_TEMPERATURE), method="bounded"
    )
    return float(np.exp(found.x))


def calibration_error(probabilities: Float64s, kinds: Ints, n_bins: int = N_BINS) -> float:
    """Expected calibration error: mean gap between how sure and how often right.

    Parameters
    ----------
    probabilities
        (n, classes); the largest of a row is how sure it is.
    n_bins
        Of equal width in [0, 1].

    References
    ----------
    Naeini et al. (2015), doi:10.1609/aaai.v29i1.9602.
    """
    if not len(kinds):
        return float("nan")
    sure = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == kinds
    bins = np.minimum((sure * n_bins).astype(int), n_bins - 1)
    sums = np.bincount(bins, sure - right, minlength=n_bins)
    return float(np.abs(sums).sum() / len(kinds))


@dataclass(frozen=True)
class OpenSetModel:
    """How far from all known classes a subtomogram is, and from where on it is none of them.

    Attributes
    ----------
    means
        (classes, features) of the embedding.
    precision
        (features, features), inverse of the covariance about the means, shared.
    typical
        (classes,) median distance of held-out examples from their own mean: clusters of small
        structures are tighter than those of large ones, and a stranger within the reach of a loose
        cluster lies far outside a tight one.
    limit
        Of the score: `KNOWN_REFUSED` of held-out known examples lie above it.
    """

    means: Float64s
    precision: Float64s
    typical: Float64s
    limit: float

    def scores(self, features: Float64s) -> Float64s:
        """Squared Mahalanobis distance over the typical one, of the nearest class, (n,)."""
        return np.asarray((self.distances(features) / self.typical).min(axis=1))

    def distances(self, features: Float64s) -> Float64s:
        """Squared Mahalanobis distances to the class means, (n, classes)."""
        offsets = features[:, None] - self.means[None]
        return np.asarray(np.einsum("nkf,fg,nkg->nk", offsets, self.precision, offsets))


@dataclass(frozen=True)
class StrangerClass:
    """Of a network whose last class is what is none of the others: from where on it is believed.

    Attributes
    ----------
    limit
        Of the score: `KNOWN_REFUSED` of held-out known examples lie above it, or fewer.
    distance
        Counts beside the log odds, where few strangers were shown: others are like none of them.
    weight
        What a distance of 1 counts for, in log odds.
    """

    limit: float
    distance: OpenSetModel | None = None
    weight: float = 0.0

    def scores(self, logits: Float64s, features: Float64s) -> Float64s:
        """Log odds of a stranger, and the distance where it counts, (n,).

        Parameters
        ----------
        logits
            (n, classes), the last that of strangers.
        features
            (n, features) that the distance is measured in.
        """
        odds = stranger_log_odds(logits)
        if self.distance is None:
            return odds
        return odds + self.weight * self.distance.scores(features)


def stranger_log_odds(logits: Float64s) -> Float64s:
    """Log odds (n,) of the last class against all others, from logits (n, classes)."""
    return np.asarray(logits[:, -1] - logsumexp(logits[:, :-1], axis=1))


def fitted_stranger_class(
    known_logits: Float64s, known_features: Float64s, distance: OpenSetModel | None = None
) -> StrangerClass:
    """Limit, and weight of a distance, from logits and features of held-out known examples.

    Parameters
    ----------
    known_logits
        (n, classes), the last that of strangers.
    known_features
        (n, features) that the distance is measured in.

    References
    ----------
    Hendrycks et al. (2019), arXiv:1812.04606 (outlier exposure), with a class in the place of a
    flat answer.
    """
    # Log odds of clear images lie ten times as far apart as those of poor ones, distances do not.
    weight = DISTANCE_WEIGHT * float(stranger_log_odds(known_logits).std())
    model = StrangerClass(np.inf, distance, weight)
    limit = float(np.quantile(model.scores(known_logits, known_features), 1.0 - KNOWN_REFUSED))
    # Even odds at a typical distance: where classes lie far from strangers, the limit lies between.
    return replace(model, limit=limit if distance is None else max(limit, weight))


def fitted_open_set(
    features: Float64s, kinds: Ints, held_out: Float64s, held_out_kinds: Ints, n_classes: int
) -> OpenSetModel:
    """Class means and covariance of training features; typical distance and limit from held-out.

    Raises
    ------
    BadInputError
        A class without an example.

    References
    ----------
    Lee et al. (2018), arXiv:1807.03888, of the last features alone; covariance shrunk, distances
    measured by those of each class.
    """
    means = class_means(features, kinds, n_classes)
    offsets = features - means[kinds]
    covariance = offsets.T @ offsets / max(1, len(features) - n_classes)
    level = float(np.trace(covariance)) / len(covariance)
    shrunk = (1.0 - SHRINKAGE) * covariance + SHRINKAGE * level * np.eye(len(covariance))
    precision = np.asarray(np.linalg.inv(shrunk), dtype=np.float64)
    model = OpenSetModel(means, precision, np.ones(n_classes), np.inf)
    own = model.distances(held_out)[np.arange(len(held_out)), held_out_kinds]
    model = replace(model, typical=_typical(own, held_out_kinds, n_classes))
    limit = float(np.quantile(model.scores(held_out), 1.0 - KNOWN_REFUSED))
    return replace(model, limit=limit)


def _typical(distances: Float64s, kinds: Ints, n_classes: int) -> Float64s:
    """Median of each class; that of all where a class has too few to tell."""
    whole = float(np.median(distances))
    each = [distances[kinds == kind] for kind in range(n_classes)]
    return np.array([np.median(own) if len(own) >= LEAST_TYPICAL else whole for own in each])


def probabilities_of(logits: Float64s, temperature: float) -> Float64s:
    """Calibrated class probabilities (n, classes)."""
    return np.asarray(softmax(logits / temperature, axis=1), dtype=np.float64)
