"""Boxes about the mitochondria of simulated fields, labelled with their state.

Each field is shown several times: at other strengths of its noise and, in half of the draws, with
spectra of signal and noise that other defoci, phase plates and detectors would give it. A matrix
that is told from its surroundings by its contrast alone is not told everywhere.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch

from engine.classification.extraction import normalised
from engine.data.arrays import Float32s
from engine.data.labels import MITOCHONDRION_STATES
from engine.data.subtomograms import SubtomogramStack
from engine.errors import BadInputError
from engine.io.digests import fresh_folder
from engine.segmentation.known_spectrum import Look
from engine.segmentation.mitochondrion_states import boxes_about
from engine.simulation.case import SimulatedTomogram, TrueInstance
from models.classifier_data import LabelledSubtomograms
from models.patches import mixed
from models.recipe import PoolRecipe
from models.training_pool import build_pool, simulate_member

BOXES_FILE = "boxes.npz"
# A found body's centre is off its true one by about this much along each axis (standard deviation).
CENTRE_ERROR_NM = 10.0
N_LOOKS = 3
# Per octave, see `models.patches.mixed`.
SIGNAL_TILT = 0.5


def mitochondrion_looks(
    root: Path,
    pool: PoolRecipe,
    box_vox: int,
    voxel_size_nm: float,
    device: str,
    on_progress: Callable[[float], None] | None = None,
) -> tuple[LabelledSubtomograms, ...]:
    """Every mitochondrion of a pool's fields, as often as it is looked at, in one order.

    What is missing of the pool is simulated.

    Parameters
    ----------
    root
        The pool is kept below it.

    Raises
    ------
    BadInputError
        Mitochondria of the pool have no states.
    """
    if not pool.mitochondrion_states:
        raise BadInputError("expected a pool with mitochondrion_states: true")
    build = partial(build_boxes, box_vox=box_vox, voxel_size_nm=voxel_size_nm)
    folder = root / f"looks-{box_vox}-{voxel_size_nm:g}nm"
    boxes, kinds = [], []
    for member in build_pool(folder, pool, device, on_progress, build):
        with np.load(member / BOXES_FILE) as kept:
            boxes.append(kept["boxes"])
            kinds.append(kept["kinds"])
    states = torch.from_numpy(np.concatenate(kinds).astype(np.int64))
    return tuple(
        LabelledSubtomograms(
            torch.from_numpy(images.astype(np.float32))[:, None], states, MITOCHONDRION_STATES
        )
        for images in np.concatenate(boxes, axis=1)
    )


def build_boxes(
    path: Path, pool: PoolRecipe, index: int, device: str, *, box_vox: int, voxel_size_nm: float
) -> None:
    """Simulate one field and write the boxes about its mitochondria, (looks, n, z, y, x)."""
    made = simulate_member(pool, index, device)
    chosen = [one for one in made.truth.organelles if one.shown_state is not None]
    rng = np.random.default_rng([pool.seed, index, box_vox])
    boxes = np.empty((N_LOOKS, len(chosen), box_vox, box_vox, box_vox), dtype=np.float16)
    for number in range(N_LOOKS if chosen else 0):
        look = _look(made, pool, rng)
        boxes[number] = _boxes(made, look, chosen, rng, box_vox, voxel_size_nm)
    kinds = [MITOCHONDRION_STATES.index(str(one.shown_state)) for one in chosen]
    with fresh_folder(path) as folder:
        np.savez(folder / BOXES_FILE, boxes=boxes, kinds=np.array(kinds, dtype=np.int8))


def _look(made: SimulatedTomogram, pool: PoolRecipe, rng: np.random.Generator) -> Look:
    """The field at another SNR of the pool's range, maybe through another microscope."""
    signal = torch.from_numpy(made.tomogram.voxels - made.noise)
    snr = float(np.exp(rng.uniform(*np.log(pool.snr_range))))
    noise = torch.from_numpy(made.noise) * math.sqrt(made.params.acquisition.snr / snr)
    image = mixed(signal, noise, rng, SIGNAL_TILT)
    return Look(image.numpy(), made.tomogram.voxel_size_angst / 10.0)


def _boxes(
    made: SimulatedTomogram,
    look: Look,
    chosen: Sequence[TrueInstance],
    rng: np.random.Generator,
    box_vox: int,
    voxel_size_nm: float,
) -> Float32s:
    """Boxes (n, z, y, x) about bodies whose centres are told as well as they are found."""
    centres = np.array([one.centroid_angst for one in chosen]) / 10.0
    centres += rng.normal(0.0, CENTRE_ERROR_NM, centres.shape)
    numbers = [one.instance_id for one in chosen]
    boxes = boxes_about(
        look, centres, numbers, made.truth.instances, look.voxel_nm, box_vox, voxel_size_nm
    )
    names = tuple(str(number) for number in numbers)
    return normalised(
        SubtomogramStack(
            boxes, 10.0 * voxel_size_nm, names, ("",) * len(names), made.tomogram.provenance
        )
    )
