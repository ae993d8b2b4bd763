"""`tomodx adapt`: a shipped network trained on with a site's own labelled tomograms."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from app.wiring import COARSE_MODEL, FINE_MODEL, SPECTRUM_FILE
from engine.data.arrays import Float64s
from engine.data.provenance import parameters_digest
from engine.data.tomogram import Tomogram
from engine.errors import BadInputError, MissingFileError
from engine.io.digests import sha256_of
from engine.io.mrc import GivenContrast, read_labels, read_tomogram
from engine.io.spectrum_file import read_spectrum_range
from engine.segmentation.inference import load_network
from engine.segmentation.known_spectrum import as_known
from engine.segmentation.network_files import read_card
from engine.segmentation.resampling import resample
from models.foreign_spectra import foreign_spectrum
from models.labelled import LabelledTomogram, write_labelled
from models.recipe import Recipe, Task
from models.registry import model_folder
from models.training import train
from models.writing import write_model

LABELS_SUFFIX = "_labels.mrc"
BASE: dict[Task, str] = {"coarse": COARSE_MODEL, "fine": FINE_MODEL}
# Simulated tomograms that stay in training: a network must not forget what a site did not label.
KEPT_SIMULATED = 8
LEARNING_RATE = 5e-4


@dataclass(frozen=True)
class Adapted:
    """The new network's folder and its Dice on what was held out."""

    folder: Path
    metrics: dict[str, float]
    n_tomograms: int
    n_held_out: int


def adapt_network(
    task: Task,
    labelled_folder: Path,
    work: Path,
    out: Path,
    *,
    name: str,
    steps: int,
    base: str | None = None,
    contrast: GivenContrast = "auto",
    device: str = "cpu",
    on_progress: Callable[[float], None] | None = None,
) -> Adapted:
    """Train a shipped network on with pairs `NAME.mrc`, `NAME_labels.mrc`.

    The simulated tomograms that stay in training take on the site's amplitude spectra in part. Of
    three or more tomograms the last by name is never trained on and gives the metrics; with
    fewer they are those on held-out simulation.

    Raises
    ------
    MissingFileError, BadInputError
        No pairs, or labels that are none.
    """
    pairs = labelled_pairs(labelled_folder)
    report = on_progress or (lambda fraction: None)
    recipe = _recipe(task, base or BASE[task], name, steps)
    coarse = load_network(model_folder(BASE["coarse"])) if recipe.context else None
    labelled = [
        LabelledTomogram(
            _as_known(read_tomogram(tomogram, contrast=contrast)), read_labels(labels)[0]
        )
        for tomogram, labels in pairs
    ]
    digests = [sha256_of(path) for pair in pairs for path in pair]
    own = work / f"labelled-{task}-{parameters_digest(digests)[:12]}"
    paths = write_labelled(own, labelled, task, coarse)
    spectra = [foreign_spectrum(one.tomogram, recipe) for one in labelled]
    trained = train(recipe, work, device, report, labelled=paths, spectra=spectra)
    folder = out / name
    write_model(
        trained.network, recipe, trained.metrics, folder, f"tomodx adapt {task}",
        trained.calibration,
    )  # fmt: skip
    held_out = 1 if len(paths) >= 3 else 0
    return Adapted(folder, dict(trained.metrics), len(paths), held_out)


def unlabelled_spectra(folder: Path, recipe: Recipe) -> list[Float64s]:
    """Power spectra of the tomograms of a folder, by name.

    Raises
    ------
    MissingFileError
        There is none.
    """
    paths = sorted(folder.glob("*.mrc")) if folder.is_dir() else []
    if not paths:
        raise MissingFileError(f"expected unlabelled tomograms (.mrc), found none in {folder}")
    return [foreign_spectrum(_as_known(read_tomogram(path)), recipe) for path in paths]


def _as_known(tomogram: Tomogram) -> Tomogram:
    """With the spectrum that an analysis shows its networks."""
    known = read_spectrum_range(SPECTRUM_FILE)
    voxel_nm = tomogram.voxel_size_angst / 10.0
    look = as_known(tomogram.voxels, voxel_nm, known)
    # Back on the tomogram's own grid, where its labels are.
    shown = resample(look.voxels, voxel_nm / look.voxel_nm)
    missing = [
        (0, max(0, n - have)) for n, have in zip(tomogram.voxels.shape, shown.shape, strict=True)
    ]
    z, y, x = tomogram.voxels.shape
    return replace(tomogram, voxels=np.pad(shown, missing, mode="edge")[:z, :y, :x])


def labelled_pairs(folder: Path) -> list[tuple[Path, Path]]:
    """Tomograms of a folder with their labels, by name.

    Raises
    ------
    MissingFileError
        No such folder, or no labels in it.
    BadInputError
        Labels without a tomogram.
    """
    if not folder.is_dir():
        raise MissingFileError(
            f"expected a folder with NAME.mrc and NAME{LABELS_SUFFIX}, found none at {folder}"
        )
    pairs = []
    for labels in sorted(folder.glob(f"*{LABELS_SUFFIX}")):
        tomogram = labels.with_name(labels.name.removesuffix(LABELS_SUFFIX) + ".mrc")
        if not tomogram.is_file():
            raise BadInputError(f"{labels.name}: expected {tomogram.name} beside it, found none")
        pairs.append((tomogram, labels))
    if not pairs:
        raise MissingFileError(
            f"{folder}: expected pairs NAME.mrc and NAME{LABELS_SUFFIX}, found no labels"
        )
    return pairs


def _recipe(task: Task, base: str, name: str, steps: int) -> Recipe:
    """The base network's own recipe, shorter, slower, with a few simulated tomograms."""
    known = Recipe.model_validate(read_card(model_folder(base))["training"])
    if known.task != task:
        raise BadInputError(f"{base} is a {known.task} network; give a {task} one")
    coarse = BASE["coarse"] if known.context else None
    pool = known.pool.model_copy(update={"n_tomograms": KEPT_SIMULATED, "context_model": coarse})
    return known.model_copy(
        update={
            "name": name,
            "pool": pool,
            "steps": steps,
            "learning_rate": LEARNING_RATE,
            "start_from": base,
            "batch": 2,
            "bfloat16": False,
        }
    )
