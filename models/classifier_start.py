"""What a finished classifier says, and networks that begin with its weights."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from engine.classification.classifier import INPUT, OUTPUTS
from engine.errors import BadInputError
from engine.segmentation.inference import onnx_session
from engine.segmentation.network_files import MODEL_FILE
from models.finished import read_finished
from models.warm_start import take_weights

BATCH = 64
# Where the exported file keeps the network, see `models.classifier_writing.Deployed`.
PREFIX = "network."


def begin_with(network: nn.Module, folder: Path, batches: Iterable[Tensor]) -> int:
    """Give `network` the features of a finished classifier; its classes stay as they are.

    Parameters
    ----------
    batches
        Images as in training, for the statistics of the BatchNorms.

    Returns
    -------
    int
        Layers that were taken over.

    Raises
    ------
    BadInputError
        No layer of the finished classifier fits.
    """
    finished = read_finished(folder)
    weights = {name.removeprefix(PREFIX): values for name, values in finished.weights.items()}
    taken = take_weights(network, replace(finished, weights=weights), (), batches)
    if not taken:
        raise BadInputError(f"{folder.name}: no layer of it fits the network that is trained")
    embedding = getattr(network, "embedding", None)
    known = weights.get("embedding.weight")
    if isinstance(embedding, nn.Linear) and known is not None:
        with torch.no_grad():
            if known.shape == embedding.weight.shape:
                embedding.weight.copy_(known)
                embedding.bias.copy_(weights["embedding.bias"])
                taken += 1
    return taken


def outputs_of(folder: Path, images: Tensor) -> dict[str, Tensor]:
    """Every output of a finished classifier, by name.

    Parameters
    ----------
    images
        (n, 1, z, y, x), of the box and sampling it was trained on, zero mean and unit variance.

    Returns
    -------
    dict
        `logits` (n, classes), calibrated; `embedding` (n, features); `distance` (n,).
    """
    session = onnx_session(folder / MODEL_FILE, "cpu")
    parts = [
        session.run(list(OUTPUTS), {INPUT: part.numpy()}) for part in torch.split(images, BATCH)
    ]
    return {
        name: torch.from_numpy(np.concatenate([part[index] for part in parts]))
        for index, name in enumerate(OUTPUTS)
    }
