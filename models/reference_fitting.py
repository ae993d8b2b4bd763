"""Structures of classes from labelled subtomograms alone, for `multi_reference`.

Every class is averaged (`models.class_averaging`). Noise is Gaussian and the same in all; its
spectrum, which shows the missing wedge too, is the subtomograms' own, less what the averages
explain.
"""

import hashlib
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from engine.data.classification import NONE_OF_THESE
from engine.errors import BadInputError
from engine.matching.rotation_grid import even_rotations
from models.architectures.multi_reference import (
    LEAST_SIDE,
    N_ORIENTATIONS,
    STRANGER_SHARE,
    MultiReference,
    band_indices,
)
from models.ball_functions import ball_functions
from models.class_averaging import (
    BATCH,
    COARSE_BAND,
    COARSE_ORIENTATIONS,
    WhiteNoise,
    grown_average,
    refined_average,
    spectra_at,
)
from models.classifier_data import LabelledSubtomograms, require_every_class, stratified_split
from models.classifier_training import Fitted, logits_of
from models.onnx_export import halved
from models.supposed_structures import as_averaged

logger = logging.getLogger(__name__)

# As a share of the box, in Fourier voxels: what is looked at at most.
WIDEST_BAND = 0.4
# Share of the power of a shell below which the averages see nothing there; most that is believed.
LEAST_SIGNAL, MOST_SIGNAL = 0.003, 0.8
# Of the power of all turned references: what the reduction may lose.
REDUCTION_LOSS = 0.05
CHECKPOINT_FILE = "references.pt"
# Of the estimate: averages that another one left in a folder are made anew.
VERSION = 2


@dataclass(frozen=True)
class ReferenceParams:
    """How references are estimated.

    Attributes
    ----------
    iterations
        At full resolution and over all shifts, for every class.
    held_out
        Share of every class that no average sees: calibration belongs there.
    orientations
        In which a class is compared: fewer make a smaller, faster, less right network.
    """

    iterations: int = 10
    held_out: float = 0.1
    orientations: int = N_ORIENTATIONS
    seed: int = 0


@dataclass(frozen=True)
class FittedReferences(Fitted):
    """A `multi_reference` network with the averages that it holds.

    Attributes
    ----------
    averages
        float32 (classes, z, y, x): each class in a pose of its own, as the microscope shows it, in
        units of the subtomograms. Up to the band that is looked at, within a ball.
    """

    averages: Tensor


