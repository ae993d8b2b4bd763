"""The weights of finished networks, as training may begin with: alone, or averaged.

Networks trained on from one ancestor lie in one valley of the loss; half-way between them is often
lower than at either end (Wortsman et al. 2022, arXiv:2203.05482; for a network before and after it
learnt something new, Wortsman et al. 2022, doi:10.1109/CVPR52688.2022.00780).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor

from engine.errors import BadInputError
from engine.segmentation.network_files import MODEL_FILE, read_card


@dataclass(frozen=True)
class FinishedNetwork:
    """What a model folder holds.

    Attributes
    ----------
    weights
        `NAME.weight` and `NAME.bias` of every convolution, BatchNorms folded, in the order in
        which they compute.
    """

    name: str
    outputs: tuple[str, ...]
    weights: Mapping[str, Tensor]


def read_finished(folder: Path) -> FinishedNetwork:
    """A network as it ships: its calibration is in its last convolution."""
    graph = onnx.load(str(folder / MODEL_FILE)).graph
    weights = {
        tensor.name: torch.from_numpy(np.array(numpy_helper.to_array(tensor)))
        for tensor in graph.initializer
    }
    return FinishedNetwork(folder.name, tuple(read_card(folder)["outputs"]), weights)


def read_uncalibrated(folder: Path) -> FinishedNetwork:
    """A network as training left it; what `models.calibration` did is undone."""
    finished = read_finished(folder)
    done = read_card(folder).get("calibration")
    if done is None:
        return finished
    weight_name, bias_name = list(finished.weights)[-2:]
    scale, shift = torch.tensor(done["scale"]), torch.tensor(done["shift"])
    weight, bias = finished.weights[weight_name], finished.weights[bias_name]
    # (out, in, …) of a convolution, (in, out, …) of a transposed one.
    axis = 0 if weight.shape[0] == len(scale) else 1
    along = [1] * weight.dim()
    along[axis] = len(scale)
    plain = {weight_name: weight / scale.reshape(along), bias_name: (bias - shift) / scale}
    return replace(finished, weights={**finished.weights, **plain})


def averaged(networks: Sequence[FinishedNetwork]) -> FinishedNetwork:
    """The mean of the weights of networks of one shape.

    Raises
    ------
    BadInputError
        They differ in outputs or layers.
    """
    first = networks[0]
    shapes = {name: values.shape for name, values in first.weights.items()}
    for other in networks[1:]:
        same = {name: values.shape for name, values in other.weights.items()} == shapes
        if other.outputs != first.outputs or not same:
            raise BadInputError(
                f"{other.name} and {first.name} have other outputs or layers: only networks of "
                "one shape can be averaged"
            )
    mean = {
        name: torch.stack([one.weights[name] for one in networks]).mean(dim=0) for name in shapes
    }
    return FinishedNetwork("+".join(one.name for one in networks), first.outputs, mean)
