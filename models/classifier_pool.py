"""Labelled subtomograms of a recipe's structures, made under conditions drawn from its ranges."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from engine.data.arrays import Bools, Ints
from engine.data.classification import NONE_OF_THESE
from engine.data.tomogram import TiltRange
from engine.simulation.assemblies import random_assembly
from engine.simulation.false_picks import random_false_pick
from engine.simulation.subtomogram_params import SubtomogramParams
from engine.simulation.subtomograms import Structure, SubtomogramBatch, SubtomogramMaker
from models.classifier_data import LabelledSubtomograms
from models.classifier_recipe import Conditions

# Subtomograms that share their conditions: one batch through the microscope.
ALIKE = 50
TILT_LIMIT_STEP_DEG = 5.0
ASSEMBLY_BOX_VOX, ASSEMBLY_VOXEL_ANGST = 36, 10.0
# Larger than the diagonal of what is cut out: a membrane must not end within.
FALSE_PICK_BOX_VOX = 58
# Of the strangers: membranes, filaments and gold; of their images: nothing but noise.
FALSE_PICK_SHARE, EMPTY_SHARE = 0.25, 0.15


def assemblies(count: int, seed: int) -> tuple[Structure, ...]:
    """Random complexes; each has a seed of its own."""
    return tuple(
        Structure(
            f"assembly-{number}",
            random_assembly(
                ASSEMBLY_BOX_VOX, ASSEMBLY_VOXEL_ANGST, rng=np.random.default_rng([seed, number])
            ),
            ASSEMBLY_VOXEL_ANGST,
        )
        for number in range(count)
    )


def strangers(count: int, seed: int) -> tuple[Structure, ...]:
    """What a picker may hand over that is none of the classes: complexes and false picks."""
    n_false = round(FALSE_PICK_SHARE * count)
    picks = tuple(
        Structure(
            f"false-pick-{number}",
            random_false_pick(
                FALSE_PICK_BOX_VOX, ASSEMBLY_VOXEL_ANGST,
                rng=np.random.default_rng([seed, 1, number]),
            ),
            ASSEMBLY_VOXEL_ANGST,
        )
        for number in range(n_false)
    )  # fmt: skip
    return (*assemblies(count - n_false, seed), *picks)


class SetMaker:
    """Makes labelled sets of the same structures under the same range of conditions.

    Parameters
    ----------
    structures
        One a class, named by it.
    box_vox, voxel_size_angst
        Of the subtomograms.
    others
        Structures that are none of the classes: they share one, `NONE_OF_THESE`, after the others,
        and in some of its images there is noise alone.
    with_targets
        Masks and densities of the central structure beside them, for tasks other than classes.
    device
        Where they are made; sets are on the CPU.
    """

    def __init__(
        self,
        structures: Sequence[Structure],
        conditions: Conditions,
        box_vox: int,
        voxel_size_angst: float,
        *,
        others: Sequence[Structure] = (),
        with_targets: bool = False,
        device: str = "cpu",
    ) -> None:
        self._n_known, self._n_others = len(structures), len(others)
        self._names = (
            *(one.name for one in structures),
            *((NONE_OF_THESE,) if others else ()),
        )
        self._conditions, self._with_targets = conditions, with_targets
        first = SubtomogramParams(box_vox, voxel_size_angst, snr=conditions.snr_range[0])
        self._maker = SubtomogramMaker((*structures, *others), first, device)

    def make(
        self, kinds: Ints, seed: Sequence[int], on_progress: Callable[[float], None] | None = None
    ) -> LabelledSubtomograms:
        """One subtomogram of each kind (index into the classes), in order."""
        images, targets = [], []
        for number, start in enumerate(range(0, len(kinds), ALIKE)):
            rng = np.random.default_rng([*seed, number])
            maker, wanted = self._maker.under(self._drawn(rng)), kinds[start : start + ALIKE]
            made = maker.make(self._structures_of(wanted, rng), rng=rng)
            shown = made.images.clone()
            empty = torch.as_tensor(np.flatnonzero(self._empty(wanted, rng)), device=shown.device)
            if len(empty):
                shown[empty] = _noise_alone(made, empty)
            images.append(shown[:, None].cpu())
            if self._with_targets:
                both = torch.stack([made.masks.float(), made.densities], dim=1)
                both[empty] = 0.0
                targets.append(both.cpu())
            if on_progress:
                on_progress(min(1.0, (start + ALIKE) / len(kinds)))
        return LabelledSubtomograms(
            torch.cat(images),
            torch.as_tensor(np.asarray(kinds), dtype=torch.int64),
            self._names,
            torch.cat(targets) if targets else None,
        )

    def balanced(
        self,
        per_class: int,
        seed: Sequence[int],
        on_progress: Callable[[float], None] | None = None,
    ) -> LabelledSubtomograms:
        """As many of every class, in turn, so that all meet the same conditions."""
        kinds = np.tile(np.arange(len(self._names)), per_class)
        return self.make(kinds, seed, on_progress)

    def _structures_of(self, kinds: Ints, rng: np.random.Generator) -> Ints:
        """Which structure each subtomogram shows: any of the others for their common class."""
        chosen = np.array(kinds, dtype=np.int64)
        is_other = chosen == self._n_known
        if is_other.any():
            drawn = rng.integers(self._n_others, size=int(is_other.sum()))
            chosen[is_other] = self._n_known + drawn
        return chosen

    def _empty(self, kinds: Ints, rng: np.random.Generator) -> Bools:
        """Which subtomograms of the others hold noise alone."""
        empty: Bools = np.asarray(kinds == self._n_known)
        if empty.any():
            empty &= rng.random(len(empty)) < EMPTY_SHARE
        return empty

    def _drawn(self, rng: np.random.Generator) -> SubtomogramParams:
        ranges = self._conditions
        # Of a tilt series, each limit has a projector: few of them.
        limit = TILT_LIMIT_STEP_DEG * round(
            rng.uniform(*ranges.tilt_limits_deg) / TILT_LIMIT_STEP_DEG
        )
        low, high = np.log(ranges.snr_range)
        # No noise at all is no range.
        snr = np.exp(rng.uniform(low, high)) if np.isfinite(high) else ranges.snr_range[1]
        return replace(
            self._maker.params,
            snr=float(snr),
            microscopy=ranges.microscopies[rng.integers(len(ranges.microscopies))],
            tilt_range=TiltRange(-limit, limit),
            defocus_um=float(rng.uniform(*ranges.defocus_range_um)),
            shift_vox=ranges.shift_vox,
            n_neighbours=ranges.n_neighbours,
        )


def _noise_alone(made: SubtomogramBatch, index: Tensor) -> Tensor:
    """The noise of some subtomograms (n, z, y, x), zero mean and unit variance."""
    noise = (made.images - made.signals)[index]
    noise = noise - noise.mean(dim=(1, 2, 3), keepdim=True)
    return noise / noise.std(dim=(1, 2, 3), keepdim=True).clamp_min(1e-12)
