"""A trained network on disk: folder with `model.onnx`, `card.yaml` and a manifest of hashes."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from engine.data.provenance import FileDigest
from engine.errors import ModelFileError

MODEL_FILE, CARD_FILE, MANIFEST_FILE = "model.onnx", "card.yaml", "manifest.json"
# Half the voxels wrong: a count or volume from such an output is no measurement.
LOWEST_DICE = 0.5


@dataclass(frozen=True)
class NetworkSpec:
    """What inference must know of a network.

    Attributes
    ----------
    outputs
        Names of the output channels, in order.
    halo_vox
        Radius of the receptive field, rounded up to `multiple`.
    multiple
        Input sides are multiples of this.
    context
        Outputs of the coarse network that this one is shown beside the density.
    weak_outputs
        Outputs whose Dice (of points: F1) on held-out simulation is below `LOWEST_DICE`: nothing
        that rests on them is reported as a number.
    mask_thresholds
        Probability from which a voxel is in a mask, where it is not one half.
    """

    name: str
    task: str
    voxel_size_nm: float
    outputs: tuple[str, ...]
    halo_vox: int
    multiple: int
    digest: FileDigest
    weak_outputs: tuple[str, ...] = ()
    context: tuple[str, ...] = ()
    mask_thresholds: Mapping[str, float] = field(default_factory=dict)


def file_sha256(path: Path) -> str:
    """SHA-256 (hex) of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def check_manifest(folder: Path) -> None:
    """Compare every file of a model folder with its manifest.

    Raises
    ------
    ModelFileError
        A file is absent, not listed, or altered; the file is named.
    """
    manifest_path = folder / MANIFEST_FILE
    if not manifest_path.is_file():
        raise ModelFileError(
            f"model {folder.name}: no {MANIFEST_FILE}; install the model folder again"
        )
    try:
        hashes: dict[str, str] = json.loads(manifest_path.read_text(encoding="utf-8"))["sha256"]
    except (ValueError, KeyError) as error:
        raise ModelFileError(f"model {folder.name}: {MANIFEST_FILE} is not readable") from error
    for name in dict.fromkeys((MODEL_FILE, CARD_FILE, *hashes)):
        path = folder / name
        if name not in hashes or not path.is_file():
            raise ModelFileError(f"model {folder.name}: {name} is missing; install it again")
        found = file_sha256(path)
        if found != hashes[name]:
            raise ModelFileError(
                f"model {folder.name}: {name} was altered: expected SHA-256 {hashes[name][:12]}…, "
                f"found {found[:12]}…; install the model folder again"
            )


def read_card(folder: Path) -> dict[str, Any]:
    """Read the card of a model whose hashes are right."""
    check_manifest(folder)
    card: dict[str, Any] = yaml.safe_load((folder / CARD_FILE).read_text(encoding="utf-8"))
    return card


def read_network_spec(folder: Path) -> NetworkSpec:
    """Read what inference needs from the checked card."""
    card = read_card(folder)
    try:
        return NetworkSpec(
            name=card["name"],
            task=card["task"],
            voxel_size_nm=float(card["voxel_size_nm"]),
            outputs=tuple(card["outputs"]),
            halo_vox=int(card["halo_vox"]),
            multiple=int(card["multiple"]),
            context=tuple(card.get("context", ())),
            mask_thresholds=dict(card.get("mask_thresholds", {})),
            weak_outputs=_weak_outputs(card.get("metrics", {})),
            digest=FileDigest(f"{folder.name}/{MODEL_FILE}", file_sha256(folder / MODEL_FILE)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"model {folder.name}: the card lacks {error}") from error


def _weak_outputs(metrics: dict[str, float]) -> tuple[str, ...]:
    """Outputs of low Dice; of points (with an `f1_` beside it) those of low F1."""
    right = {
        name.removeprefix("dice_"): float(metrics.get(f"f1_{name.removeprefix('dice_')}", value))
        for name, value in metrics.items()
        if name.startswith("dice_")
    }
    return tuple(name for name, value in right.items() if value < LOWEST_DICE)
