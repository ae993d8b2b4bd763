"""Structures and subtomograms of the classification benchmark, each from a seed."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.structures import read_structures
from engine.simulation.subtomograms import Structure
from models.classifier_data import LabelledSubtomograms
from models.classifier_pool import SetMaker, assemblies
from models.classifier_recipe import Conditions

TEST_DATA = "TOMODX_DATA"
BOX_VOX, VOXEL_NM = 24, 1.368
SNR, TRAIN_EACH, UNSEEN_EACH = 0.1, 200, 200
# Mass in kDa, rounded: as the SHREC challenge lists the PDB entries (doi:10.2312/3dor.20201167)
# and, for those it does not have, of the complexes they show.
KNOWN_KDA = {
    "3h84": 158, "2cg9": 189, "1u6g": 239, "3cf3": 542, "1bxn": 560, "1qvr": 593, "3j9i": 680,
    "4v94": 970, "4cr2": 1310, "2uv8": 2600,
}  # fmt: skip
UNSEEN_KDA = {"3gl1": 85, "3d2f": 236, "4v4r_50S": 1500, "5mrc": 3330, "6qzp": 4300}
# Seeds far from those of recipes.
SET_SEED, ASSEMBLY_SEED = 880_001, 880_002
TRAINING, TEST = 1, 2

# As the published networks were shown it, a tilt series, and a tilt series of another microscope.
RECIPE_ONE = Conditions(snr_range=(SNR, SNR))
TILT_SERIES = Conditions(microscopies=("tilt_series",), snr_range=(SNR, SNR))
# The central structure has others beside it: there is something to segment.
CROWDED = TILT_SERIES.model_copy(update={"n_neighbours": (1, 3)})
RECIPE_TWO = Conditions(
    microscopies=("tilt_series",), snr_range=(0.5, 0.5), defocus_range_um=(3.0, 3.0)
)
VOXEL_TWO_NM = 1.1 * VOXEL_NM


@dataclass(frozen=True)
class View:
    """A microscope at SNR 0.1; names of rows and of kept networks end in its suffix."""

    suffix: str
    conditions: Conditions


PUBLISHED, TILTED = View("", RECIPE_ONE), View("_on_tilt_series", TILT_SERIES)
VIEWS = (PUBLISHED, TILTED)


@dataclass(frozen=True)
class Material:
    """Structures of the benchmark.

    Attributes
    ----------
    known
        Ten classes.
    unseen
        Five that no classifier of the benchmark is trained on.
    origin
        What they are, in words.
    """

    known: tuple[Structure, ...]
    unseen: tuple[Structure, ...]
    origin: str


def material() -> Material:
    """Densities of the validation data; random complexes where `TOMODX_DATA` names none."""
    folder = densities_folder()
    if folder is None:
        made = assemblies(15, ASSEMBLY_SEED)
        return Material(made[:10], made[10:], "random complexes of 4.5 to 14 nm radius")
    known, unseen = (
        read_structures(folder, {name: name for name in names}) for names in (KNOWN_KDA, UNSEEN_KDA)
    )
    masses = ", ".join(f"{name} {kda} kDa" for name, kda in KNOWN_KDA.items())
    return Material(known, unseen, f"densities {masses}")


def densities_folder() -> Path | None:
    """Known structures of the validation data; None without it."""
    root = os.environ.get(TEST_DATA)
    folder = Path(root) / "densities_10A" if root else None
    return folder if folder is not None and folder.is_dir() else None


def made_set(
    structures: Sequence[Structure],
    conditions: Conditions,
    each: int,
    seed: Sequence[int],
    *,
    voxel_nm: float = VOXEL_NM,
    with_targets: bool = False,
    on_progress: Callable[[float], None] | None = None,
) -> LabelledSubtomograms:
    """As many of every class, under one recipe."""
    maker = SetMaker(structures, conditions, BOX_VOX, 10.0 * voxel_nm, with_targets=with_targets)
    return maker.balanced(each, (SET_SEED, *seed), on_progress)


def training_set(structures: Sequence[Structure], seed: int, view: View) -> LabelledSubtomograms:
    """200 of every class."""
    return made_set(structures, view.conditions, TRAIN_EACH, (TRAINING, seed))


def unseen_set(structures: Sequence[Structure], view: View) -> LabelledSubtomograms:
    """200 of every structure that no training sees."""
    return made_set(structures, view.conditions, UNSEEN_EACH, (TEST, 1))
