"""A few examples and a whole stack: the stack itself averages what the examples stand for.

What an embedding says of the stack (`engine.classification.feature_spread`) begins; then the surest
of every class are averaged (`models.reference_fitting`), all are compared with the averages anew,
and more are believed. What is like no example gets averages of its own, so that it spoils no
other's: classification with seeds, as multi-reference refinement does it without (Scheres et al.
2007, doi:10.1038/nmeth992).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from scipy.special import logsumexp, softmax
from sklearn.cluster import KMeans
from torch import Tensor

from engine.classification.prototypes import unit_vectors
from engine.data.arrays import Float32s, Float64s, Ints
from engine.data.classification import Classification
from engine.errors import BadInputError
from engine.progress import part_of
from models.classifier_data import LabelledSubtomograms
from models.classifier_training import logits_of
from models.reference_fitting import ReferenceParams, fit_references

# Fewer subtomograms make no average that tells anything.
LEAST_AVERAGED = 12
# Of a class: more change its average little and take long.
MOST_AVERAGED = 300
# Mean log-likelihood by which members of two averages are told apart, both ways together. Two of
# the same structure come to 5: each member is where the noise of the averages suits it.
LEAST_APART = 8.0
# Log odds of being none of the classes from which that is said: one in twenty.
NONE_LIMIT = math.log(0.05 / 0.95)
# Share of a stack whose class changes from one round to the next, below which nothing is to gain.
SETTLED = 0.01


@dataclass(frozen=True)
class ExampleAverageParams:
    """How a stack is sorted by averages.

    Attributes
    ----------
    shares
        Of what is called each class, the surest part that is averaged, round by round.
    iterations
        Of each round's averages at full resolution.
    n_others
        Averages of what is like no example, at most.
    """

    shares: tuple[float, ...] = (0.5, 0.7, 0.9)
    iterations: tuple[int, ...] = (0, 1, 3)
    n_others: int = 5
    seed: int = 0


@dataclass(frozen=True)
class SortedStack:
    """A stack's classes and the averages that they come from.

    Attributes
    ----------
    averages
        float32 (averages, z, y, x) of the classes, then of groups of what is none of them.
    n_members
        Subtomograms that are nearest to each.
    """

    found: Classification
    averages: Float32s
    n_members: tuple[int, ...]


def sorted_by_averages(
    images: Tensor,
    examples: LabelledSubtomograms,
    start: Classification,
    params: ExampleAverageParams | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> SortedStack:
    """A stack named by averages that it makes itself.

    Parameters
    ----------
    images
        float32 (n, 1, z, y, x), zero mean and unit variance each, of one microscope.
    examples
        Of the same box, sampling and microscope; each counts for its class from first to last.
    start
        What the examples say of these images without averages.

    Returns
    -------
    SortedStack
        Distances are log odds of noise alone, or an average of what is like no example, against
        the averages of the classes; what is one of those with 5 % or more is called none.

    Raises
    ------
    BadInputError
        Fewer than 12 subtomograms a class; a box that `multi_reference` does not take.
    """
    params = params or ExampleAverageParams()
    n_classes = len(start.class_names)
    if len(images) < LEAST_AVERAGED * n_classes:
        raise BadInputError(
            f"expected at least {LEAST_AVERAGED * n_classes} subtomograms to average "
            f"{n_classes} classes from, found {len(images)}"
        )
    now = _beginning(start, params)
    for number, (share, iterations) in enumerate(
        zip(params.shares, params.iterations, strict=True)
    ):
        if number:
            now = now.without_needless(n_classes)
        believed = _believed(now, share, images, examples)
        how = ReferenceParams(iterations, held_out=0.0, seed=params.seed)
        report = part_of(on_progress, number, len(params.shares))
        fitted = fit_references(believed, how, on_progress=report)
        scores = logits_of(fitted.network, images).double().numpy()
        own = logits_of(fitted.network, examples.images).double().numpy()
        order = _matched(own, examples.kinds.numpy(), n_classes)
        before, now = now, _Sorted(scores[:, order], fitted.averages[torch.as_tensor(order)])
        if (before.kinds != now.kinds).mean() < SETTLED:
            break
    now = now.without_needless(n_classes)
    if on_progress:
        on_progress(1.0)
    return SortedStack(
        _classification(now.scores, start),
        now.averages.numpy(),
        tuple(np.bincount(now.kinds, minlength=now.scores.shape[1]).tolist()),
    )


class _Sorted:
    """Where a stack stands: scores (n, averages), the best of each and by how much."""

    def __init__(self, scores: Float64s, averages: Tensor) -> None:
        self.scores, self.averages = scores, averages
        self.kinds: Ints = np.asarray(scores.argmax(axis=1), dtype=np.int64)
        ordered = np.sort(scores, axis=1)
        self.leads = ordered[:, -1] - ordered[:, -2]

    def without_needless(self, n_classes: int) -> "_Sorted":
        """Without averages of what is like no example that too few are like.

        Nor those of a class's own members that began as strangers: between them and the class
        there is next to nothing to tell.
        """
        counts = np.bincount(self.kinds, minlength=self.scores.shape[1])
        needless = [
            number
            for number in range(n_classes, len(counts))
            if counts[number] < LEAST_AVERAGED
            or min(self._apart(number, kind) for kind in range(n_classes)) < LEAST_APART
        ]
        if not needless:
            return self
        stays = np.delete(np.arange(len(counts)), needless)
        return _Sorted(self.scores[:, stays], self.averages[torch.as_tensor(stays)])

    def _apart(self, one: int, other: int) -> float:
        """How much likelier members are under their own average than under the other, of both."""
        leads = self.scores[:, one] - self.scores[:, other]
        means = [
            sign * float(leads[self.kinds == kind].mean())
            for sign, kind in ((1.0, one), (-1.0, other))
            if (self.kinds == kind).any()
        ]
        return sum(means)


def _beginning(start: Classification, params: ExampleAverageParams) -> _Sorted:
    """What the embedding says, and groups of what is like no example."""
    probabilities = np.log(start.probabilities.clip(1e-12))
    unlike = np.flatnonzero(start.is_none)
    n_others = min(params.n_others, len(unlike) // LEAST_AVERAGED)
    no_averages = torch.zeros((len(start.class_names) + n_others, 0, 0, 0))
    if n_others == 0:
        return _Sorted(probabilities, no_averages)
    vectors = unit_vectors(start.embeddings[unlike])
    groups = KMeans(n_others, n_init=10, random_state=params.seed).fit_predict(vectors)
    others = np.full((len(probabilities), n_others), probabilities.min() - 1.0)
    others[unlike, groups] = 1.0
    return _Sorted(np.hstack([probabilities, others]), no_averages)


def _matched(scores: Float64s, kinds: Ints, n_classes: int) -> Ints:
    """Which average is whose: that of each class under which its examples are likeliest.

    A class that began with another structure's members has averaged that one; its own examples, of
    scores (m, averages), tell.

    Returns
    -------
    array
        Indices of averages: of the classes in order, then of what is none of them.
    """
    means = np.stack([scores[kinds == kind].mean(axis=0) for kind in range(n_classes)])
    of_classes = linear_sum_assignment(means, maximize=True)[1]
    others = np.setdiff1d(np.arange(scores.shape[1]), of_classes)
    return np.asarray(np.concatenate([of_classes, others]), dtype=np.int64)


def _believed(
    now: _Sorted, share: float, images: Tensor, examples: LabelledSubtomograms
) -> LabelledSubtomograms:
    """The examples, and the surest of what is called each."""
    n_averages = now.scores.shape[1]
    chosen = []
    for kind in range(n_averages):
        own = np.flatnonzero(now.kinds == kind)
        n = min(MOST_AVERAGED, max(LEAST_AVERAGED, round(share * len(own))))
        chosen.append(own[np.argsort(-now.leads[own], kind="stable")][:n])
    index = torch.as_tensor(np.concatenate(chosen))
    return LabelledSubtomograms(
        torch.cat([examples.images, images[index]]),
        torch.cat([examples.kinds, torch.as_tensor(now.kinds)[index]]),
        tuple(str(number) for number in range(n_averages)),
    )


def _classification(scores: Float64s, start: Classification) -> Classification:
    """Probabilities of the classes; what is nearer to other averages, or none, is none of them."""
    n_classes = len(start.class_names)
    known = scores[:, :n_classes]
    # Scores are log-likelihoods over that of noise alone.
    others = np.hstack([scores[:, n_classes:], np.zeros((len(scores), 1))])
    odds = logsumexp(others, axis=1) - logsumexp(known, axis=1)
    return replace(
        start, probabilities=softmax(known, axis=1), distances=odds, is_none=odds > NONE_LIMIT
    )
