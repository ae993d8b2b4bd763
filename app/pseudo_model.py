"""Training the generator of pseudo-structures from a folder of known densities."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from engine.errors import BadInputError
from engine.io.template_files import read_template
from models.pseudo_export import write_pseudo_model
from models.pseudo_figures import quality_figures
from models.pseudo_training import (
    PseudoTrainer,
    PseudoTrainingParams,
    load_checkpoint,
    save_checkpoint,
    stored_density,
)

RECIPE, NAME, CHECKPOINT = "pseudo", "pseudo-1", "checkpoint.pt"
# The exported network is drawn from as trained; progress comes at checkpoints.
CHECKPOINT_MINUTES = 0.25


def train_pseudo_model(
    densities: Path,
    work: Path,
    out: Path,
    *,
    minutes: float | None,
    device: str,
    on_progress: Callable[[float], None],
) -> dict[str, float]:
    """Train the generator, or go on from its checkpoint, and export it to `out / NAME`.

    Parameters
    ----------
    densities
        Folder of MRC maps, protein bright, one structure each.
    work
        Holds the checkpoint.
    minutes
        Of training in all; None for the shipped network's.

    Returns
    -------
    dict
        Quality figures, as the card has them.

    Raises
    ------
    BadInputError
        No map in the folder.
    """
    paths = sorted(densities.glob("*.mrc"))
    if not paths:
        raise BadInputError(
            f"expected a folder of densities (.mrc) with --densities, found none in {densities}"
        )
    stored = np.stack([stored_density(read_template(p).voxels) for p in paths])
    params = PseudoTrainingParams()
    params = replace(
        params,
        max_minutes=params.max_minutes if minutes is None else minutes,
        checkpoint_minutes=CHECKPOINT_MINUTES,
    )
    trainer = PseudoTrainer(stored.astype(np.float32), params, device)
    checkpoint = work / NAME / CHECKPOINT
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    if checkpoint.exists():
        load_checkpoint(trainer, checkpoint)

    def keep(running: PseudoTrainer) -> None:
        save_checkpoint(running, checkpoint)
        on_progress(min(1.0, running.elapsed_s / 60.0 / params.max_minutes))

    trainer.run(keep)
    save_checkpoint(trainer, checkpoint)
    figures = quality_figures(trainer) | {"steps": float(trainer.step)}
    command = f"tomodx train {RECIPE} --densities DIR"
    write_pseudo_model(trainer.averaged, params, figures, out / NAME, command)
    return figures
