"""Subtomograms named by a trained network: class, probability, embedding, none of these."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import openvino
from scipy.special import softmax

from engine.classification.extraction import at_sampling, normalised
from engine.data.arrays import Float32s
from engine.data.classification import Classification
from engine.data.provenance import FileDigest
from engine.data.subtomograms import SubtomogramStack
from engine.errors import BadInputError, ModelFileError
from engine.segmentation.inference import (
    Place,
    onnx_session,
    open_where_fastest,
    openvino_options,
)
from engine.segmentation.network_files import MODEL_FILE, file_sha256, read_card

TASK = "classification"
INPUT = "volumes"
OUTPUTS = ("logits", "embedding", "distance")
BATCH = 64


@dataclass(frozen=True)
class ClassifierSpec:
    """What inference must know of a classifier.

    Attributes
    ----------
    box_vox, voxel_size_nm
        Of the subtomograms it was trained on.
    none_limit
        Distance from which a subtomogram is called none of the classes.
    """

    name: str
    class_names: tuple[str, ...]
    box_vox: int
    voxel_size_nm: float
    none_limit: float
    digest: FileDigest


class _Runner(Protocol):
    def run(self, batch: Float32s) -> list[Float32s]:
        """Every output, (n, …), of a batch of images (n, 1, z, y, x), n at most `BATCH`."""
        ...


class _OpenVino:
    """One compiled shape: batches are filled up."""

    def __init__(self, path: Path, box_vox: int) -> None:
        core = openvino.Core()
        model = core.read_model(path)
        model.reshape([BATCH, 1, box_vox, box_vox, box_vox])
        compiled = core.compile_model(model, "CPU", openvino_options())
        self._request = compiled.create_infer_request()

    def run(self, batch: Float32s) -> list[Float32s]:
        """Every output, (n, …), of at most `BATCH` images (n, 1, z, y, x)."""
        whole = np.zeros((BATCH, *batch.shape[1:]), dtype=np.float32)
        whole[: len(batch)] = batch
        self._request.infer([whole])
        return [
            np.array(self._request.get_output_tensor(index).data[: len(batch)])
            for index in range(len(OUTPUTS))
        ]


class _OnnxRuntime:
    def __init__(self, path: Path, device: str) -> None:
        self._session = onnx_session(path, device)

    def run(self, batch: Float32s) -> list[Float32s]:
        """Every output, (n, …), of images (n, 1, z, y, x)."""
        return [np.asarray(one) for one in self._session.run(list(OUTPUTS), {INPUT: batch})]


class SubtomogramClassifier:
    """A classifier's ONNX file, opened.

    Parameters
    ----------
    folder
        Holds `model.onnx`, `card.yaml` and the manifest of hashes.
    device
        `auto`, `cpu` or `cuda`.

    Raises
    ------
    ModelFileError
        A file is absent or altered, the network is no classifier of subtomograms, or `cuda` is
        asked for and absent.
    """

    def __init__(self, folder: Path, device: str = "auto") -> None:
        self.spec = read_classifier_spec(folder)
        path = folder / MODEL_FILE

        def opened(place: Place) -> _Runner:
            if place == "openvino":
                return _OpenVino(path, self.spec.box_vox)
            return _OnnxRuntime(path, place)

        self._runner = open_where_fastest(path, device, opened)

    def classify(
        self, stack: SubtomogramStack, on_progress: Callable[[float], None] | None = None
    ) -> Classification:
        """Name every subtomogram of a stack, brought to the network's box and sampling.

        Raises
        ------
        BadInputError
            Boxes that are too small, or constant.
        """
        report = on_progress or (lambda fraction: None)
        if not len(stack):
            raise BadInputError("expected at least one subtomogram, found an empty stack")
        parts: list[list[Float32s]] = []
        for done, batch in _batches(stack, self.spec):
            parts.append(self._runner.run(batch))
            report(done)
        logits, embeddings, distances = (
            np.concatenate([part[index] for part in parts]) for index in range(len(OUTPUTS))
        )
        distances = distances.astype(np.float64)
        return Classification(
            self.spec.class_names,
            np.asarray(softmax(logits.astype(np.float64), axis=1)),
            embeddings,
            distances,
            distances > self.spec.none_limit,
        )


def _batches(stack: SubtomogramStack, spec: ClassifierSpec) -> Iterator[tuple[float, Float32s]]:
    """Share done after each batch, and its normalised images (n, 1, z, y, x)."""
    for start in range(0, len(stack), BATCH):
        part = stack.take(slice(start, start + BATCH))
        fitted = at_sampling(part, spec.box_vox, spec.voxel_size_nm * 10.0)
        yield min(1.0, (start + BATCH) / len(stack)), normalised(fitted)[:, None]


def read_classifier_spec(folder: Path) -> ClassifierSpec:
    """What inference needs, from the checked card.

    Raises
    ------
    ModelFileError
        Altered or incomplete, or another kind of network.
    """
    card = read_card(folder)
    if card.get("task") != TASK:
        raise ModelFileError(
            f"model {folder.name}: expected a classifier of subtomograms, found {card.get('task')}"
        )
    try:
        return ClassifierSpec(
            name=card["name"],
            class_names=tuple(card["class_names"]),
            box_vox=int(card["box_vox"]),
            voxel_size_nm=float(card["voxel_size_nm"]),
            none_limit=float(card["none_limit"]),
            digest=FileDigest(f"{folder.name}/{MODEL_FILE}", file_sha256(folder / MODEL_FILE)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"model {folder.name}: the card lacks {error}") from error
