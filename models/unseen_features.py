"""How a finished classifier's features of unseen structures lie, at every noise level."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np

from engine.classification.feature_spread import (
    FeatureSpread,
    calibrated_spread,
    fitted_spread,
)
from engine.io.spread_file import SPREADS_FILE, write_spreads
from engine.progress import part_of
from engine.segmentation.network_files import read_card
from models.classifier_pool import SetMaker, assemblies
from models.classifier_recipe import ClassifierRecipe, Conditions
from models.classifier_start import outputs_of
from models.writing import write_card

# Noise levels of each microscope, over the recipe's range and this much to either side of it.
N_LEVELS, BEYOND = 5, 1.5
OF_EACH = 16
# Of the structures: covariances come from these, temperature and limit from the others.
FITTED_SHARE = 2.0 / 3.0


def add_spreads(
    folder: Path,
    recipe: ClassifierRecipe,
    device: str,
    on_progress: Callable[[float], None] | None = None,
) -> None:
    """Write how features of `recipe.structures.n_unseen` random complexes lie, beside a network.

    Covariances are those of two thirds of the complexes; temperature and limit those of the rest.
    """
    wanted = recipe.structures
    structures = assemblies(wanted.n_unseen, wanted.unseen_seed)
    levels = noise_levels(recipe.conditions)
    spreads: list[FeatureSpread] = []
    for number, level in enumerate(levels):
        maker = SetMaker(
            structures, level, recipe.box_vox, 10.0 * recipe.voxel_size_nm, device=device
        )
        report = part_of(on_progress, number, len(levels))
        made = maker.balanced(OF_EACH, (wanted.unseen_seed, number), report)
        features = outputs_of(folder, made.images)["embedding"].double().numpy()
        kinds = made.kinds.numpy()
        fitted = kinds < FITTED_SHARE * len(structures)
        spread = fitted_spread(features[fitted], kinds[fitted])
        rng = np.random.default_rng([wanted.unseen_seed, number])
        spreads.append(calibrated_spread(spread, features[~fitted], kinds[~fitted], rng))
    write_spreads(folder / SPREADS_FILE, spreads)
    write_card(folder, read_card(folder), SPREADS_FILE)


def noise_levels(conditions: Conditions) -> list[Conditions]:
    """The same conditions through one microscope and at about one SNR each."""
    low, high = conditions.snr_range
    ranges = [conditions.snr_range]
    if np.isfinite(high):
        ranges = list(pairwise(np.geomspace(low / BEYOND, high * BEYOND, N_LEVELS + 1).tolist()))
    return [
        conditions.model_copy(update={"microscopies": (one,), "snr_range": snr_range})
        for one in dict.fromkeys(conditions.microscopies)
        for snr_range in ranges
    ]
