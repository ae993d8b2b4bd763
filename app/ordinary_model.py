"""`tomodx train ordinary`: what the tomograms look like that the networks know."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from app.wiring import COARSE_MODEL, ORDINARY_FILE
from engine.data.provenance import Provenance
from engine.data.tomogram import Tomogram
from engine.io.ordinary_file import write_ordinary
from engine.segmentation.coarse import coarse_view
from engine.segmentation.inference import load_network
from engine.segmentation.ordinary import fit_ordinary
from models.patches import as_simulated
from models.recipe import read_recipe
from models.registry import model_folder
from models.training_pool import COARSE_NM, build_pool, read_member


def train_ordinary(
    work: Path, out: Path | None, device: str, on_progress: Callable[[float], None]
) -> tuple[int, float]:
    """Describe the fine network's pool, fit, write; returns how many tomograms and the limit.

    The pool holds families A and B alone, and the shipped coarse network was trained on another.
    """
    paths = build_pool(work, read_recipe("fine").pool, device, lambda f: on_progress(0.7 * f))
    coarse = load_network(model_folder(COARSE_MODEL))
    described = []
    for done, path in enumerate(paths, start=1):
        tomogram = Tomogram(
            tomogram_id=path.name,
            voxels=as_simulated(read_member(path, "coarse")).numpy(),
            voxel_size_angst=10.0 * COARSE_NM,
            tilt_range=None,
            recorded_contrast="bright",
            provenance=Provenance("", "", simulated=True),
        )
        described.append(coarse_view(tomogram, coarse, lambda fraction: None).description)
        on_progress(0.7 + 0.3 * done / len(paths))
    ordinary = fit_ordinary(np.array(described), coarse.spec.digest.sha256)
    write_ordinary(ordinary, out or ORDINARY_FILE)
    return len(described), ordinary.limit
