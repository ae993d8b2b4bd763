"""Labelled subtomograms of a recipe's structures, made under conditions drawn from its ranges."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch

from engine.data.arrays import Ints
from engine.data.tomogram import TiltRange
from engine.simulation.assemblies import random_assembly
from engine.simulation.subtomogram_params import SubtomogramParams
from engine.simulation.subtomograms import Structure, SubtomogramMaker
from models.classifier_data import LabelledSubtomograms
from models.classifier_recipe import Conditions

# Subtomograms that share their conditions: one batch through the microscope.
ALIKE = 50
TILT_LIMIT_STEP_DEG = 5.0
ASSEMBLY_BOX_VOX, ASSEMBLY_VOXEL_ANGST = 36, 10.0


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


class SetMaker:
    """Makes labelled sets of the same structures under the same range of conditions.

    Parameters
    ----------
    structures
        One a class, named by it.
    box_vox, voxel_size_angst
        Of the subtomograms.
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
        with_targets: bool = False,
        device: str = "cpu",
    ) -> None:
        self._names = tuple(one.name for one in structures)
        self._conditions, self._with_targets = conditions, with_targets
        first = SubtomogramParams(box_vox, voxel_size_angst, snr=conditions.snr_range[0])
        self._maker = SubtomogramMaker(structures, first, device)

    def make(
        self, kinds: Ints, seed: Sequence[int], on_progress: Callable[[float], None] | None = None
    ) -> LabelledSubtomograms:
        """One subtomogram of each kind, in order."""
        images, targets = [], []
        for number, start in enumerate(range(0, len(kinds), ALIKE)):
            rng = np.random.default_rng([*seed, number])
            made = self._maker.under(self._drawn(rng)).make(kinds[start : start + ALIKE], rng=rng)
            images.append(made.images[:, None].cpu())
            if self._with_targets:
                both = torch.stack([made.masks.float(), made.densities], dim=1)
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

    def _drawn(self, rng: np.random.Generator) -> SubtomogramParams:
        ranges = self._conditions
        # Of a tilt series, each limit has a projector: few of them.
        limit = TILT_LIMIT_STEP_DEG * round(
            rng.uniform(*ranges.tilt_limits_deg) / TILT_LIMIT_STEP_DEG
        )
        low, high = np.log(ranges.snr_range)
        return replace(
            self._maker.params,
            snr=float(np.exp(rng.uniform(low, high))),
            microscopy=ranges.microscopies[rng.integers(len(ranges.microscopies))],
            tilt_range=TiltRange(-limit, limit),
            defocus_um=float(rng.uniform(*ranges.defocus_range_um)),
            shift_vox=ranges.shift_vox,
            n_neighbours=ranges.n_neighbours,
        )
