"""A trained network into a folder of the registry: ONNX file, card, manifest of hashes."""

import json
from collections.abc import Mapping
from pathlib import Path

import yaml
from torch import nn

from engine import __version__
from engine.data.provenance import parameters_digest
from engine.segmentation.network_files import CARD_FILE, MANIFEST_FILE, MODEL_FILE, file_sha256
from models.calibration import Calibration
from models.onnx_export import export_onnx
from models.recipe import Recipe
from models.table import ARCHITECTURES

LIMITS = (
    "Trained on simulated platelet-like tomograms alone; never validated on patients.",
    "Research use only.",
)


def write_model(
    network: nn.Module,
    recipe: Recipe,
    metrics: Mapping[str, float],
    folder: Path,
    command: str,
    calibration: Calibration | None = None,
) -> None:
    """Export a trained network into a registry folder: ONNX, card, manifest (in that order).

    `calibration` is what was already done to the network's last convolution.
    """
    folder.mkdir(parents=True, exist_ok=True)
    architecture = ARCHITECTURES[recipe.architecture]
    multiple = architecture.multiple(len(recipe.channels))
    n_parameters = sum(parameter.numel() for parameter in network.parameters())
    parity = export_onnx(network, folder / MODEL_FILE, multiple, 1 + len(recipe.context))
    radius = architecture.receptive_radius_vox(len(recipe.channels))
    card = {
        "name": recipe.name,
        "task": recipe.task,
        "voxel_size_nm": recipe.voxel_size_nm,
        "outputs": list(recipe.outputs),
        "context": list(recipe.context),
        "halo_vox": -(-radius // multiple) * multiple,
        "multiple": multiple,
        "n_parameters": n_parameters,
        "onnx_relative_difference": float(f"{parity.relative_difference:.2e}"),
        "software_version": __version__,
        "recipe_sha256": parameters_digest(recipe.model_dump()),
        "training": recipe.model_dump(mode="json"),
        "metrics": {name: round(value, 4) for name, value in metrics.items()},
        "limits": list(LIMITS),
        "command": command,
    }
    if calibration is not None:
        card["calibration"] = {
            "scale": [round(one, 4) for one in calibration.scale],
            "shift": [round(one, 4) for one in calibration.shift],
        }
        card["mask_thresholds"] = dict(calibration.thresholds)
    write_card(folder, card)


def write_card(folder: Path, card: Mapping[str, object], *others: str) -> None:
    """Write a model's card, then the manifest of hashes that vouches for all files.

    `others` names what lies in the folder beside network and card.
    """
    text = yaml.safe_dump(dict(card), sort_keys=False, allow_unicode=True)
    (folder / CARD_FILE).write_text(text, encoding="utf-8")
    hashes = {name: file_sha256(folder / name) for name in (MODEL_FILE, CARD_FILE, *others)}
    manifest = json.dumps({"sha256": hashes}, indent=2)
    (folder / MANIFEST_FILE).write_text(manifest + "\n", encoding="utf-8")
