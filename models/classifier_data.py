"""Labelled subtomograms as training sees them: held, split, and changed from epoch to epoch."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from engine.data.arrays import Float64s, Ints
from engine.data.classification import NONE_OF_THESE
from engine.data.provenance import Provenance
from engine.data.subtomograms import SubtomogramStack
from engine.errors import BadInputError

# Axes of (n, c, z, y, x) whose reversal is half a turn about z, y or x: these keep the hand of a
# structure and a symmetric missing wedge.
HALF_TURNS = ((), (3, 4), (2, 4), (2, 3))
# Every reversal: for what has no hand, in a wedge that has none.
MIRRORED = tuple(axes for n in range(4) for axes in combinations((2, 3, 4), n))
LARGEST_ROLL_VOX = 1
# Standard deviation of the noise that is added, of an image of unit variance.
ADDED_NOISE = 0.1


@dataclass(frozen=True)
class LabelledSubtomograms:
    """Subtomograms whose classes are known.

    Attributes
    ----------
    images
        float32 (n, 1, z, y, x), zero mean and unit variance each.
    kinds
        int64 (n,), index into `class_names`.
    class_names
        The last may be `NONE_OF_THESE`: examples of what is none of the others.
    targets
        float32 (n, c, z, y, x), what else is known of every voxel: turned and moved along with the
        image. None where nothing is.
    """

    images: Tensor
    kinds: Tensor
    class_names: tuple[str, ...]
    targets: Tensor | None = None

    def __post_init__(self) -> None:
        if self.images.dim() != 5 or self.images.shape[1] != 1:
            raise BadInputError(
                f"expected subtomograms (n, 1, z, y, x), found {tuple(self.images.shape)}"
            )
        if len(self.images) != len(self.kinds):
            raise BadInputError(
                f"{len(self.images)} subtomograms have {len(self.kinds)} classes: expected one each"
            )
        if self.targets is not None and (
            self.targets.dim() != 5
            or len(self.targets) != len(self.images)
            or self.targets.shape[2:] != self.images.shape[2:]
        ):
            raise BadInputError(
                f"targets {tuple(self.targets.shape)} do not fit subtomograms "
                f"{tuple(self.images.shape)}"
            )
        if not torch.isfinite(self.images).all():
            raise BadInputError("subtomograms must be finite: there are NaN or infinite voxels")
        n_known = len(self.class_names)
        if len(self.kinds) and not (0 <= int(self.kinds.min()) <= int(self.kinds.max()) < n_known):
            raise BadInputError(
                f"classes must lie in 0..{n_known - 1}, found {int(self.kinds.min())}.."
                f"{int(self.kinds.max())}"
            )

    def __len__(self) -> int:
        return len(self.kinds)

    @property
    def counts(self) -> Ints:
        """Subtomograms of each class."""
        return np.bincount(self.kinds.cpu().numpy(), minlength=len(self.class_names))

    @property
    def has_strangers(self) -> bool:
        """Whether the last class is what is none of the others."""
        return self.class_names[-1:] == (NONE_OF_THESE,)

    @property
    def known_names(self) -> tuple[str, ...]:
        """Classes without that one."""
        return self.class_names[:-1] if self.has_strangers else self.class_names

    def of_known(self) -> "LabelledSubtomograms":
        """Those that are one of the classes."""
        return self.take(np.flatnonzero(self.kinds.cpu().numpy() < len(self.known_names)))

    def take(self, index: Ints) -> "LabelledSubtomograms":
        """Those at an index array, in that order."""
        chosen = torch.as_tensor(np.asarray(index), dtype=torch.int64)
        targets = None if self.targets is None else self.targets[chosen]
        return LabelledSubtomograms(
            self.images[chosen], self.kinds[chosen], self.class_names, targets
        )


def stack_of(images: Tensor, voxel_size_nm: float) -> SubtomogramStack:
    """Simulated images (n, 1, z, y, x) as finished classifiers take them, named by number."""
    names = tuple(str(number) for number in range(len(images)))
    return SubtomogramStack(
        images[:, 0].numpy(), 10.0 * voxel_size_nm, names, ("",) * len(names),
        Provenance("", "", simulated=True),
    )  # fmt: skip


def require_every_class(data: LabelledSubtomograms) -> None:
    """Refuse a training set that lacks a class.

    Raises
    ------
    BadInputError
        Naming the classes without an example.
    """
    absent = [name for name, count in zip(data.class_names, data.counts, strict=True) if not count]
    if absent:
        raise BadInputError(f"no subtomogram to train on of class {', '.join(absent)}")


def stratified_split(
    data: LabelledSubtomograms, held_out: float, *, rng: np.random.Generator
) -> tuple[LabelledSubtomograms, LabelledSubtomograms]:
    """Training and validation part; of every class the same share is held out, at least one."""
    kinds = data.kinds.cpu().numpy()
    shown: list[int] = []
    kept: list[int] = []
    for kind in range(len(data.class_names)):
        own = rng.permutation(np.flatnonzero(kinds == kind))
        n_kept = min(len(own) - 1, max(1, round(held_out * len(own)))) if len(own) > 1 else 0
        kept += own[:n_kept].tolist()
        shown += own[n_kept:].tolist()
    return data.take(np.array(sorted(shown))), data.take(np.array(sorted(kept), dtype=np.int64))


def balanced_weights(counts: Sequence[int] | Ints) -> Float64s:
    """Probability of drawing one example of each class so that all classes are seen alike."""
    counts = np.asarray(counts, dtype=np.float64)
    present = counts > 0
    weights = np.zeros(len(counts))
    weights[present] = 1.0 / (present.sum() * counts[present])
    return weights


def epoch_batches(
    data: LabelledSubtomograms, batch: int, *, balanced: bool, rng: np.random.Generator
) -> Iterator[Ints]:
    """Indices of one epoch's batches: every example once, or as many drawn class by class."""
    n = len(data)
    if balanced:
        kinds = data.kinds.cpu().numpy()
        order = rng.choice(n, size=n, p=balanced_weights(data.counts)[kinds])
    else:
        order = rng.permutation(n)
    for start in range(0, n, batch):
        yield order[start : start + batch]


def augmented(
    data: LabelledSubtomograms, rng: np.random.Generator, *, mirrored: bool = False
) -> LabelledSubtomograms:
    """Half turns, a voxel's shift, a little noise, other contrast: each image on its own.

    `mirrored` adds mirror images, for what has no hand.
    """
    turns = MIRRORED if mirrored else HALF_TURNS
    n_images = data.images.shape[1]
    whole = data.images if data.targets is None else torch.cat([data.images, data.targets], dim=1)
    changed = torch.empty_like(whole)
    for index, volumes in enumerate(whole):
        turned = torch.flip(volumes[None], turns[rng.integers(len(turns))])
        shift = rng.integers(-LARGEST_ROLL_VOX, LARGEST_ROLL_VOX + 1, size=3)
        changed[index] = torch.roll(turned[0], tuple(int(one) for one in shift), (1, 2, 3))
    images = changed[:, :n_images]
    generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
    noise = torch.randn(images.shape, generator=generator).to(images)
    contrast = torch.as_tensor(rng.normal(1.0, 0.1, size=len(images))).to(images)
    return replace(
        data,
        images=images * contrast[:, None, None, None, None] + ADDED_NOISE * noise,
        targets=None if data.targets is None else changed[:, n_images:],
    )
