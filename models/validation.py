"""How well a network does on pool members it was not trained on."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor, nn

from engine.segmentation.logits import pack_logits
from engine.segmentation.ribosomes import peaks
from engine.segmentation.scoring import match_points
from models.patches import as_simulated, context_of, fine_channels
from models.recipe import Recipe
from models.table import ARCHITECTURES
from models.training_pool import (
    COARSE_CLASSES,
    UNKNOWN_CLASS,
    read_member,
)

N_BINS, LEAST_PROBABILITY = 10, 0.01
# Outputs whose masks stand for points: what counts is whether each is found.
POINT_OUTPUTS = ("ribosome",)
FOUND_WITHIN_NM = 15.0


@dataclass(frozen=True)
class SeenMember:
    """What a network makes of the middle of a member.

    Attributes
    ----------
    logits
        (outputs, z, y, x) as the network gives them; of a coarse one also its depth.
    truth, known
        bool (classes or masks, z, y, x): what holds, and where that is known.
    """

    logits: Tensor
    truth: Tensor
    known: Tensor


def validation_metrics(
    members: Sequence[SeenMember], recipe: Recipe, thresholds: Mapping[str, float] | None = None
) -> dict[str, float]:
    """Dice and calibration error of every class or mask over all voxels of held-out members.

    The calibration error is that of ten bins of equal width, weighted by their voxels (Naeini et
    al. 2015, doi:10.1609/aaai.v29i1.9602), among voxels with a probability of at least 0.01: the
    rest of a volume would hide it.

    Parameters
    ----------
    thresholds
        Of the masks of a fine network; one half where none is given.
    """
    scores: dict[str, _Score] = {}
    for member in members:
        for name, seen in _seen(member, recipe, thresholds or {}):
            scores.setdefault(name, _Score()).add(seen)
    dice = {f"dice_{name}": score.dice for name, score in scores.items()}
    errors = {f"calibration-error_{name}": score.error for name, score in scores.items()}
    points = {
        f"f1_{name}": point_f1(members, recipe, index, (thresholds or {}).get(name, 0.5))
        for index, name in enumerate(recipe.outputs)
        if name in POINT_OUTPUTS
    }
    return dice | errors | points


def point_f1(members: Sequence[SeenMember], recipe: Recipe, index: int, threshold: float) -> float:
    """F1 of the points that an output's peaks stand for, within 15 nm of the middles of the mask's.

    0 where there is none and none is found.
    """
    found, wanted, matched = 0, 0, 0
    for member in members:
        bodies, count = ndimage.label(member.truth[index].numpy())
        middles = ndimage.center_of_mass(bodies > 0, bodies, np.arange(1, count + 1))
        seen, _ = peaks(pack_logits(member.logits[index].numpy()), recipe.voxel_size_nm, threshold)
        pairs = match_points(
            seen * recipe.voxel_size_nm,
            np.array(middles).reshape(-1, 3) * recipe.voxel_size_nm,
            FOUND_WITHIN_NM,
        )
        found, wanted, matched = (
            found + pairs.n_found, wanted + pairs.n_true, matched + pairs.n_matched,
        )  # fmt: skip
    return 2.0 * matched / max(found + wanted, 1)


@dataclass(frozen=True)
class _Seen:
    """One output on one member: probability, mask, truth, and where the truth is known."""

    probability: Tensor
    found: Tensor
    truth: Tensor
    known: Tensor


class _Score:
    """Sums over members."""

    def __init__(self) -> None:
        self.overlap = self.total = 0.0
        # Voxels, summed probability, summed truth by bin.
        self.bins = np.zeros((3, N_BINS))

    def add(self, seen: _Seen) -> None:
        """Count the known voxels of a member."""
        found, truth = seen.found[seen.known], seen.truth[seen.known]
        self.overlap += 2.0 * float((found & truth).sum())
        self.total += float(found.sum() + truth.sum())
        probability = seen.probability[seen.known].numpy()
        counted = probability >= LEAST_PROBABILITY
        values, right = probability[counted], truth.numpy()[counted]
        index = np.minimum((values * N_BINS).astype(np.int64), N_BINS - 1)
        for row, weights in enumerate((np.ones_like(values), values, right)):
            self.bins[row] += np.bincount(index, weights, minlength=N_BINS)

    @property
    def dice(self) -> float:
        """Of all voxels counted."""
        return self.overlap / max(self.total, 1.0)

    @property
    def error(self) -> float:
        """Expected calibration error."""
        voxels, probability, truth = self.bins
        return float(np.abs(probability - truth).sum() / max(voxels.sum(), 1.0))


@torch.inference_mode()
def seen_member(network: nn.Module, recipe: Recipe, path: Path) -> SeenMember:
    """Run a network over the middle of a pool member."""
    member = read_member(path, recipe.task, recipe.binning)
    image, targets = as_simulated(member), member.targets[0]
    multiple = ARCHITECTURES[recipe.architecture].multiple(len(recipe.channels))
    size = [n // multiple * multiple for n in image.shape]
    # The fine volumes are large: the middle part is enough for a card.
    size = [min(n, limit) for n, limit in zip(size, (96, 224, 224), strict=True)]
    z, y, x = (
        slice((n - part) // 2, (n - part) // 2 + part)
        for n, part in zip(image.shape, size, strict=True)
    )
    box = (z, y, x)
    shown = image[box][None]
    if recipe.context:
        shown = torch.cat(
            [shown, torch.from_numpy(context_of(member, recipe).at(box, recipe.voxel_size_nm))]
        )
    logits = network(shown[None])[0]
    labels = torch.from_numpy(np.array(targets[box]))
    if recipe.task == "coarse":
        truth = torch.stack([labels == index for index in range(len(COARSE_CLASSES))])
        return SeenMember(logits, truth, (labels != UNKNOWN_CLASS).expand(truth.shape))
    said = torch.from_numpy(np.array(member.targets[1][box]))
    truth, known = (
        fine_channels(bits[None, None], recipe.outputs)[0] > 0 for bits in (labels, said)
    )
    return SeenMember(logits, truth, known)


def _seen(
    member: SeenMember, recipe: Recipe, thresholds: Mapping[str, float]
) -> Iterator[tuple[str, _Seen]]:
    """Output by output: probability, what is found, what is true."""
    if recipe.task == "coarse":
        probability = torch.softmax(member.logits[: len(COARSE_CLASSES)], dim=0)
        winner = probability.argmax(0)
        names: tuple[str, ...] = COARSE_CLASSES
        found = [winner == index for index in range(len(names))]
    else:
        probability, names = torch.sigmoid(member.logits), recipe.outputs
        found = [
            each > thresholds.get(name, 0.5) for each, name in zip(probability, names, strict=True)
        ]
    for index, name in enumerate(names):
        yield (
            name,
            _Seen(probability[index], found[index], member.truth[index], member.known[index]),
        )
