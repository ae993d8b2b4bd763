"""The generator of pseudo-structures as a registry folder: ONNX file, card, manifest."""

import copy
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from engine import __version__
from engine.data.provenance import parameters_digest
from engine.segmentation.network_files import MODEL_FILE
from models.architectures.pseudo_structures import SIDE_VOX, PseudoStructureGenerator
from models.onnx_export import Parity, write_checked
from models.pseudo_training import RADIUS_VOX, PseudoTrainingParams
from models.writing import write_card

TASK = "pseudo_structures"
# Of the training densities. A sample carries no scale: it is fitted to a template before use.
VOXEL_SIZE_NM = 1.0
LIMITS = (
    "Draws random protein-like shapes for the null of template matching; none of them exists.",
    "Trained on 17 densities at 10 Å per voxel: shapes unlike all of these are not drawn.",
    "Research use only.",
)


def export_generator(generator: PseudoStructureGenerator, path: Path) -> Parity:
    """Write `latent` (n, n_latent) -> `density` (n, 32, 32, 32); removed if parity fails.

    Raises
    ------
    ParityError
        ONNX Runtime differs from torch by more than 1e-4 of the largest density.
    """
    network = copy.deepcopy(generator).cpu().float()
    torch.nn.Module.eval(network).requires_grad_(False)
    rng = np.random.default_rng(0)
    latents = rng.standard_normal((5, network.n_latent), dtype=np.float32)
    return write_checked(
        network,
        path,
        example=torch.zeros(2, network.n_latent),
        shown=torch.from_numpy(latents),
        axes={"latent": {0: "n"}, "density": {0: "n"}},
    )


def write_pseudo_model(
    generator: PseudoStructureGenerator,
    params: PseudoTrainingParams,
    metrics: Mapping[str, float],
    folder: Path,
    command: str,
) -> Parity:
    """Export a trained generator into a registry folder: ONNX, card, manifest (in that order)."""
    folder.mkdir(parents=True, exist_ok=True)
    parity = export_generator(generator, folder / MODEL_FILE)
    training = asdict(params) | {
        "generator_channels": list(params.generator_channels),
        "critic_channels": list(params.critic_channels),
        "betas": list(params.betas),
    }
    card = {
        "name": folder.name,
        "task": TASK,
        "voxel_size_nm": VOXEL_SIZE_NM,
        "outputs": ["density"],
        "halo_vox": 0,
        "multiple": SIDE_VOX,
        "n_latent": generator.n_latent,
        "radius_of_gyration_vox": RADIUS_VOX,
        "n_parameters": sum(parameter.numel() for parameter in generator.parameters()),
        "onnx_relative_difference": float(f"{parity.relative_difference:.2e}"),
        "software_version": __version__,
        "recipe_sha256": parameters_digest(params),
        "training": training,
        "metrics": {name: round(float(value), 4) for name, value in metrics.items()},
        "limits": list(LIMITS),
        "command": command,
    }
    write_card(folder, card)
    return parity
