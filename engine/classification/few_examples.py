"""Subtomograms named after a few examples, by a network that never saw their structures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from engine.classification.classifier import SubtomogramClassifier
from engine.classification.feature_spread import FeatureSpread, classified_by_examples
from engine.data.arrays import Ints
from engine.data.classification import NONE_OF_THESE, Classification
from engine.data.subtomograms import SubtomogramStack
from engine.errors import BadInputError


@dataclass(frozen=True)
class Examples:
    """Subtomograms whose classes are known, the names of classes, and the class of each (n,)."""

    stack: SubtomogramStack
    class_names: tuple[str, ...]
    kinds: Ints


def labelled_examples(stack: SubtomogramStack) -> Examples:
    """Those of a stack that have a class.

    What is labelled none of the classes is left out: it has no one structure.

    Raises
    ------
    BadInputError
        Fewer than two classes: the examples of one have nothing to be told from.
    """
    chosen = [index for index, label in enumerate(stack.labels) if label and label != NONE_OF_THESE]
    labels = [stack.labels[index] for index in chosen]
    names = tuple(sorted(set(labels)))
    if len(names) < 2:
        raise BadInputError(
            f"expected examples of at least two classes, found {', '.join(names) or 'none'}; give "
            "the class of each (HDF5: labels; STAR: tomodxTemplate or rlnClassNumber)"
        )
    kinds = np.array([names.index(one) for one in labels], dtype=np.int64)
    return Examples(stack.take(np.array(chosen)), names, kinds)


def classified_like(
    classifier: SubtomogramClassifier,
    spreads: Sequence[FeatureSpread],
    stack: SubtomogramStack,
    examples: Examples,
    on_progress: Callable[[float], None] | None = None,
) -> Classification:
    """Name every subtomogram of a stack after examples.

    Parameters
    ----------
    spreads
        How features of structures that the classifier never saw lie, by noise level.

    Raises
    ------
    BadInputError
        Boxes that are too small, or constant.
    """
    known = classifier.classify(examples.stack).embeddings
    found = classifier.classify(stack, on_progress)
    return classified_by_examples(
        spreads, examples.class_names, known, examples.kinds, found.embeddings
    )
