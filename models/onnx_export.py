"""A trained network as an ONNX file, checked against torch."""

import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import openvino
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from engine.data.arrays import Float32s
from engine.errors import PipelineError
from engine.segmentation.inference import openvino_options

logger = logging.getLogger(__name__)

OPSET = 20
# Relative to the largest output.
PARITY_TOLERANCE = 1e-4
# Bytes of a weight from which on it is worth a node of its own.
LEAST_HALVED = 2**18


class ParityError(PipelineError, ArithmeticError):
    """The exported network does not compute what the trained one computes."""


@dataclass(frozen=True)
class Parity:
    """Largest difference of either runtime from torch, relative to the largest output."""

    relative_difference: float


def fold_batch_norm(network: nn.Module) -> nn.Module:
    """A copy in evaluation mode with every BatchNorm folded into the convolution before it."""
    folded = torch.nn.Module.eval(network)
    for module in folded.modules():
        if not isinstance(module, nn.Sequential):
            continue
        layers = list(module)
        for index in range(len(layers) - 1):
            convolution, norm = layers[index], layers[index + 1]
            if isinstance(convolution, nn.Conv3d) and isinstance(norm, nn.BatchNorm3d):
                module[index] = fuse_conv_bn_eval(convolution, norm)
                module[index + 1] = nn.Identity()
    return folded


def export_onnx(network: nn.Module, path: Path, multiple: int, n_in: int = 1) -> Parity:
    """Write `network` with dynamic batch and volume size; the file is removed if parity fails.

    Raises
    ------
    ParityError
        Outputs differ from torch by more than 1e-4 of the largest.
    """
    folded = fold_batch_norm(network)
    for parameter in folded.parameters():
        parameter.requires_grad_(False)
    rng = np.random.default_rng(0)
    shape = (1, n_in, 3 * multiple, 5 * multiple, 4 * multiple)
    return write_checked(
        folded,
        path,
        example=torch.zeros((1, n_in, 2 * multiple, 2 * multiple, 2 * multiple)),
        shown=torch.from_numpy(rng.normal(size=shape).astype(np.float32)),
        axes={name: {0: "n", 2: "z", 3: "y", 4: "x"} for name in ("volume", "outputs")},
    )


def write_checked(
    network: nn.Module,
    path: Path,
    *,
    example: Tensor,
    shown: Tensor,
    axes: Mapping[str, Mapping[int, str]],
) -> Parity:
    """Write a network of one input as ONNX and compare it with torch; removed where they differ.

    Both runtimes that deploy it are asked, for OpenVINO has its own faults (2026.4 gave zeros for
    a division between two reductions).

    Parameters
    ----------
    network
        In evaluation mode; gives one tensor or several.
    example, shown
        Inputs to trace and to compare with, of other sizes along free axes.
    axes
        Free axes of the input, by its name, then of every output, by its name.

    Raises
    ------
    ParityError
        An output differs from torch by more than 1e-4 of its largest value.
    """
    source, *names = axes
    with warnings.catch_warnings():
        # The TorchScript exporter writes plain nodes with free sizes and no side file.
        warnings.simplefilter("ignore", DeprecationWarning)
        # Said of padding on one side alone: correct, a fold less.
        warnings.filterwarnings("ignore", "Constant folding", UserWarning)
        torch.onnx.export(
            network,
            (example,),
            str(path),
            input_names=[source],
            output_names=names,
            dynamic_axes={name: dict(own) for name, own in axes.items()},
            opset_version=OPSET,
            dynamo=False,
        )
    _store_halves(path)
    with torch.inference_mode():
        expected = network(shown)
    parts = expected if isinstance(expected, tuple) else (expected,)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found = {
        "ONNX Runtime": session.run(names, {source: shown.numpy()}),
        "OpenVINO": _by_openvino(path, shown, names),
    }
    largest = 0.0
    for runtime, outputs in found.items():
        difference = max(
            float(np.abs(ours - part.numpy()).max() / max(float(part.abs().max()), 1e-12))
            for ours, part in zip(outputs, parts, strict=True)
        )
        if not difference <= PARITY_TOLERANCE:
            path.unlink()
            raise ParityError(
                f"{path.name}: {runtime} differs from torch by {difference:.1e} of the largest "
                f"output, allowed is {PARITY_TOLERANCE:.0e}; the file was removed"
            )
        largest = max(largest, difference)
    return Parity(largest)


def _store_halves(path: Path) -> None:
    """Large weights that sixteen bits hold exactly are stored so; runtimes widen them when read."""
    model = onnx.load(path)
    casts = []
    for weight in model.graph.initializer:
        if weight.data_type != onnx.TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(weight)
        if values.nbytes < LEAST_HALVED or not np.array_equal(values, halved(values)):
            continue
        name = weight.name
        weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}_half"))
        casts.append(
            onnx.helper.make_node("Cast", [weight.name], [name], to=onnx.TensorProto.FLOAT)
        )
    if casts:
        for cast in casts:
            model.graph.node.insert(0, cast)
        onnx.save(model, path)


def halved(values: Float32s) -> Float32s:
    """Rounded to what sixteen bits hold, where all of it lies in their range; else as it is."""
    if np.abs(values).max(initial=0.0) > np.finfo(np.float16).max:
        return values
    return values.astype(np.float16).astype(np.float32)


def _by_openvino(path: Path, shown: Tensor, names: Sequence[str]) -> list[Float32s]:
    """Every output, computed as deployed."""
    core = openvino.Core()
    model = core.read_model(path)
    model.reshape(list(shown.shape))
    request = core.compile_model(model, "CPU", openvino_options()).create_infer_request()
    request.infer([shown.numpy()])
    return [np.array(request.get_tensor(name).data) for name in names]
