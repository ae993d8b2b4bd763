"""Rows of structures that no training saw, named after one and five examples of each."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from app.bench.classification_runs import EMBEDDING_MODEL, Runs, auroc
from app.bench.classification_sets import VIEWS, View, unseen_set
from app.bench.result import BenchRow, bootstrap_mean
from engine.classification.confidence import calibration_error
from engine.classification.feature_spread import FeatureSpread, classified_by_examples
from engine.classification.prototypes import prototypes_of
from engine.data.arrays import Float32s, Float64s, Ints
from engine.data.classification import Classification
from engine.io.spread_file import read_spreads
from engine.progress import part_of
from models.classifier_data import LabelledSubtomograms
from models.classifier_start import outputs_of
from models.classifier_writing import features_of
from models.example_averages import sorted_by_averages
from models.registry import TRAINED_FOLDER

EPISODES, QUERIES, SHOTS = 1000, 15, (1, 5)
GOALS = {1: 0.78, 5: 0.87}
PUBLISHED = {1: 0.7644, 5: 0.86}
PEER = "ProtoNet-CE, as published on other structures (doi:10.1371/journal.pcbi.1008227)"
# Whole stacks sorted by averages: draws of the examples; structures with examples where the others
# are strangers.
DRAWS, WITH_EXAMPLES = 3, 3
# Of every class, known and unseen, where known ones have their whole training set as examples.
IN_STACK = 50


def few_example_rows(runs: Runs) -> list[BenchRow]:
    """From the features alone: five ways, as few-shot methods are compared."""
    rows = []
    for view in VIEWS:
        unseen = unseen_set(runs.material.unseen, view)
        kinds = unseen.kinds.numpy()
        own = features_of(runs.compact(view).network, unseen.images).double().numpy()
        rows += [prototype_row(f"compact{view.suffix}", own, kinds, shots) for shots in SHOTS]
        if (TRAINED_FOLDER / EMBEDDING_MODEL).is_dir():
            features = _embedded(unseen.images)
            for shots in SHOTS:
                rows += spread_rows(f"embedding{view.suffix}", features, kinds, shots, _spreads())
    return rows


def averaged_rows(runs: Runs) -> list[BenchRow]:
    """The whole stack at hand: what averages of its own make of it."""
    rows = []
    for view in VIEWS:
        unseen = unseen_set(runs.material.unseen, view)
        for number, shots in enumerate(SHOTS):
            rows += _averaged(unseen, view, shots, part_of(runs.on_training, number, len(SHOTS)))
    return rows


def stack_rows(runs: Runs) -> list[BenchRow]:
    """Ten classes with their training set as examples; a third of the stack is none of them."""
    rows = []
    for view in VIEWS:
        training, unseen = runs.training(0, view), unseen_set(runs.material.unseen, view)
        known = runs.test(view)
        shown = [
            one.take(np.arange(IN_STACK * len(one.class_names)))  # classes in turn
            for one in (known, unseen)
        ]
        images = torch.cat([one.images for one in shown])
        start = classified_by_examples(
            _spreads(), training.class_names, _embedded(training.images), training.kinds.numpy(),
            _embedded(images),
        )  # fmt: skip
        found = sorted_by_averages(images, training, start, on_progress=runs.on_training).found
        rows += told_rows(found, shown[0].kinds.numpy(), shown[1], view.suffix)
    return rows


def told_rows(
    found: Classification, kinds: Ints, unseen: LabelledSubtomograms, suffix: str
) -> list[BenchRow]:
    """Of a stack of known ones of these classes (n,), then unseen ones."""
    n = len(kinds)
    right = (found.kinds[:n] == kinds).astype(np.float64)
    theirs, none = found.distances[n:], found.is_none[n:]
    areas, refused = [], []
    for kind in range(len(unseen.class_names)):
        own = (unseen.kinds == kind).numpy()
        areas.append(auroc(found.distances[:n], theirs[own]))
        refused.append(f"{unseen.class_names[kind]} {areas[-1]:.2f} ({none[own].mean():.2f})")
    return [
        BenchRow(
            f"accuracy_of_averages_in_a_stack_with_strangers{suffix}", float(right.mean()), "1",
            "higher", *bootstrap_mean(right.tolist()), 0.9,
            f"{n:,} of ten classes with {len(unseen):,} of five others between them",
        ),
        BenchRow(
            f"unseen_told_from_known_auroc_in_a_stack{suffix}", float(np.mean(areas)), "1",
            "higher", goal=0.9,
            baseline=f"{', '.join(refused)} called none of the classes; of known ones "
            f"{found.is_none[:n].mean():.2f}",
        ),
    ]  # fmt: skip


def prototype_row(name: str, features: Float64s, kinds: Ints, shots: int) -> BenchRow:
    """Nearest prototypes, means over episodes."""
    rng = np.random.default_rng(shots)
    shares = []
    for _ in range(EPISODES):
        shown, asked = _episode(kinds, shots, rng)
        prototypes = prototypes_of(features[shown], kinds[shown], int(kinds.max()) + 1)
        shares.append(float((prototypes.nearest(features[asked]) == kinds[asked]).mean()))
    return _accuracy_row(f"{_ways(kinds, shots)}_in_{name}", shares, shots, f"{EPISODES} episodes")


def spread_rows(
    name: str, features: Float32s, kinds: Ints, shots: int, spreads: tuple[FeatureSpread, ...]
) -> list[BenchRow]:
    """As `tomodx classify --examples` names them: accuracy, and whether its probabilities hold."""
    rng = np.random.default_rng(shots)
    names = tuple(str(kind) for kind in range(int(kinds.max()) + 1))
    shares, said, truth, refused = [], [], [], []
    for _ in range(EPISODES):
        shown, asked = _episode(kinds, shots, rng)
        found = classified_by_examples(
            spreads, names, features[shown], kinds[shown], features[asked]
        )
        shares.append(float((found.kinds == kinds[asked]).mean()))
        said.append(found.probabilities)
        truth.append(kinds[asked])
        refused.append(found.is_none.mean())
    error = calibration_error(np.concatenate(said), np.concatenate(truth))
    what = f"{_ways(kinds, shots)}_in_{name}"
    return [
        _accuracy_row(what, shares, shots, f"{EPISODES} episodes"),
        BenchRow(
            f"few_shot_calibration_error_{what}", error, "1", "lower", goal=0.03,
            baseline=f"called none of the classes: {np.mean(refused):.2f}",
        ),
    ]  # fmt: skip


def _averaged(
    unseen: LabelledSubtomograms, view: View, shots: int, on_progress: Callable[[float], None]
) -> list[BenchRow]:
    """Of all five, and of three where the other two are strangers; means over draws of examples."""
    features = _embedded(unseen.images)
    right, errors, areas, refused, known_refused = [], [], [], [], []
    for draw in range(DRAWS):
        for number, n_classes in enumerate((len(unseen.class_names), WITH_EXAMPLES)):
            rng = np.random.default_rng([shots, draw, n_classes])
            report = part_of(on_progress, 2 * draw + number, 2 * DRAWS)
            found, kinds = sorted_stack(unseen, features, n_classes, shots, rng, report)
            known = kinds < n_classes
            if known.all():
                right.append((found.kinds == kinds).astype(np.float64))
                errors.append(calibration_error(found.probabilities, kinds))
            else:
                areas.append(auroc(found.distances[known], found.distances[~known]))
                refused.append(found.is_none[~known].mean())
                known_refused.append(found.is_none[known].mean())
    what = f"{_ways(unseen.kinds.numpy(), shots)}_averaged{view.suffix}"
    each = ", ".join(f"{one.mean():.3f}" for one in right)
    areas_each = ", ".join(f"{one:.2f}" for one in areas)
    return [
        _accuracy_row(
            what, np.concatenate(right).tolist(), shots,
            f"the whole stack of {len(unseen):,} at hand; {DRAWS} draws of examples: {each}",
        ),
        BenchRow(
            f"few_shot_calibration_error_{what}", float(np.mean(errors)), "1", "lower", goal=0.03
        ),
        BenchRow(
            f"few_shot_strangers_told_auroc_{WITH_EXAMPLES}_way_{shots}_shot_averaged{view.suffix}",
            float(np.mean(areas)), "1", "higher", goal=0.9,
            baseline=f"two of five structures without example; draws {areas_each}; called none: "
            f"{np.mean(refused):.2f} of theirs, {np.mean(known_refused):.2f} of the others",
        ),
    ]  # fmt: skip


def sorted_stack(
    unseen: LabelledSubtomograms,
    features: Float32s,
    n_classes: int,
    shots: int,
    rng: np.random.Generator,
    on_progress: Callable[[float], None],
) -> tuple[Classification, Ints]:
    """What the stack without its examples is called, and its true classes; strangers are last.

    Of `n_classes` structures, drawn at random, there are examples.
    """
    order = rng.permutation(len(unseen.class_names))
    kinds: Ints = np.argsort(order)[unseen.kinds.numpy()]
    shown = np.concatenate(
        [rng.permutation(np.flatnonzero(kinds == kind))[:shots] for kind in range(n_classes)]
    )
    asked = np.setdiff1d(np.arange(len(kinds)), shown)
    names = tuple(unseen.class_names[order[kind]] for kind in range(n_classes))
    start = classified_by_examples(
        _spreads(), names, features[shown], kinds[shown], features[asked]
    )
    examples = LabelledSubtomograms(
        unseen.images[torch.as_tensor(shown)], torch.as_tensor(kinds[shown]), names
    )
    images = unseen.images[torch.as_tensor(asked)]
    stack = sorted_by_averages(images, examples, start, on_progress=on_progress)
    return stack.found, kinds[asked]


def _ways(kinds: Ints, shots: int) -> str:
    return f"{len(np.unique(kinds))}_way_{shots}_shot"


def _accuracy_row(what: str, shares: list[float], shots: int, how: str) -> BenchRow:
    return BenchRow(
        f"few_shot_accuracy_{what}", float(np.mean(shares)), "1", "higher",
        *bootstrap_mean(shares), GOALS[shots], f"{PEER}: {PUBLISHED[shots]:g}; {how}",
    )  # fmt: skip


def _embedded(images: Tensor) -> Float32s:
    found: Float32s = outputs_of(TRAINED_FOLDER / EMBEDDING_MODEL, images)["embedding"].numpy()
    return found


def _spreads() -> tuple[FeatureSpread, ...]:
    return read_spreads(TRAINED_FOLDER / EMBEDDING_MODEL)


def _episode(kinds: Ints, shots: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Indices of examples and of queries, class by class."""
    shown, asked = [], []
    for kind in np.unique(kinds):
        own = rng.permutation(np.flatnonzero(kinds == kind))
        shown.append(own[:shots])
        asked.append(own[shots : shots + QUERIES])
    return np.concatenate(shown), np.concatenate(asked)
