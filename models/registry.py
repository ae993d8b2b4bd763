"""The shipped networks: folders with ONNX file, card and manifest of hashes."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import MissingFileError, ModelFileError
from engine.segmentation.network_files import (
    MANIFEST_FILE,
    MODEL_FILE,
    check_manifest,
    file_sha256,
    read_card,
)

TRAINED_FOLDER = Path(__file__).parent / "trained"


@dataclass(frozen=True)
class ModelCard:
    """One shipped network, as a page or table shows it.

    Attributes
    ----------
    metrics
        Dice on held-out members of the training pool (families A and B).
    class_names
        Of a classifier; empty for others.
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
    class_names: tuple[str, ...] = ()


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
            class_names=tuple(card.get("class_names", ())),
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


def own_models(work: Path) -> Path:
    """Where a work folder keeps the networks that were trained in it."""
    return work / "models"


def finished_folder(name: str, work: Path) -> Path:
    """Folder of a network trained in the work folder, else of a shipped one.

    Raises
    ------
    MissingFileError
        Neither has it; the shipped ones are listed.
    """
    own = own_models(work) / name
    if own.is_dir():
        return own
    try:
        return model_folder(name)
    except MissingFileError as error:
        raise MissingFileError(f"{error}; {own_models(work)} has none, train it there") from error
