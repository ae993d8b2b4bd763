"""Boxes about the mitochondria of simulated fields, labelled with their state."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from engine.classification.extraction import normalised
from engine.data.labels import MITOCHONDRION_STATES
from engine.data.subtomograms import SubtomogramStack
from engine.errors import BadInputError
from engine.io.digests import fresh_folder
from engine.segmentation.known_spectrum import Look
from engine.segmentation.mitochondrion_states import boxes_about
from models.classifier_data import LabelledSubtomograms
from models.recipe import PoolRecipe
from models.training_pool import build_pool, simulate_member

BOXES_FILE = "boxes.npz"
# A found body's centre is off its true one by about this much along each axis (standard deviation).
CENTRE_ERROR_NM = 10.0


def mitochondrion_set(
    root: Path,
    pool: PoolRecipe,
    box_vox: int,
    voxel_size_nm: float,
    device: str,
    on_progress: Callable[[float], None] | None = None,
) -> LabelledSubtomograms:
    """Every mitochondrion of a pool's fields; what is missing of the pool is simulated.

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
    folder = root / f"boxes-{box_vox}-{voxel_size_nm:g}nm"
    boxes, kinds = [], []
    for member in build_pool(folder, pool, device, on_progress, build):
        with np.load(member / BOXES_FILE) as kept:
            boxes.append(kept["boxes"].astype(np.float32))
            kinds.append(kept["kinds"])
    images = np.concatenate(boxes)
    return LabelledSubtomograms(
        torch.from_numpy(images)[:, None],
        torch.from_numpy(np.concatenate(kinds).astype(np.int64)),
        MITOCHONDRION_STATES,
    )


def build_boxes(
    path: Path, pool: PoolRecipe, index: int, device: str, *, box_vox: int, voxel_size_nm: float
) -> None:
    """Simulate one field and write the boxes about its mitochondria."""
    made = simulate_member(pool, index, device)
    chosen = [one for one in made.truth.organelles if one.state is not None]
    rng = np.random.default_rng([pool.seed, index, box_vox])
    centres = np.array([one.centroid_angst for one in chosen]).reshape(-1, 3) / 10.0
    centres += rng.normal(0.0, CENTRE_ERROR_NM, centres.shape)
    shown = [number for number, one in enumerate(chosen) if one.shown_state is not None]
    boxes = np.empty((0, box_vox, box_vox, box_vox), dtype=np.float16)
    if shown:
        voxel_nm = made.tomogram.voxel_size_angst / 10.0
        numbers = [chosen[number].instance_id for number in shown]
        look = Look(made.tomogram.voxels, voxel_nm)
        stack = SubtomogramStack(
            boxes_about(
                look, centres[shown], numbers, made.truth.instances, voxel_nm, box_vox,
                voxel_size_nm,
            ),
            10.0 * voxel_size_nm,
            tuple(str(number) for number in numbers),
            ("",) * len(numbers),
            made.tomogram.provenance,
        )  # fmt: skip
        boxes = normalised(stack).astype(np.float16)
    kinds = [MITOCHONDRION_STATES.index(str(chosen[number].shown_state)) for number in shown]
    with fresh_folder(path) as folder:
        np.savez(folder / BOXES_FILE, boxes=boxes, kinds=np.array(kinds, dtype=np.int8))
