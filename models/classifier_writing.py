"""A trained classifier of subtomograms as a registry folder: ONNX, card, manifest."""

import copy
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from engine import __version__
from engine.classification.classifier import OUTPUTS, TASK
from engine.classification.confidence import (
    OpenSetModel,
    calibration_error,
    fitted_open_set,
    fitted_temperature,
    probabilities_of,
)
from engine.segmentation.network_files import MODEL_FILE
from models.classifier_data import LabelledSubtomograms
from models.classifier_training import FitParams, Fitted, logits_of
from models.onnx_export import OPSET, PARITY_TOLERANCE, ParityError, fold_batch_norm
from models.writing import write_card

LIMITS = (
    "Trained on simulated subtomograms alone; never validated on patients.",
    "Names only the classes it lists; what it calls none of them may still be a known structure.",
    "Research use only.",
)


@dataclass(frozen=True)
class Deployment:
    """What is known of a classifier beside its weights.

    Attributes
    ----------
    box_vox, voxel_size_nm
        Of the subtomograms it was trained on.
    temperature
        Its logits are divided by.
    open_set
        Of its features.
    metrics
        On held-out examples.
    """

    class_names: tuple[str, ...]
    box_vox: int
    voxel_size_nm: float
    temperature: float
    open_set: OpenSetModel
    metrics: Mapping[str, float]


class Deployed(nn.Module):
    """A classifier with its temperature and its distance from known classes inside."""

    def __init__(self, network: nn.Module, temperature: float, open_set: OpenSetModel) -> None:
        super().__init__()
        self.network, self.temperature = network, temperature
        # precision = root root^T: the distance is that of turned features, a plain sum.
        root = np.linalg.cholesky(open_set.precision)
        self.register_buffer("root", torch.tensor(root, dtype=torch.float32))
        turned = torch.tensor(open_set.means @ root, dtype=torch.float32)
        self.register_buffer("means", turned)

    def forward(self, volumes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Calibrated logits (n, classes), features (n, d), distances (n,)."""
        features = self.network.features(volumes)  # type: ignore[operator]
        logits = self.network(volumes) / self.temperature
        turned = features @ self.root
        offsets = turned[:, None] - self.means[None]  # type: ignore[index]
        return logits, features, offsets.square().sum(dim=2).amin(dim=1)


def features_of(network: nn.Module, images: Tensor, batch: int = 128) -> Tensor:
    """Features (n, d) of many subtomograms, in batches."""
    with torch.inference_mode():
        parts = [network.eval().features(part) for part in torch.split(images, batch)]  # type: ignore[operator]
    return torch.cat(parts)


def deployment_of(
    fitted: Fitted, shown: LabelledSubtomograms, box_vox: int, voxel_size_nm: float
) -> Deployment:
    """Calibrate a trained network on what its training held out."""
    kept = fitted.held_out
    logits = logits_of(fitted.network, kept.images).double().numpy()
    kinds = kept.kinds.numpy()
    temperature = fitted_temperature(logits, kinds)
    open_set = fitted_open_set(
        features_of(fitted.network, shown.images).double().numpy(),
        shown.kinds.numpy(),
        features_of(fitted.network, kept.images).double().numpy(),
        len(shown.class_names),
    )
    probabilities = probabilities_of(logits, temperature)
    metrics = {
        "accuracy": float((logits.argmax(axis=1) == kinds).mean()),
        "calibration-error": calibration_error(probabilities, kinds),
    }
    return Deployment(shown.class_names, box_vox, voxel_size_nm, temperature, open_set, metrics)


def write_classifier(
    network: nn.Module,
    deployment: Deployment,
    training: Mapping[str, object] | FitParams,
    folder: Path,
    command: str,
) -> float:
    """Export into a registry folder; returns the largest relative difference of ONNX from torch.

    Raises
    ------
    ParityError
        ONNX Runtime differs from torch by more than 1e-4 of an output's largest value.
    """
    folder.mkdir(parents=True, exist_ok=True)
    deployed = Deployed(
        copy.deepcopy(network).eval().cpu(), deployment.temperature, deployment.open_set
    ).eval()
    difference = _export(deployed, deployment.box_vox, folder / MODEL_FILE)
    described = vars(training) if isinstance(training, FitParams) else dict(training)
    write_card(
        folder,
        {
            "name": folder.name,
            "task": TASK,
            "class_names": list(deployment.class_names),
            "box_vox": deployment.box_vox,
            "voxel_size_nm": deployment.voxel_size_nm,
            "outputs": list(OUTPUTS),
            "halo_vox": 0,
            "multiple": 1,
            "none_limit": float(deployment.open_set.limit),
            "temperature": round(deployment.temperature, 4),
            "n_parameters": sum(one.numel() for one in network.parameters()),
            "onnx_relative_difference": float(f"{difference:.2e}"),
            "software_version": __version__,
            "training": described,
            "metrics": {name: round(value, 4) for name, value in deployment.metrics.items()},
            "limits": list(LIMITS),
            "command": command,
        },
    )
    return difference


def _export(deployed: Deployed, box_vox: int, path: Path) -> float:
    folded = fold_batch_norm(deployed).requires_grad_(False)
    example = torch.randn((2, 1, box_vox, box_vox, box_vox))
    axes = {name: {0: "n"} for name in ("volumes", *OUTPUTS)}
    with warnings.catch_warnings():
        # The TorchScript exporter writes no side file and needs no onnxscript.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            folded,
            (example,),
            str(path),
            input_names=["volumes"],
            output_names=list(OUTPUTS),
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )
    difference = _difference(folded, box_vox, path)
    if difference > PARITY_TOLERANCE:
        path.unlink()
        raise ParityError(
            f"{path.name}: ONNX differs from torch by {difference:.1e} of the largest output, "
            f"allowed is {PARITY_TOLERANCE:.0e}; the file was removed"
        )
    return difference


def _difference(network: nn.Module, box_vox: int, path: Path) -> float:
    """Compare torch and ONNX Runtime on another batch size than the exported one."""
    rng = np.random.default_rng(0)
    volumes = rng.standard_normal((5, 1, box_vox, box_vox, box_vox), dtype=np.float32)
    with torch.inference_mode():
        expected = network(torch.from_numpy(volumes))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found = session.run(list(OUTPUTS), {"volumes": volumes})
    return max(
        float(np.abs(a - b.numpy()).max() / max(float(b.abs().max()), 1e-12))
        for a, b in zip(found, expected, strict=True)
    )
