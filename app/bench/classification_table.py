"""Rows of the published problem: 22 classes in boxes of 40, by SNR and wedge, every network."""

import math
from collections.abc import Sequence
from dataclasses import replace

from app.bench.classification_known import CHAPTER
from app.bench.classification_runs import OURS, Runs, accuracy_row, papers_params, right
from app.bench.classification_sets import SET_SEED, TEST, TRAINING, densities_folder
from app.bench.result import BenchRow
from app.structures import read_structures
from engine.simulation.subtomograms import Structure
from models.arithmetic import multiply_adds
from models.classifier_data import LabelledSubtomograms
from models.classifier_pool import SetMaker, assemblies
from models.classifier_recipe import Conditions
from models.classifier_training import Fitted
from models.table import CLASSIFIERS

BOX_VOX, VOXEL_ANGST, N_CLASSES, ASSEMBLY_SEED = 40, 10.0, 22, 880_004
# One network for all cells of the table.
SHOWN = Conditions(
    microscopies=("tilt_series",), snr_range=(0.03, 1.0), tilt_limits_deg=(40.0, 60.0)
)
SNRS, TILT_LIMITS_DEG = (math.inf, 0.5, 0.1, 0.05, 0.03, 0.01), (60.0, 50.0, 40.0)
NETWORKS = ("compact", "compact_small", *CHAPTER)
# The quick tier scores what was trained on half of it for half as long, if that is at hand.
TRAIN_EACH, EPOCHS = {"quick": 100, "full": 200}, {"quick": 12, "full": 24}
TEST_EACH = 40


def table_rows(runs: Runs) -> list[BenchRow]:
    """Accuracy of each network in each cell; the full tier, or what the work folder holds."""
    names = [name for name in NETWORKS if runs.tier == "full" or runs.is_finished(_key(name, runs))]
    if not names:
        return []
    structures = table_structures()
    shown = made(structures, SHOWN, TRAIN_EACH[runs.tier], (TRAINING, 600))
    networks = {name: trained(runs, name, shown).network for name in names}
    rows = []
    for place, (snr, limit) in enumerate((s, t) for s in SNRS for t in TILT_LIMITS_DEG):
        cell = SHOWN.model_copy(update={"snr_range": (snr, snr), "tilt_limits_deg": (limit, limit)})
        test = made(structures, cell, TEST_EACH, (TEST, 600, place))
        for name, network in networks.items():
            cost = multiply_adds(name, BOX_VOX, N_CLASSES)
            rows.append(
                accuracy_row(
                    f"accuracy_of_{name}_of_{N_CLASSES}_classes_snr_{snr:g}_tilt_{limit:g}",
                    [right(network, test)],
                    baseline=f"chance {1 / N_CLASSES:.3f}; {cost / 1e6:.0f} million multiply-adds, "
                    f"{TRAIN_EACH[runs.tier]} a class to train, {EPOCHS[runs.tier]} epochs",
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


def trained(runs: Runs, name: str, shown: LabelledSubtomograms) -> Fitted:
    """One network, trained or taken from the work folder."""
    params = OURS if name.startswith("compact") else papers_params(name)
    return runs.trained(
        name, 0, replace(params, epochs=EPOCHS[runs.tier]), key=_key(name, runs), data=shown,
        make=lambda: CLASSIFIERS[name](BOX_VOX, N_CLASSES),
    )  # fmt: skip


def _key(name: str, runs: Runs) -> str:
    return f"table-{name}-{TRAIN_EACH[runs.tier]}"
