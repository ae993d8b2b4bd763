"""Classifiers for few donors: linear discriminant and Firth's logistic regression."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Protocol, Self

import numpy as np

from diagnostics.discriminant import discriminants
from diagnostics.firth import firth_fits
from diagnostics.preparation import Preparation, prepare
from engine.data.arrays import Bools, Float64s
from engine.errors import BadInputError

ModelName = Literal["lda", "firth"]
MAX_LOG_ODDS = 36.0
"""Beyond it a probability is 0 or 1 in double precision."""

BatchFit = Callable[[Float64s, Bools], tuple[Float64s, Float64s]]


class Classifier(Protocol):
    """A fitted classifier of donors into positive and negative."""

    name: ClassVar[ModelName]

    @classmethod
    def fit(cls, x: Float64s, y: Bools, *, prior: float | None = None) -> Self:
        """Fit features (n, p), NaN = not assessable, to labels (n,)."""
        ...

    def probability(self, x: Float64s) -> Float64s:
        """Return the probability of the positive class, (n,)."""
        ...

    def to_state(self) -> dict[str, Any]:
        """Return everything needed to rebuild it, as JSON."""
        ...


@dataclass(frozen=True)
class LinearClassifier:
    """Log-odds linear in the standardised features.

    Attributes
    ----------
    preparation
        Filling and scaling, learnt from the training donors.
    weights
        Log-odds per standard deviation of each feature.
    intercept
        Log-odds of a donor at the mean of every feature.
    """

    name: ClassVar[ModelName]

    preparation: Preparation
    weights: tuple[float, ...]
    intercept: float

    def log_odds(self, x: Float64s) -> Float64s:
        """Return log-odds of the positive class, (n,); absent values count as the mean."""
        prepared = self.preparation.apply(np.asarray(x, dtype=np.float64))
        log_odds: Float64s = prepared @ np.array(self.weights) + self.intercept
        return np.clip(log_odds, -MAX_LOG_ODDS, MAX_LOG_ODDS)

    def contributions(self, x: Float64s) -> Float64s:
        """Return each feature's part of the log-odds, (n, p); with the intercept they add up."""
        prepared = self.preparation.apply(np.asarray(x, dtype=np.float64))
        parts: Float64s = prepared * np.array(self.weights)
        return parts

    def probability(self, x: Float64s) -> Float64s:
        """Return the probability of the positive class, (n,)."""
        probability: Float64s = 1.0 / (1.0 + np.exp(-self.log_odds(x)))
        return probability

    def to_state(self) -> dict[str, Any]:
        """Return everything needed to rebuild it, as JSON."""
        return {
            "model": self.name,
            "fill": list(self.preparation.fill),
            "scale": list(self.preparation.scale),
            "weights": list(self.weights),
            "intercept": self.intercept,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """Rebuild from `to_state`.

        Raises
        ------
        BadInputError
            Not a state of this class.
        """
        try:
            if state["model"] != cls.name:
                raise BadInputError(f"classifier: expected {cls.name}, found {state['model']}")
            fill, scale, weights = (
                tuple(float(value) for value in state[key]) for key in ("fill", "scale", "weights")
            )
            intercept = float(state["intercept"])
        except (KeyError, TypeError, ValueError) as error:
            raise BadInputError(f"classifier: not a stored {cls.name} model: {error}") from error
        if not len(fill) == len(scale) == len(weights):
            raise BadInputError("classifier: a stored model's lists must have one length")
        return cls(Preparation(fill, scale), weights, intercept)


class LinearDiscriminant(LinearClassifier):
    """Fisher's linear discriminant with a pooled covariance, shrunk where donors are few."""

    name: ClassVar[ModelName] = "lda"

    @classmethod
    def fit(cls, x: Float64s, y: Bools, *, prior: float | None = None) -> Self:
        """Fit; see `discriminants` for the method.

        Parameters
        ----------
        x
            (n, p), NaN = not assessable.
        y
            (n,), True = positive.
        prior
            Probability of the positive class before the features are seen; None takes its share.

        Raises
        ------
        BadInputError
            One class only.
        """
        labels = _both_classes(y)
        preparation = prepare(x)
        weights, intercepts = discriminants(preparation.apply(x), labels[None], prior)
        return cls(preparation, tuple(weights[0].tolist()), float(intercepts[0]))


class FirthLogistic(LinearClassifier):
    """Logistic regression with Firth's penalty: finite where the classes are separated."""

    name: ClassVar[ModelName] = "firth"

    @classmethod
    def fit(cls, x: Float64s, y: Bools, *, prior: float | None = None) -> Self:
        """Fit; see `firth_fits` for the method.

        Parameters
        ----------
        x
            (n, p), NaN = not assessable. Features that others determine are left out.
        y
            (n,), True = positive.
        prior
            Shifts the intercept from the share in `y` to this prevalence; None leaves it.

        Raises
        ------
        BadInputError
            One class only.
        """
        labels = _both_classes(y)
        preparation = prepare(x, full_rank=True)
        used = np.array(preparation.scale) > 0
        found, intercepts = firth_fits(preparation.apply(x)[:, used], labels[None])
        weights = np.zeros(x.shape[1])
        weights[used] = found[0]
        intercept = float(intercepts[0])
        if prior is not None:
            share = float(labels.mean())
            intercept += float(np.log(prior / (1 - prior)) - np.log(share / (1 - share)))
        return cls(preparation, tuple(weights.tolist()), intercept)


CLASSIFIERS: Mapping[ModelName, type[LinearDiscriminant] | type[FirthLogistic]] = MappingProxyType(
    {"lda": LinearDiscriminant, "firth": FirthLogistic}
)


def classifier_from_state(state: Mapping[str, Any]) -> LinearDiscriminant | FirthLogistic:
    """Rebuild any classifier from its `to_state`.

    Raises
    ------
    BadInputError
        Not a stored classifier.
    """
    kind = CLASSIFIERS.get(state.get("model", ""))
    if kind is None:
        raise BadInputError(
            f"classifier: expected one of {', '.join(CLASSIFIERS)}, found {state.get('model')!r}"
        )
    return kind.from_state(state)


def batch_log_odds(
    name: ModelName, train: Float64s, labels: Bools, test: Float64s, prior: float
) -> Float64s:
    """Log-odds of test donors under many labellings of the training donors.

    Parameters
    ----------
    name
        Which classifier.
    train, test
        (n, p) and (m, p), NaN = not assessable.
    labels
        (b, n).
    prior
        As in `fit`.

    Returns
    -------
    Float64s
        (b, m), what `fit` and `log_odds` give one labelling at a time.
    """
    preparation = prepare(train, full_rank=name == "firth")
    used = np.array(preparation.scale) > 0
    x, x_test = preparation.apply(train)[:, used], preparation.apply(test)[:, used]
    if name == "lda":
        weights, intercepts = discriminants(x, labels, prior)
    else:
        weights, intercepts = firth_fits(x, labels)
        share = np.clip(labels.mean(axis=1), 1e-9, 1 - 1e-9)
        intercepts = intercepts + np.log(prior / (1 - prior)) - np.log(share / (1 - share))
    return np.clip(weights @ x_test.T + intercepts[:, None], -MAX_LOG_ODDS, MAX_LOG_ODDS)


def _both_classes(y: Bools) -> Bools:
    labels = np.asarray(y).astype(bool)
    if not labels.any() or labels.all():
        raise BadInputError("classifier: expected donors of both classes in training, found one")
    return labels