def fit_references(
    data: LabelledSubtomograms,
    params: ReferenceParams,
    *,
    strangers: Tensor | None = None,
    folder: Path | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> FittedReferences:
    """A `multi_reference` network of labelled subtomograms.

    What is labelled none of the classes is left out: it has no one structure.

    Parameters
    ----------
    strangers
        Densities (n, z, y, x) of structures that are none of the classes, in boxes and at the
        sampling of the subtomograms, protein bright: each has a reference, and together they are
        one more class, `NONE_OF_THESE`.
    folder
        Where class averages are kept; those that are there are not estimated again.

    Raises
    ------
    BadInputError
        A class without an example, a box of fewer than 12 voxels, an odd or uneven one, strangers
        in others.
    """
    require_every_class(data)
    sides = set(data.images.shape[2:])
    box = int(data.images.shape[-1])
    if len(sides) > 1 or box % 2 or box < LEAST_SIDE:
        raise BadInputError(
            f"multi_reference: expected cubes of an even side of {LEAST_SIDE} voxels or more, "
            f"found {'x'.join(str(side) for side in data.images.shape[2:])}"
        )
    if strangers is not None and strangers.shape[1:] != data.images.shape[2:]:
        raise BadInputError(
            f"multi_reference: strangers in boxes of {strangers.shape[-1]} voxels, classes in "
            f"boxes of {box}: expected the same"
        )
    report = on_progress or (lambda fraction: None)
    rng = np.random.default_rng([params.seed, 0])
    shown, kept = stratified_split(data.of_known(), params.held_out, rng=rng)
    shown, kept = (replace(one, class_names=data.known_names) for one in (shown, kept))
    noise, found = _estimated(shown, params, folder, report)
    others = []
    if strangers is not None:
        others = list(as_averaged(noise.functions, torch.stack(found), strangers))
        names = (*data.known_names, NONE_OF_THESE)
        shown, kept = (replace(one, class_names=names) for one in (shown, kept))
    network = _network(noise, [*found, *others], len(found), params)
    loss = _loss(network, kept)
    averages = _volumes(noise, found)
    return FittedReferences(network.eval(), (loss,), shown, kept, averages)


def _estimated(
    shown: LabelledSubtomograms,
    params: ReferenceParams,
    folder: Path | None,
    report: Callable[[float], None],
) -> tuple[WhiteNoise, list[Tensor]]:
    """Noise and the coefficients of every class at full resolution."""
    box = int(shown.images.shape[-1])
    images, kinds = shown.images[:, 0], shown.kinds.numpy()
    widest = min(WIDEST_BAND * box, box / 2 - 1)
    zyx = band_indices(box, widest)
    spectra = torch.cat([spectra_at(part, zyx) for part in torch.split(images, BATCH)])
    power = spectra.abs().square().mean(dim=0)
    noise = WhiteNoise(ball_functions(box, box / 2 - 0.5, widest), power, zyx)
    kept = _Kept(folder, f"{VERSION}-{_digest(shown)}-{params.seed}")
    rough = []
    for kind in range(len(shown.class_names)):
        own, rng = spectra[kinds == kind], np.random.default_rng([params.seed, 1, kind])
        rough.append(kept.made(f"rough-{kind}", partial(grown_average, noise, own, rng)))
        report(0.4 * (kind + 1) / len(shown.class_names))
    noise, found, inside = _narrowed(noise, rough, power)
    spectra = spectra[:, inside]
    fine = []
    for kind, start in enumerate(found):
        own, rng = spectra[kinds == kind], np.random.default_rng([params.seed, 2, kind])
        fine.append(
            kept.made(
                f"fine-{kind}-{params.iterations}",
                partial(refined_average, noise, own, start, params.iterations, rng),
            )
        )
        report(0.4 + 0.6 * (kind + 1) / len(found))
    return noise, fine


def _narrowed(
    noise: WhiteNoise, rough: list[Tensor], power: Tensor
) -> tuple[WhiteNoise, list[Tensor], Tensor]:
    """Noise without the averages' own power, on the band where they have any."""
    functions = noise.functions
    radii = torch.tensor(np.linalg.norm(noise.zyx, axis=1), dtype=torch.float32)
    shells = radii.round().long()
    signal = _signal_share(noise, rough)
    n_in = torch.bincount(shells[noise.measured], minlength=int(shells.max()) + 1)
    sums = torch.zeros(len(n_in)).index_add_(0, shells, signal * noise.measured)
    share = (sums / n_in.clamp_min(1)).clamp_max(MOST_SIGNAL)
    seen = torch.nonzero(share > LEAST_SIGNAL)
    top = int(seen.max()) if len(seen) else int(shells.max())
    band = min(functions.band, max(top + 0.5, COARSE_BAND * functions.box_vox))
    inside = radii <= band
    left = 1.0 - share
    # The same functions, but for those of too high a frequency; in units of less noise.
    held = functions.frequencies <= band
    scale = 1.0 / torch.sqrt(left[functions.frequencies[held].round().long()])
    quieter = WhiteNoise(
        functions.narrowed(band), (power * left[shells])[inside], noise.zyx[inside.numpy()]
    )
    return quieter, [one[held] * scale for one in rough], inside


def _signal_share(noise: WhiteNoise, averages: list[Tensor]) -> Tensor:
    """Mean power (d,) of turned averages of all classes, that of an image 1."""
    turns = even_rotations(COARSE_ORIENTATIONS)
    half = len(noise.zyx)
    total = torch.zeros(half)
    for one in averages:
        seen = noise.functions.turned(one, turns) @ noise.basis
        total += (seen[:, :half] ** 2 + seen[:, half:] ** 2).mean(dim=0) / 2.0
    return total / len(averages)


def _network(
    noise: WhiteNoise, averages: list[Tensor], n_known: int, params: ReferenceParams
) -> MultiReference:
    """References in every orientation, reduced to the few numbers in which they differ.

    Averages after the known classes are those of strangers.
    """
    n_strangers = len(averages) - n_known
    functions = noise.functions
    rng = np.random.default_rng([params.seed, 3])
    turns, fewer = (
        Rotation.random(rng=rng) * even_rotations(count)
        for count in (params.orientations, params.orientations // STRANGER_SHARE)
    )
    each = [
        functions.turned(one, turns if number < n_known else fewer)
        for number, one in enumerate(averages)
    ]
    templates = torch.cat(each)
    energies = 0.5 * ((templates @ noise.overlap) * templates).sum(dim=1)
    counts = [len(one) for one in each]
    power = noise.basis.T @ (templates.T @ templates) @ noise.basis
    values, vectors = torch.linalg.eigh(power.double())
    lost = torch.cumsum(values.clamp_min(0.0), dim=0) / values.clamp_min(0.0).sum()
    reduction = vectors[:, lost > REDUCTION_LOSS].float().T
    network = MultiReference(
        functions.box_vox, n_known + (n_strangers > 0), band=functions.band,
        n_reduced=len(reduction), n_orientations=params.orientations, n_strangers=n_strangers,
    )  # fmt: skip
    with torch.no_grad():
        network.weights.copy_(noise.weights)  # type: ignore[operator]
        # What the file stores in half of the bytes: poses and noise blur more than sixteen bits do.
        reduction = torch.from_numpy(halved(reduction.numpy()))
        network.reduced.weight.copy_(reduction)
        references = (templates @ noise.basis @ reduction.T).numpy()
        network.references.weight.copy_(torch.from_numpy(halved(references)))
        network.references.bias.copy_(-energies)
        means = [part.mean() for part in torch.split(energies, counts)]
        network.energies.copy_(torch.stack(means))  # type: ignore[operator]
    return network


def _volumes(noise: WhiteNoise, averages: list[Tensor]) -> Tensor:
    """Averages (n, z, y, x) in the units of the images: by the noise of each frequency."""
    functions, measured = noise.functions, noise.measured
    shells = torch.tensor(np.linalg.norm(noise.zyx, axis=1)).round().long()
    power = 2.0 / noise.weights[measured].square()
    n_shells = int(shells.max()) + 2
    sums = torch.zeros(n_shells).index_add_(0, shells[measured], power)
    mean = sums / torch.bincount(shells[measured], minlength=n_shells).clamp_min(1)
    level = mean[functions.frequencies.round().long()].sqrt() / math.sqrt(functions.box_vox**3)
    return torch.einsum("nj,jzyx->nzyx", torch.stack(averages) * level, functions.sampled())


def _loss(network: MultiReference, kept: LabelledSubtomograms) -> float:
    if not len(kept):
        return math.nan
    logits = logits_of(network, kept.images)
    return float(torch.nn.functional.cross_entropy(logits, kept.kinds))


class _Kept:
    """Averages on disk, for a run that was stopped."""

    def __init__(self, folder: Path | None, key: str) -> None:
        self.path = None if folder is None else folder / CHECKPOINT_FILE
        self.found: dict[str, Tensor] = {}
        self.key = key
        if self.path is not None and self.path.is_file():
            held = torch.load(self.path, weights_only=True)
            if held["key"] == key:
                self.found = held["averages"]
            else:
                logger.warning(
                    "%s is of another training set or estimate and is made anew", self.path.name
                )

    def made(self, name: str, make: Callable[[], Tensor]) -> Tensor:
        """An average that is there, or one that is made and kept."""
        if name not in self.found:
            self.found[name] = make()
            if self.path is not None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                torch.save({"key": self.key, "averages": self.found}, self.path)
        return self.found[name]


def _digest(data: LabelledSubtomograms) -> str:
    """Of images and classes: averages of others are not taken for theirs."""
    found = hashlib.sha256(data.images.contiguous().numpy().tobytes())
    found.update(data.kinds.numpy().tobytes())
    return found.hexdigest()[:16]
