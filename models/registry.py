"""The shipped networks: folders with ONNX file, card and manifest of hashes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from torch import nn

from engine import __version__
from engine.data.provenance import parameters_digest
from engine.errors import MissingFileError, ModelFileError
from engine.segmentation.network_files import (
    CARD_FILE,
    MANIFEST_FILE,
    MODEL_FILE,
    check_manifest,
    file_sha256,
    read_card,
)
from models.onnx_export import export_onnx
from models.recipe import Recipe
from models.table import ARCHITECTURES

TRAINED_FOLDER = Path(__file__).parent / "trained"
LIMITS = (
    "Trained on simulated platelet-like tomograms alone; never validated on patients.",
    "Research use only.",
)


@dataclass(frozen=True)
class ModelCard:
    """One shipped network, as a page or table shows it.

    Attributes
    ----------
    metrics
        Dice on held-out members of the training pool (families A and B).
    """

    name: str
    task: str
    folder: Path
    voxel_size_nm: float
    outputs: tuple[str, ...]
    n_parameters: int
    training: Mapping[str, Any]
    metrics: Mapping[str, float]
    limits: tuple[str, ...]
    command: str
    sha256: str
    size_mb: float


def list_models(root: Path = TRAINED_FOLDER) -> list[ModelCard]:
    """Cards of every folder below `root`, by name, after checking hashes."""
    return [
        _card(folder) for folder in sorted(root.iterdir()) if (folder / MANIFEST_FILE).is_file()
    ]


def _card(folder: Path) -> ModelCard:
    card = read_card(folder)
    model = folder / MODEL_FILE
    try:
        return ModelCard(
            name=card["name"],
            task=card["task"],
            folder=folder,
            voxel_size_nm=float(card["voxel_size_nm"]),
            outputs=tuple(card["outputs"]),
            n_parameters=int(card["n_parameters"]),
            training=card["training"],
            metrics=card["metrics"],
            limits=tuple(card["limits"]),
            command=card["command"],
            sha256=file_sha256(model),
            size_mb=model.stat().st_size / 1e6,
        )
    except KeyError as error:
        raise ModelFileError(f"model {folder.name}: the card lacks {error}") from error


def verify_models(root: Path = TRAINED_FOLDER) -> list[str]:
    """Check every model folder; returns their names.

    Raises
    ------
    ModelFileError
        The first altered or incomplete folder.
    """
    folders = [folder for folder in sorted(root.iterdir()) if folder.is_dir()]
    for folder in folders:
        check_manifest(folder)
    return [folder.name for folder in folders]


def model_folder(name: str, root: Path = TRAINED_FOLDER) -> Path:
    """Folder of a shipped model.

    Raises
    ------
    MissingFileError
        There is none of that name; the known ones are listed.
    """
    folder = root / name
    if not folder.is_dir():
        known = ", ".join(sorted(one.name for one in root.iterdir() if one.is_dir())) or "none"
        raise MissingFileError(f"no model '{name}': the registry has {known}")
    return folder


def write_model(
    network: nn.Module,
    recipe: Recipe,
    metrics: Mapping[str, float],
    folder: Path,
    command: str,
) -> None:
    """Export a trained network into a registry folder: ONNX, card, manifest (in that order)."""
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
    write_card(folder, card)


def write_card(folder: Path, card: Mapping[str, object]) -> None:
    """Write a model's card, then the manifest of hashes that vouches for both files."""
    text = yaml.safe_dump(dict(card), sort_keys=False, allow_unicode=True)
    (folder / CARD_FILE).write_text(text, encoding="utf-8")
    hashes = {name: file_sha256(folder / name) for name in (MODEL_FILE, CARD_FILE)}
    manifest = json.dumps({"sha256": hashes}, indent=2)
    (folder / MANIFEST_FILE).write_text(manifest + "\n", encoding="utf-8")
