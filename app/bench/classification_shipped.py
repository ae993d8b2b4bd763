"""Rows of the classifiers of large complexes that ship, on sets that no training saw."""

from pathlib import Path

import numpy as np
import torch

from app.bench.classification_runs import Runs, accuracy_row, auroc
from app.bench.classification_sets import (
    BOX_VOX,
    SET_SEED,
    TEST,
    TILTED,
    VIEWS,
    VOXEL_NM,
    densities_folder,
    made_set,
)
from app.bench.result import BenchRow
from app.structures import read_structures
from engine.classification.classifier import SubtomogramClassifier
from engine.classification.confidence import calibration_error
from engine.data.classification import Classification
from engine.simulation.subtomograms import Structure
from models.classifier_data import stack_of
from models.classifier_pool import SetMaker, strangers
from models.classifier_recipe import ClassifierRecipe, Conditions, read_classifier_recipe
from models.registry import TRAINED_FOLDER

# Recipes by the microscopes that they are for.
RECIPES = {"macromolecules": VIEWS, "macromolecules-averaged": (TILTED,)}
EACH, N_OTHERS, OTHER_SEED = 100, 40, 66_066
# Of the validation data, what its recipe does not name.
STRANGERS = ("3gl1", "3h84", "2cg9", "3d2f", "1u6g")
# As in cells: others beside it.
N_NEIGHBOURS = (0, 3)


def shipped_rows(runs: Runs) -> list[BenchRow]:
    """Known structures and strangers through each microscope at SNR 0.1, as deployed."""
    densities = densities_folder()
    if densities is None:
        return []
    rows = []
    for name, views in RECIPES.items():
        recipe = read_classifier_recipe(name)
        folder = TRAINED_FOLDER / recipe.name
        if folder.is_dir():
            for view in views:
                suffix = f"_of_{name}{view.suffix}"
                rows += rows_of(folder, recipe, densities, view.conditions, suffix)
    return rows


def rows_of(
    folder: Path, recipe: ClassifierRecipe, densities: Path, conditions: Conditions, suffix: str
) -> list[BenchRow]:
    """Rows of one finished classifier of that recipe's classes, up to three neighbours beside."""
    conditions = conditions.model_copy(update={"n_neighbours": N_NEIGHBOURS})
    classifier = SubtomogramClassifier(folder, "cpu")
    known = read_structures(densities, recipe.structures.densities)
    test = made_set(known, conditions, EACH, (TEST, 300))
    found, kinds = _classified(classifier, test.images), test.kinds.numpy()
    names = {name: name for name in STRANGERS}
    rows = [
        accuracy_row(f"accuracy{suffix}", [found.kinds == kinds]),
        BenchRow(
            f"calibration_error{suffix}", calibration_error(found.probabilities, kinds), "1",
            "lower", goal=0.03,
        ),
    ]  # fmt: skip
    unseen = made_set(read_structures(densities, names), conditions, EACH, (TEST, 301))
    theirs = {
        name: _classified(classifier, unseen.images[unseen.kinds == kind])
        for kind, name in enumerate(unseen.class_names)
    }
    rows.append(_told_row(f"unseen_told{suffix}", found, theirs))
    false = {"false picks and noise": _classified(classifier, _false_picks(known, conditions))}
    rows.append(_told_row(f"false_picks_told{suffix}", found, false))
    return rows


def _told_row(metric: str, known: Classification, others: dict[str, Classification]) -> BenchRow:
    areas = {name: auroc(known.distances, one.distances) for name, one in others.items()}
    each = "; ".join(
        f"{name} {areas[name]:.2f}, {one.is_none.mean():.2f} called none of the classes"
        for name, one in others.items()
    )
    return BenchRow(
        f"{metric}_auroc", float(np.mean(list(areas.values()))), "1", "higher", goal=0.9,
        baseline=f"{known.is_none.mean():.2f} of known ones called none of the classes; {each}",
    )  # fmt: skip


def _false_picks(known: tuple[Structure, ...], conditions: Conditions) -> torch.Tensor:
    """Membranes, filaments, gold, random complexes and noise (n, 1, z, y, x)."""
    maker = SetMaker(
        known, conditions, BOX_VOX, 10.0 * VOXEL_NM, others=strangers(N_OTHERS, OTHER_SEED)
    )
    kinds = np.full(5 * EACH, len(known))
    return maker.make(kinds, (SET_SEED, TEST, 302)).images


def _classified(classifier: SubtomogramClassifier, images: torch.Tensor) -> Classification:
    return classifier.classify(stack_of(images, VOXEL_NM))
