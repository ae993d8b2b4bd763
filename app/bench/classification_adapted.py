"""Rows of subtomograms of another origin: what each way of adapting closes of the gap.

Source only is the network as it was trained on recipe one; the oracle was trained on labels of
recipe two. No other way sees a label of recipe two.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
from torch import nn

from app.bench.classification_runs import OURS, Runs, accuracy_row, right
from app.bench.classification_sets import (
    PUBLISHED,
    RECIPE_TWO,
    TEST,
    TRAIN_EACH,
    TRAINING,
    VOXEL_TWO_NM,
    made_set,
)
from app.bench.result import BenchRow, bootstrap_mean
from engine.data.arrays import Bools
from models.classifier_data import LabelledSubtomograms
from models.classifier_recipe import Conditions
from models.domain_adaptation import (
    AdaptationParams,
    adapted_adversarially,
    adapted_by_coral,
    mean_power,
    with_target_spectrum,
    with_target_statistics,
)
from models.self_training import adapted_by_own_answers

NETWORK, TEST_TWO_EACH, GOAL = "compact", 200, 0.66
# Ranges of Cryo-Shift (Bandyopadhyay et al. 2022, PMC10060710), of the microscope of recipe one.
RANDOMISED = Conditions(
    snr_range=(0.03, 10.0), tilt_limits_deg=(45.0, 70.0), defocus_range_um=(1.0, 12.0)
)
OTHER_SOURCE = Conditions(snr_range=(0.5, 0.5), defocus_range_um=(8.0, 8.0))


def adaptation_rows(runs: Runs) -> list[BenchRow]:
    """Accuracy on recipe two of every way, and the share of the gap that it closes."""
    known = runs.material.known
    target = made_set(known, RECIPE_TWO, TRAIN_EACH, (TRAINING, 100), voxel_nm=VOXEL_TWO_NM)
    test = made_set(known, RECIPE_TWO, TEST_TWO_EACH, (TEST, 100), voxel_nm=VOXEL_TWO_NM)
    source = runs.trained(NETWORK, 0, OURS)
    oracle = runs.trained(NETWORK, 0, OURS, key="oracle-of-recipe-two", data=target)
    low, high = right(source.network, test), right(oracle.network, test)
    rows = [
        accuracy_row("accuracy_on_recipe_two_source_only", [low]),
        accuracy_row("accuracy_on_recipe_two_oracle", [high]),
    ]
    gap = float(high.mean() - low.mean())
    for name, adapted in _ways(runs, source.network, target).items():
        own = right(adapted(), test)
        rows.append(accuracy_row(f"accuracy_on_recipe_two_by_{name}", [own]))
        if gap > 0:
            rows.append(_closed_row(name, own, low, gap))
    return rows


def _closed_row(name: str, own: Bools, low: Bools, gap: float) -> BenchRow:
    """Share of the gap between source only and oracle; interval over paired subtomograms."""
    closed = (own.astype(np.float64) - low) / gap
    return BenchRow(
        f"gap_closed_by_{name}", float(closed.mean()), "1", "higher",
        *bootstrap_mean(closed.tolist()), GOAL if name == "all_of_ours" else None,
        f"gap {gap:.3f} of accuracy",
    )  # fmt: skip


def _ways(
    runs: Runs, network: nn.Module, target: LabelledSubtomograms
) -> dict[str, Callable[[], nn.Module]]:
    known, first, images = runs.material.known, runs.training(0), target.images
    params = AdaptationParams()

    def several() -> nn.Module:
        other = made_set(known, OTHER_SOURCE, TRAIN_EACH, (TRAINING, 101))
        sources = [first.images, other.images]
        return adapted_adversarially(network, sources, images, params, runs.on_training)

    def of_spectrum() -> nn.Module:
        changed = replace(first, images=with_target_spectrum(first.images, mean_power(images)))
        return runs.trained(NETWORK, 0, OURS, key="spectrum-of-recipe-two", data=changed).network

    @cache
    def wide() -> LabelledSubtomograms:
        return made_set(known, RANDOMISED, TRAIN_EACH, (TRAINING, 102))

    def randomised() -> nn.Module:
        return runs.trained(NETWORK, 0, OURS, key="randomised", data=wide()).network

    @cache
    def like_target() -> LabelledSubtomograms:
        """Randomised conditions, the target's spectrum."""
        return replace(wide(), images=with_target_spectrum(wide().images, mean_power(images)))

    def with_both() -> nn.Module:
        fitted = runs.trained(NETWORK, 0, OURS, key="all-of-recipe-two", data=like_target())
        return with_target_statistics(fitted.network, images)

    def ours() -> nn.Module:
        """Begun with features of random complexes; then taught by its own surest answers."""
        fitted = runs.begun(PUBLISHED, key="begun-of-recipe-two", data=like_target())
        begun = with_both() if fitted is None else fitted.network
        return adapted_by_own_answers(begun, like_target(), images, on_progress=runs.on_training)

    return {
        "statistics": lambda: with_target_statistics(network, images),
        "correlation_alignment": lambda: adapted_by_coral(
            network, first, images, params, runs.on_training
        ),
        "3d_ada": lambda: adapted_adversarially(
            network, [first.images], images, params, runs.on_training
        ),
        "3d_ada_of_two_sources": several,
        "spectrum": of_spectrum,
        "randomisation": randomised,
        "randomisation_spectrum_statistics": with_both,
        "all_of_ours": ours,
    }
