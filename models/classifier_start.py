"""A classifier that begins with the weights of a finished one."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from engine.errors import BadInputError
from models.finished import read_finished
from models.warm_start import take_weights

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
