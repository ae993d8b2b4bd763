"""Random patches of a pool with augmentation of contrast, noise, wedge, CTF and intensity."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engine.data.arrays import AnyArray
from engine.physics.fourier import frequencies_3d
from models.recipe import Recipe
from models.training_pool import CORE_BIT, FINE_NM, MEMBRANE_BIT, normalised


@dataclass(frozen=True)
class Batch:
    """Images (n, 1, z, y, x) float32 and targets (n, c, z, y, x) uint8."""

    images: Tensor
    targets: Tensor


class PatchSampler:
    """Draws batches that depend on (seed, step) alone, so that a resumed run goes on alike.

    Parameters
    ----------
    paths
        Members of a pool; read once each and kept in memory.
    """

    def __init__(self, paths: Sequence[Path], recipe: Recipe) -> None:
        self.recipe = recipe
        self.members = [read_member(path, recipe) for path in paths]

    def batch(self, step: int) -> Batch:
        """The batch of one training step."""
        rng = np.random.default_rng([self.recipe.seed, step])
        pairs = [self._patch(rng) for _ in range(self.recipe.batch)]
        images = torch.stack([torch.from_numpy(image) for image, _ in pairs])[:, None]
        targets = torch.stack([torch.from_numpy(target) for _, target in pairs])
        return Batch(augmented(images, rng), targets)

    def _patch(self, rng: np.random.Generator) -> tuple[AnyArray, AnyArray]:
        image, targets = self.members[rng.integers(len(self.members))]
        corner = self._corner(rng, image.shape, targets)
        box = tuple(
            slice(start, start + size)
            for start, size in zip(corner, self.recipe.patch, strict=True)
        )
        patch = _padded(image[box], self.recipe.patch).astype(np.float32)
        target = np.stack([_padded(one[box], self.recipe.patch) for one in targets])
        for axis in range(3):
            if rng.random() < 0.5:
                patch, target = np.flip(patch, axis), np.flip(target, axis + 1)
        return np.ascontiguousarray(patch), np.ascontiguousarray(target)

    def _corner(
        self, rng: np.random.Generator, shape: tuple[int, ...], targets: Sequence[AnyArray]
    ) -> list[int]:
        """Fine patches are centred on a microtubule in two of five draws, else anywhere."""
        room = [max(0, n - size) for n, size in zip(shape, self.recipe.patch, strict=True)]
        corner = [int(rng.integers(0, free + 1)) for free in room]
        if self.recipe.task == "fine" and rng.random() < 0.4:
            where = np.flatnonzero(targets[0] & CORE_BIT)
            if len(where):
                centre = np.unravel_index(where[rng.integers(len(where))], shape)
                corner = [
                    int(np.clip(middle - size // 2 + rng.integers(-8, 9), 0, free))
                    for middle, size, free in zip(centre, self.recipe.patch, room, strict=True)
                ]
        return corner


def read_member(path: Path, recipe: Recipe) -> tuple[AnyArray, list[AnyArray]]:
    """Image and targets of a pool member at the recipe's voxel size.

    The pool holds fine images at 2.4 nm; a recipe at a multiple of it gets block means, and a
    mask where at least half of a block is set.
    """
    with np.load(path, allow_pickle=False) as member:
        if recipe.task == "coarse":
            return member["coarse_image"], [member["coarse_labels"], member["coarse_depth"]]
        image, masks = member["fine_image"], member["fine_masks"]
    factor = round(recipe.voxel_size_nm / FINE_NM)
    if factor == 1:
        return image, [masks]
    blocked = _block_mean(image.astype(np.float32), factor)
    bits = [
        (_block_mean(((masks & bit) > 0).astype(np.float32), factor) >= 0.5) * bit
        for bit in (MEMBRANE_BIT, CORE_BIT)
    ]
    return normalised(blocked), [(bits[0] + bits[1]).astype(np.uint8)]


def _block_mean(volume: AnyArray, factor: int) -> AnyArray:
    n_z, n_y, n_x = (n // factor for n in volume.shape)
    cut = volume[: n_z * factor, : n_y * factor, : n_x * factor]
    blocks = cut.reshape(n_z, factor, n_y, factor, n_x, factor)
    return np.asarray(blocks.mean(axis=(1, 3, 5)))


def _padded(box: AnyArray, size: Sequence[int]) -> AnyArray:
    missing = [(0, wanted - have) for wanted, have in zip(size, box.shape, strict=True)]
    return np.pad(box, missing, mode="edge") if any(m for _, m in missing) else box


def fine_channels(masks: Tensor) -> Tensor:
    """Membrane and core as two float channels (n, 2, z, y, x) from the stored bits."""
    return torch.cat([(masks & MEMBRANE_BIT) > 0, (masks & CORE_BIT) > 0], dim=1).float()


def augmented(images: Tensor, rng: np.random.Generator) -> Tensor:
    """Images seen through another microscope: transfer, wedge, noise, contrast, gamma."""
    changed = []
    for image in images[:, 0]:
        spectrum = torch.fft.rfftn(image) * _random_transfer(image, rng)
        volume = torch.fft.irfftn(spectrum, s=image.shape)
        if rng.random() < 0.3:
            generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
            noise = torch.randn(volume.shape, generator=generator)
            volume = volume + float(rng.uniform(0.0, 0.4)) * noise
        deviation = float(volume.std()) or 1.0
        volume = volume / deviation * float(np.exp(rng.normal(0.0, 0.2)))
        volume = volume + float(rng.normal(0.0, 0.25))
        if rng.random() < 0.3:
            bent = float(rng.uniform(0.8, 1.25))
            volume = torch.sign(volume) * volume.abs() ** bent
        changed.append(volume)
    return torch.stack(changed)[:, None]


def _random_transfer(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Random low-pass, slow oscillation like a CTF's, and a narrower missing wedge."""
    n_z, n_y, n_x = image.shape
    freq = frequencies_3d((n_z, n_y, n_x), 1.0, image.device)
    transfer = torch.ones_like(freq)
    if rng.random() < 0.35:
        # Not below 0.3 cycles a voxel: what tells the classes apart must stay visible.
        transfer = transfer * torch.exp(-((freq / float(rng.uniform(0.3, 0.8))) ** 2))
    if rng.random() < 0.4:
        depth, period = float(rng.uniform(0.0, 0.35)), float(rng.uniform(0.1, 0.5))
        phase = float(rng.uniform(0.0, 2.0 * math.pi))
        transfer = transfer * (1.0 + depth * torch.sin(2.0 * math.pi * freq / period + phase))
    if rng.random() < 0.3:
        half = math.radians(float(rng.uniform(48.0, 60.0)))
        z_freq = torch.fft.fftfreq(n_z)[:, None, None].abs()
        x_freq = torch.fft.rfftfreq(n_x)[None, None, :]
        transfer = transfer * (z_freq <= math.tan(half) * x_freq + 0.5 / n_z)
    return transfer
