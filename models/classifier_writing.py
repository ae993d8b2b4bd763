"""A trained classifier of subtomograms as a registry folder: ONNX, card, manifest."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from engine import __version__
from engine.classification.classifier import INPUT, OUTPUTS, TASK
from engine.classification.confidence import (
    OpenSetModel,
    StrangerClass,
    calibration_error,
    fitted_open_set,
    fitted_stranger_class,
    fitted_temperature,
    probabilities_of,
)
from engine.data.arrays import Float64s
from engine.segmentation.network_files import MODEL_FILE
from models.classifier_training import FitParams, Fitted
from models.onnx_export import fold_batch_norm, write_checked
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
        Of its features; where it was shown strangers, of its logits.
    metrics
        On held-out examples.
    """

    class_names: tuple[str, ...]
    box_vox: int
    voxel_size_nm: float
    temperature: float
    open_set: OpenSetModel | StrangerClass
    metrics: Mapping[str, float]


class Deployed(nn.Module):
    """A classifier with its temperature and its distance from known classes inside.

    Where strangers are its last class, their log odds count in the distance, and it is no class
    that is named.
    """

    def __init__(
        self, network: nn.Module, temperature: float, open_set: OpenSetModel | StrangerClass
    ) -> None:
        super().__init__()
        self.network, self.temperature = network, temperature
        self.has_strangers = isinstance(open_set, StrangerClass)
        distance = open_set.distance if isinstance(open_set, StrangerClass) else open_set
        self.has_distance = distance is not None
        self.weight = open_set.weight if isinstance(open_set, StrangerClass) else 1.0
        if distance is None:
            return
        # precision = root root^T: the distance is that of turned features, a plain sum.
        root = np.linalg.cholesky(distance.precision)
        self.register_buffer("root", torch.tensor(root, dtype=torch.float32))
        turned = torch.tensor(distance.means @ root, dtype=torch.float32)
        self.register_buffer("means", turned)
        # Offsets are scaled, not their squared sums: OpenVINO 2026 returned zeros for a division
        # between two reductions.
        scales = torch.tensor(1.0 / np.sqrt(distance.typical), dtype=torch.float32)
        self.register_buffer("scales", scales[:, None])

    def forward(self, volumes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Calibrated logits (n, classes), features (n, d), distances (n,)."""
        features = self.network.features(volumes)  # type: ignore[operator]
        logits = self.network.classified(features)  # type: ignore[operator]
        if not self.has_strangers:
            return logits / self.temperature, features, self._distances(features)
        known = logits[:, :-1]
        odds = logits[:, -1] - torch.logsumexp(known, dim=1)
        if self.has_distance:
            odds = odds + self.weight * self._distances(features)
        return known / self.temperature, features, odds

    def _distances(self, features: Tensor) -> Tensor:
        turned = compared_of(self.network, features) @ self.root  # type: ignore[operator]
        offsets = (turned[:, None] - self.means[None]) * self.scales  # type: ignore[index,operator]
        return offsets.square().sum(dim=2).amin(dim=1)


def compared_of(network: nn.Module, features: Tensor) -> Tensor:
    """What of the features is compared with class means: all, or what a network makes of them."""
    own = getattr(network, "compared", None)
    return features if own is None else own(features)


def features_of(network: nn.Module, images: Tensor, batch: int = 128) -> Tensor:
    """Features (n, d) of many subtomograms, in batches."""
    with torch.inference_mode():
        parts = [network.eval().features(part) for part in torch.split(images, batch)]  # type: ignore[operator]
    return torch.cat(parts)


def logits_from(network: nn.Module, features: Tensor) -> Float64s:
    """Logits (n, classes) of features (n, d)."""
    with torch.inference_mode():
        found: Float64s = network.classified(features).double().numpy()  # type: ignore[operator]
    return found


def deployment_of(fitted: Fitted, voxel_size_nm: float) -> Deployment:
    """Class means from what a network was trained on; the rest from what its training held out."""
    kept, n_known = fitted.held_out, len(fitted.shown.known_names)
    features = features_of(fitted.network, kept.images)
    every = logits_from(fitted.network, features)
    is_known = kept.kinds.numpy() < n_known
    logits, kinds = every[is_known, :n_known], kept.kinds.numpy()[is_known]
    temperature = fitted_temperature(logits, kinds)
    probabilities = probabilities_of(logits, temperature)
    metrics = {
        "accuracy": float((logits.argmax(axis=1) == kinds).mean()),
        "calibration-error": calibration_error(probabilities, kinds),
    }
    open_set: OpenSetModel | StrangerClass
    if fitted.shown.has_strangers:
        compared = _compared(fitted.network, features)
        # Of a network that was shown many, log odds are enough.
        averaged = hasattr(fitted.network, "compared")
        distance = _by_features(fitted, compared) if averaged else None
        open_set = fitted_stranger_class(every[is_known], compared[is_known], distance)
        theirs = open_set.scores(every[~is_known], compared[~is_known])
        if len(theirs):
            metrics["strangers-refused"] = float((theirs > open_set.limit).mean())
    else:
        open_set = _by_features(fitted, _compared(fitted.network, features))
    return Deployment(
        fitted.shown.known_names, int(kept.images.shape[-1]), voxel_size_nm, temperature, open_set,
        metrics,
    )  # fmt: skip


def _by_features(fitted: Fitted, held_out: Float64s) -> OpenSetModel:
    """Of what training was shown, and what is compared (n, d) of what it held out."""
    shown, kept = fitted.shown, fitted.held_out
    return fitted_open_set(
        _compared(fitted.network, features_of(fitted.network, shown.images)),
        shown.kinds.numpy(),
        held_out,
        kept.kinds.numpy(),
        len(shown.known_names),
    )


def none_scores(
    network: nn.Module, model: OpenSetModel | StrangerClass, features: Tensor
) -> Float64s:
    """What is larger, (n,), the more features (n, d) are of none of the classes, as deployed."""
    compared = _compared(network, features)
    if isinstance(model, OpenSetModel):
        return model.scores(compared)
    return model.scores(logits_from(network, features), compared)


def _compared(network: nn.Module, features: Tensor) -> Float64s:
    with torch.inference_mode():
        found: Float64s = compared_of(network, features).double().numpy()
    return found


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
    sides = (deployment.box_vox,) * 3
    shown = np.random.default_rng(0).standard_normal((5, 1, *sides), dtype=np.float32)
    difference = write_checked(
        fold_batch_norm(deployed).requires_grad_(False),
        folder / MODEL_FILE,
        example=torch.zeros((2, 1, *sides)),
        shown=torch.from_numpy(shown),
        axes={name: {0: "n"} for name in (INPUT, *OUTPUTS)},
    ).relative_difference
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
            "none_score": _named(deployment.open_set),
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


def _named(open_set: OpenSetModel | StrangerClass) -> str:
    """What tells that a subtomogram is none of the classes, in words."""
    if isinstance(open_set, OpenSetModel):
        return "distance from the nearest class"
    if open_set.distance is None:
        return "log odds of a stranger"
    return "log odds of a stranger, with the distance from the nearest class"
