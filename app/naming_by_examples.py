"""A stack named after a few examples, by its features and, where wanted, by its own averages."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from engine.classification.classifier import ClassifierSpec, SubtomogramClassifier
from engine.classification.extraction import at_sampling, normalised
from engine.classification.feature_spread import FeatureSpread
from engine.classification.few_examples import Examples, classified_like
from engine.data.classification import ClassAverages, Classification
from engine.data.subtomograms import SubtomogramStack
from models.classifier_data import LabelledSubtomograms
from models.example_averages import sorted_by_averages

# Of the time, where the stack is averaged as well.
FEATURES_SHARE = 0.05
# Averages of what is like no example.
UNLIKE = "unlike"


def named_by_examples(
    classifier: SubtomogramClassifier,
    spreads: Sequence[FeatureSpread],
    stack: SubtomogramStack,
    examples: Examples,
    *,
    averaged: bool,
    on_progress: Callable[[float], None],
) -> tuple[Classification, ClassAverages | None]:
    """Classes of a stack, and averages where they are wanted.

    Parameters
    ----------
    averaged
        Let the stack average what the examples stand for, and compare it with that.

    Raises
    ------
    BadInputError
        Boxes that are too small, or constant; to average, fewer than 12 subtomograms a class.
    """
    share = FEATURES_SHARE if averaged else 1.0
    found = classified_like(classifier, spreads, stack, examples, lambda f: on_progress(share * f))
    if not averaged:
        return found, None
    known = LabelledSubtomograms(
        _images(examples.stack, classifier.spec),
        torch.from_numpy(examples.kinds),
        examples.class_names,
    )
    made = sorted_by_averages(
        _images(stack, classifier.spec),
        known,
        found,
        on_progress=lambda f: on_progress(share + (1.0 - share) * f),
    )
    n_others = len(made.averages) - len(examples.class_names)
    names = (*examples.class_names, *(f"{UNLIKE}-{number + 1}" for number in range(n_others)))
    voxel_size_angst = 10.0 * classifier.spec.voxel_size_nm
    return made.found, ClassAverages(names, made.averages, made.n_members, voxel_size_angst)


def _images(stack: SubtomogramStack, spec: ClassifierSpec) -> Tensor:
    """Subtomograms (n, 1, z, y, x) as the classifier is shown them."""
    fitted = at_sampling(stack, spec.box_vox, 10.0 * spec.voxel_size_nm)
    return torch.from_numpy(np.array(normalised(fitted)))[:, None]
