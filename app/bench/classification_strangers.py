"""Rows of a network that was also shown random complexes, as a class of their own."""

import numpy as np
import torch

from app.bench.classification_runs import Runs, accuracy_row, auroc
from app.bench.classification_sets import TRAINING, VIEWS, View, made_set, unseen_set
from app.bench.result import BenchRow
from engine.classification.confidence import stranger_log_odds
from engine.data.arrays import Bools, Float64s
from engine.data.classification import NONE_OF_THESE
from models.classifier_data import LabelledSubtomograms
from models.classifier_pool import assemblies
from models.classifier_training import logits_of

# Random complexes that no other set holds, none of the unseen structures: how many, of each.
N_COMPLEXES, OF_EACH, COMPLEX_SEED = 200, 2, 77_077


def stranger_rows(runs: Runs) -> list[BenchRow]:
    """Accuracy on known structures, and how well unseen ones are told, through each microscope.

    References
    ----------
    Hendrycks et al. (2019), arXiv:1812.04606 (outlier exposure), with a class in the place of a
    flat answer.
    """
    return [row for view in VIEWS for row in _rows(runs, view)]


def _rows(runs: Runs, view: View) -> list[BenchRow]:
    fitted = runs.begun(
        view, key=f"strangers{view.suffix}-0", data=with_strangers(runs.training(0, view), view)
    )
    if fitted is None:
        return []
    test, unseen = runs.test(view), unseen_set(runs.material.unseen, view)
    logits = logits_of(fitted.network, test.images)
    right: Bools = np.asarray((logits.argmax(dim=1) == test.kinds).numpy())
    known = _log_odds(logits)[: len(unseen)]
    theirs = _log_odds(logits_of(fitted.network, unseen.images))
    areas = {
        name: auroc(known, theirs[(unseen.kinds == kind).numpy()])
        for kind, name in enumerate(unseen.class_names)
    }
    each = ", ".join(f"{name} {area:.2f}" for name, area in areas.items())
    return [
        accuracy_row(f"accuracy_of_compact_with_strangers{view.suffix}", [right], goal=0.9),
        BenchRow(
            f"unseen_told_from_known_auroc_with_strangers{view.suffix}",
            float(np.mean(list(areas.values()))), "1", "higher", goal=0.9,
            baseline=f"{N_COMPLEXES} random complexes as a class of their own; {each}",
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


def _log_odds(logits: torch.Tensor) -> Float64s:
    """Of being a stranger, (n,)."""
    return stranger_log_odds(logits.double().numpy())
