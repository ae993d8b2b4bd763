"""Rows of the published problem: 22 classes in boxes of 40, by SNR and wedge, every network."""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cache

from torch import nn

from app.bench.classification_chapter import CHAPTER, papers_params
from app.bench.classification_runs import OURS, Runs, accuracy_row, right
from app.bench.classification_sets import SET_SEED, TEST, TRAINING, densities_folder
from app.bench.result import BenchRow
from app.structures import read_structures
from engine.simulation.subtomograms import Structure
from models.arithmetic import multiply_adds_of
from models.classifier_data import LabelledSubtomograms
from models.classifier_pool import SetMaker, assemblies
from models.classifier_recipe import Conditions
from models.classifier_training import Fitted
from models.reference_fitting import ReferenceParams
from models.table import CLASSIFIERS, MULTI_REFERENCE

BOX_VOX, VOXEL_ANGST, N_CLASSES, ASSEMBLY_SEED = 40, 10.0, 22, 880_004
# One network for all cells of the table.
SHOWN = Conditions(
    microscopies=("tilt_series",), snr_range=(0.03, 1.0), tilt_limits_deg=(40.0, 60.0)
)
SNRS, TILT_LIMITS_DEG = (math.inf, 0.5, 0.1, 0.05, 0.03, 0.01), (60.0, 50.0, 40.0)
# Averages are of one microscope: theirs are of this cell, and shown all others.
AVERAGED = SHOWN.model_copy(update={"snr_range": (0.1, 0.1), "tilt_limits_deg": (60.0, 60.0)})
NETWORKS = ("compact", "compact_small", MULTI_REFERENCE, *CHAPTER)
# Reduced: half as many for half as long. The quick tier scores what is at hand of that.
TRAIN_EACH, EPOCHS = 200, 24
TEST_EACH = 40


def table_rows(runs: Runs) -> list[BenchRow]:
    """Accuracy of each network in each cell; the full tier, or what the work folder holds."""
    names = [name for name in NETWORKS if runs.tier == "full" or runs.is_finished(_key(name, runs))]
    if not names:
        return []
    structures = table_structures()
    # Made once for all networks that are shown the same.
    made_under = cache(
        lambda conditions: made(structures, conditions, _sizes(runs)[0], (TRAINING, 600))
    )
    networks = {name: trained(runs, name, made_under(shown_to(name))).network for name in names}
    rows = []
    for place, (snr, limit) in enumerate((s, t) for s in SNRS for t in TILT_LIMITS_DEG):
        cell = SHOWN.model_copy(update={"snr_range": (snr, snr), "tilt_limits_deg": (limit, limit)})
        test = made(structures, cell, TEST_EACH, (TEST, 600, place))
        for name, network in networks.items():
            rows.append(
                accuracy_row(
                    f"accuracy_of_{name}_of_{N_CLASSES}_classes_snr_{snr:g}_tilt_{limit:g}",
                    [right(network, test)], baseline=_how(name, network, runs),
                )
            )  # fmt: skip
        runs.on_training((place + 1) / (len(SNRS) * len(TILT_LIMITS_DEG)))
    return rows


def table_structures() -> tuple[Structure, ...]:
    """Every density of the validation data, and random complexes up to 22."""
    folder = densities_folder()
    names = [] if folder is None else sorted(path.stem for path in folder.glob("*.mrc"))
    known = () if folder is None else read_structures(folder, {name: name for name in names})
    return (*known, *assemblies(N_CLASSES - len(known), ASSEMBLY_SEED))[:N_CLASSES]


def made(
    structures: Sequence[Structure], conditions: Conditions, each: int, seed: Sequence[int]
) -> LabelledSubtomograms:
    """As many of every class."""
    maker = SetMaker(structures, conditions, BOX_VOX, VOXEL_ANGST)
    return maker.balanced(each, (SET_SEED, *seed))


def shown_to(name: str) -> Conditions:
    """What a network is trained on."""
    return AVERAGED if name == MULTI_REFERENCE else SHOWN


def trained(runs: Runs, name: str, shown: LabelledSubtomograms) -> Fitted:
    """One network, trained or taken from the work folder."""
    if name == MULTI_REFERENCE:
        return runs.averaged(_key(name, runs), shown, ReferenceParams())
    params = OURS if name.startswith("compact") else papers_params(name)
    return runs.trained(
        name, 0, replace(params, epochs=_sizes(runs)[1]), key=_key(name, runs), data=shown,
        make=lambda: CLASSIFIERS[name](BOX_VOX, N_CLASSES),
    )  # fmt: skip


def _how(name: str, network: nn.Module, runs: Runs) -> str:
    each, epochs = _sizes(runs)
    cost = multiply_adds_of(network, BOX_VOX)
    alone = f"at SNR {AVERAGED.snr_range[0]:g}, +-{AVERAGED.tilt_limits_deg[0]:g}"
    shown = alone if name == MULTI_REFERENCE else f"for {epochs} epochs"
    return (
        f"chance {1 / N_CLASSES:.3f}; {cost / 1e6:.0f} million multiply-adds, {each} a class to "
        f"train {shown}"
    )


def _sizes(runs: Runs) -> tuple[int, int]:
    """How many of a class are shown, and for how many epochs."""
    return (TRAIN_EACH // 2, EPOCHS // 2) if runs.is_reduced else (TRAIN_EACH, EPOCHS)


def _key(name: str, runs: Runs) -> str:
    return f"table-{name}-{_sizes(runs)[0]}"
