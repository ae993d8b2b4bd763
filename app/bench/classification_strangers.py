"""Rows of classifiers that were also shown random complexes, as a class of their own."""

import numpy as np
import torch

from app.bench.classification_runs import Runs, accuracy_row, auroc
from app.bench.classification_sets import (
    BOX_VOX,
    TRAINING,
    VIEWS,
    VOXEL_NM,
    View,
    made_set,
    unseen_set,
)
from app.bench.result import BenchRow
from engine.classification.confidence import calibration_error, probabilities_of
from engine.data.arrays import Bools
from engine.data.classification import NONE_OF_THESE
from engine.simulation.subtomograms import densities_in_boxes
from models.arithmetic import multiply_adds_of
from models.classifier_data import LabelledSubtomograms
from models.classifier_pool import assemblies
from models.classifier_training import Fitted
from models.classifier_writing import deployment_of, features_of, logits_from, none_scores
from models.reference_fitting import ReferenceParams
from models.table import MULTI_REFERENCE

# Random complexes that no other set holds, none of the unseen structures: how many, of each.
N_COMPLEXES, OF_EACH, COMPLEX_SEED = 200, 2, 77_077
# Of those that stand beside class averages.
N_BESIDE = 40


def stranger_rows(runs: Runs) -> list[BenchRow]:
    """Accuracy on known structures, and how well unseen ones are told, through each microscope.

    References
    ----------
    Hendrycks et al. (2019), arXiv:1812.04606 (outlier exposure), with a class in the place of a
    flat answer.
    """
    return [
        row for view in VIEWS for row in (*_trained_rows(runs, view), *_averaged_rows(runs, view))
    ]


def _trained_rows(runs: Runs, view: View) -> list[BenchRow]:
    fitted = runs.begun(
        view, key=f"strangers{view.suffix}-0", data=with_strangers(runs.training(0, view), view)
    )
    if fitted is None:
        return []
    shown = f"{N_COMPLEXES} random complexes as a class of their own"
    return _rows(runs, view, fitted, "compact", shown)


def _averaged_rows(runs: Runs, view: View) -> list[BenchRow]:
    """Of class averages beside which random complexes stand."""
    complexes = assemblies(N_BESIDE, COMPLEX_SEED)
    densities = densities_in_boxes(complexes, BOX_VOX, 10.0 * VOXEL_NM)
    # The classes' averages are those of the network without strangers.
    key = f"{MULTI_REFERENCE}{view.suffix}-0"
    fitted = runs.averaged(key, runs.training(0, view), ReferenceParams(seed=0), densities)
    cost = multiply_adds_of(fitted.network, BOX_VOX)
    shown = f"{N_BESIDE} random complexes; {cost / 1e6:.0f} million multiply-adds"
    return _rows(runs, view, fitted, MULTI_REFERENCE, shown)


def _rows(runs: Runs, view: View, fitted: Fitted, name: str, shown: str) -> list[BenchRow]:
    """Of a network whose last class is none of the others."""
    test, unseen = runs.test(view), unseen_set(runs.material.unseen, view)
    network = fitted.network
    features = features_of(network, test.images)
    logits = logits_from(network, features)
    right: Bools = np.asarray(logits.argmax(axis=1) == test.kinds.numpy())
    deployment = deployment_of(fitted, VOXEL_NM)
    probabilities = probabilities_of(logits[:, :-1], deployment.temperature)
    open_set, limit = deployment.open_set, deployment.open_set.limit
    own = none_scores(network, open_set, features)
    theirs = none_scores(network, open_set, features_of(network, unseen.images))
    areas, each = [], []
    for kind, structure in enumerate(unseen.class_names):
        one = theirs[(unseen.kinds == kind).numpy()]
        areas.append(auroc(own[: len(unseen)], one))
        each.append(f"{structure} {areas[-1]:.2f} ({(one > limit).mean():.2f})")
    suffix = view.suffix if name == "compact" else f"_references{view.suffix}"
    return [
        accuracy_row(f"accuracy_of_{name}_with_strangers{view.suffix}", [right], goal=0.9),
        BenchRow(
            f"unseen_told_from_known_auroc_with_strangers{suffix}",
            float(np.mean(areas)), "1", "higher", goal=0.9,
            baseline=f"{shown}; {', '.join(each)} (called none of the classes); known ones "
            f"called none of the classes: {(own > limit).mean():.2f}",
        ),
        BenchRow(
            f"calibration_error_with_strangers{suffix}",
            calibration_error(probabilities, test.kinds.numpy()), "1", "lower", goal=0.03,
        ),
    ]  # fmt: skip


def with_strangers(known: LabelledSubtomograms, view: View) -> LabelledSubtomograms:
    """A training set with one more class, of random complexes."""
    complexes = assemblies(N_COMPLEXES, COMPLEX_SEED)
    made = made_set(complexes, view.conditions, OF_EACH, (TRAINING, 500))
    kinds = torch.full((len(made),), len(known.class_names))
    return LabelledSubtomograms(
        torch.cat([known.images, made.images]),
        torch.cat([known.kinds, kinds]),
        (*known.class_names, NONE_OF_THESE),
    )
