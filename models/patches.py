"""Random patches of a pool: noise at a new SNR, then another microscope's look."""

import math
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engine.data.arrays import AnyArray, Float64s
from engine.data.labels import INSTANCE_CLASSES
from engine.errors import BadInputError
from engine.physics.fourier import frequencies_3d
from engine.physics.normalise import robust_centre_and_scale
from engine.segmentation.context import Context
from models.foreign_spectra import with_spectrum
from models.recipe import Recipe
from models.training_pool import (
    COARSE_CLASSES,
    CONTEXT,
    FINE_BITS,
    PoolMember,
    read_member,
)

Size = tuple[int, int, int]
CLIP = 8.0
# Of the patches; small organelles and single microtubules are too rare to wait for.
CENTRED_SHARE = 0.5
FINE_OBJECTS = (
    "microtubule_core", "inner_mitochondrial_membrane", "ribosome", "matrix_granule",
)  # fmt: skip
# Of the patches; the coarse network may be wrong.
WITHOUT_CONTEXT = 0.1
# Of the patches, where there are unlabelled tomograms.
EXCHANGED_SHARE = 0.3


@dataclass(frozen=True)
class Batch:
    """Images (n, 1 + context, z, y, x) float32 and targets (n, c, z, y, x) uint8."""

    images: Tensor
    targets: Tensor


@dataclass(frozen=True)
class _Source:
    """A member with what its patches need: grey-value scales, and where its rare objects are."""

    member: PoolMember
    signal_centre: float
    signal_scale: float
    noise_scale: float | None
    objects: tuple[AnyArray, ...]


class PatchSampler:
    """Draws batches that depend on (seed, step) alone, so that a resumed run goes on alike.

    Parameters
    ----------
    paths
        Members of a pool; mapped from disk.
    labelled
        Further members, a site's own; half of the patches are theirs.
    spectra
        Of unlabelled tomograms (`models.foreign_spectra`): some of the patches take one on.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        recipe: Recipe,
        labelled: Sequence[Path] = (),
        spectra: Sequence[Float64s] = (),
    ) -> None:
        self.recipe, self.spectra = recipe, spectra
        self.sources = [
            _source(read_member(path, recipe.task, recipe.binning), recipe) for path in paths
        ]
        self.own = [
            _source(read_member(path, recipe.task, recipe.binning), recipe) for path in labelled
        ]

    def batches(self, first: int, last: int, n_threads: int) -> Iterator[Batch]:
        """The batches of steps `first` to `last` - 1 in order, made ahead by some threads."""
        with ThreadPoolExecutor(n_threads) as threads:
            waiting: deque[Future[Batch]] = deque()
            for step in range(first, last):
                waiting.append(threads.submit(self.batch, step))
                if len(waiting) > 2 * n_threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def batch(self, step: int) -> Batch:
        """The batch of one training step; steps before 0 are as good as others."""
        rng = np.random.default_rng([self.recipe.seed, step % 2**32])
        size = self.recipe.patches[rng.integers(len(self.recipe.patches))]
        pairs = [self._patch(rng, size) for _ in range(self.recipe.batch)]
        images = torch.stack([image for image, _ in pairs])
        targets = torch.stack([torch.from_numpy(target) for _, target in pairs])
        return Batch(images, targets)

    def _patch(self, rng: np.random.Generator, size: Size) -> tuple[Tensor, AnyArray]:
        among = self.sources
        if self.own and (not among or rng.random() < 0.5):
            among = self.own
        source = among[rng.integers(len(among))]
        member = source.member
        corner = self._corner(rng, source, size)
        signal = _cut(member.signal, corner, size).astype(np.float32)
        targets = np.stack([_cut(one, corner, size) for one in member.targets])
        image = self._with_noise(rng, source, signal)
        if self.spectra and rng.random() < EXCHANGED_SHARE:
            image = with_spectrum(image, self.spectra[int(rng.integers(len(self.spectra)))])
        image = augmented(image, rng)
        axes = tuple(axis + 1 for axis in _random_axes(rng))
        shown = torch.cat([image[None], self._context(rng, member, corner, size)])
        return shown.flip(axes), np.ascontiguousarray(np.flip(targets, axes))

    def _with_noise(self, rng: np.random.Generator, source: _Source, signal: AnyArray) -> Tensor:
        """A patch of signal and, where it is known apart, noise at a new SNR; unit scale."""
        member = source.member
        if member.noise is None or source.noise_scale is None:
            return torch.from_numpy((signal - source.signal_centre) / source.signal_scale)
        # Noise from elsewhere, turned over on its own: the same scene never looks the same.
        z, y, x = signal.shape
        elsewhere = _anywhere(rng, member.signal.shape, (z, y, x))
        noise = _flipped(_cut(member.noise, elsewhere, (z, y, x)).astype(np.float32), rng)
        snr = float(np.exp(rng.uniform(*np.log(self.recipe.snr_range))))
        weight = math.sqrt(member.snr / snr)
        scale = math.hypot(source.signal_scale, weight * source.noise_scale)
        pure = torch.from_numpy((signal - source.signal_centre) / scale)
        shown = torch.from_numpy(noise * (weight / scale))
        return mixed(pure, shown, rng, self.recipe.signal_tilt)

    def _context(
        self, rng: np.random.Generator, member: PoolMember, corner: Sequence[int], size: Size
    ) -> Tensor:
        """The coarse network's outputs in a box (c, z, y, x); all zero in some of the draws."""
        if not self.recipe.context:
            return torch.empty((0, *size))
        context = context_of(member, self.recipe)
        z, y, x = (slice(start, start + n) for start, n in zip(corner, size, strict=True))
        values = torch.from_numpy(context.at((z, y, x), self.recipe.voxel_size_nm))
        return values * float(rng.random() >= WITHOUT_CONTEXT)

    def _corner(self, rng: np.random.Generator, source: _Source, size: Size) -> Sequence[int]:
        """Near an object of a kind drawn at random in half of the draws, else anywhere."""
        shape = source.member.signal.shape
        corner = _anywhere(rng, shape, size)
        if source.objects and rng.random() < CENTRED_SHARE:
            voxels = source.objects[rng.integers(len(source.objects))]
            centre = np.unravel_index(rng.choice(voxels), shape)
            offset = [int(rng.integers(-(n // 3), n // 3 + 1)) for n in size]
            corner = [
                int(np.clip(middle - n // 2 + moved, 0, max(0, whole - n)))
                for middle, n, moved, whole in zip(centre, size, offset, shape, strict=True)
            ]
        return corner


def _source(member: PoolMember, recipe: Recipe) -> _Source:
    centre, scale = robust_centre_and_scale(member.signal)
    noise_scale = None if member.noise is None else robust_centre_and_scale(member.noise)[1]
    target = member.targets[0]
    if recipe.task == "coarse":
        masks = [target == COARSE_CLASSES.index(name) for name in INSTANCE_CLASSES]
    else:
        masks = [(target & FINE_BITS[name]) > 0 for name in FINE_OBJECTS if name in recipe.outputs]
    # Every tenth voxel is enough to draw from.
    objects = [np.flatnonzero(mask)[::10] for mask in masks]
    return _Source(
        member, centre, scale, noise_scale, tuple(voxels for voxels in objects if len(voxels))
    )


def _anywhere(rng: np.random.Generator, shape: Sequence[int], size: Size) -> list[int]:
    return [int(rng.integers(0, max(0, n - s) + 1)) for n, s in zip(shape, size, strict=True)]


def _cut(volume: AnyArray, corner: Sequence[int], size: Size) -> AnyArray:
    """Copy of a box; what lies beyond the volume repeats its face."""
    box = volume[tuple(slice(start, start + n) for start, n in zip(corner, size, strict=True))]
    missing = [(0, wanted - have) for wanted, have in zip(size, box.shape, strict=True)]
    return np.pad(box, missing, mode="edge") if any(m for _, m in missing) else np.array(box)


def _flipped(volume: AnyArray, rng: np.random.Generator) -> AnyArray:
    return np.flip(volume, _random_axes(rng))


def _random_axes(rng: np.random.Generator) -> tuple[int, ...]:
    return tuple(axis for axis in range(3) if rng.random() < 0.5)


def as_simulated(member: PoolMember) -> Tensor:
    """The whole tomogram at its own SNR, normalised as inference does it, float32."""
    image = member.signal.astype(np.float32)
    if member.noise is not None:
        image = image + member.noise.astype(np.float32)
    centre, scale = robust_centre_and_scale(image)
    return torch.from_numpy(np.clip((image - centre) / scale, -CLIP, CLIP))


def context_of(member: PoolMember, recipe: Recipe) -> Context:
    """The outputs of the coarse network that a recipe asks for.

    Raises
    ------
    BadInputError
        The pool was made without a coarse network.
    """
    if member.context is None:
        raise BadInputError(
            f"{recipe.name}: context is asked for, but its pool names no context_model"
        )
    codes = member.context.codes[[CONTEXT.index(name) for name in recipe.context]]
    return Context(codes, member.context.voxel_nm)


def fine_channels(masks: Tensor, outputs: Sequence[str]) -> Tensor:
    """The masks of some outputs as float channels (n, c, z, y, x) from the stored bits."""
    return torch.cat([(masks & FINE_BITS[name]) > 0 for name in outputs], dim=1).float()


def mixed(
    signal: Tensor, noise: Tensor, rng: np.random.Generator, signal_tilt: float = 0.5
) -> Tensor:
    """Signal and noise (z, y, x) in one image; in half of the draws each with its own spectrum.

    Defocus and phase plate shape the signal alone (from flat to rising with the square of the
    frequency), the detector's transfer function the noise; the variance of each is kept.

    Parameters
    ----------
    signal_tilt
        How far the signal's spectrum is tilted, see `_radial_gain`.
    """
    if rng.random() < 0.5:
        return signal + noise
    n_z, n_y, n_x = signal.shape
    freq = frequencies_3d((n_z, n_y, n_x), 1.0, signal.device)
    spectrum = torch.zeros_like(freq, dtype=torch.complex64)
    for part, tilt in ((signal, signal_tilt), (noise, 0.25)):
        own = torch.fft.rfftn(part)
        shaped = own * _radial_gain(freq, rng, tilt)
        spectrum += shaped * (_energy(own) / (_energy(shaped) or 1.0))
    image: Tensor = torch.fft.irfftn(spectrum, s=signal.shape)
    return image


def _energy(spectrum: Tensor) -> float:
    """Root of the summed power without the mean's."""
    power = torch.view_as_real(spectrum).square().sum() - spectrum[0, 0, 0].abs().square()
    return math.sqrt(max(0.0, float(power)))


def augmented(image: Tensor, rng: np.random.Generator) -> Tensor:
    """An image (z, y, x) through another microscope: transfer, wedge, scale, offset, gamma."""
    spectrum = torch.fft.rfftn(image) * _random_transfer(image, rng)
    volume = torch.fft.irfftn(spectrum, s=image.shape)
    if rng.random() < 0.35:
        # A small field is normalised by what is in it, not by a whole cell.
        centre, scale = robust_centre_and_scale(volume.numpy())
        volume = (volume - centre) / scale
    else:
        volume = volume / (float(volume.std()) or 1.0)
    volume = volume * float(np.exp(rng.normal(0.0, 0.15))) + float(rng.normal(0.0, 0.2))
    if rng.random() < 0.2:
        bent = float(rng.uniform(0.8, 1.25))
        volume = torch.sign(volume) * volume.abs() ** bent
    clipped: Tensor = volume.clamp(-CLIP, CLIP)
    return clipped


def _random_transfer(image: Tensor, rng: np.random.Generator) -> Tensor:
    """Random radial gain, slow oscillation like a CTF's, low-pass, narrower missing wedge."""
    n_z, n_y, n_x = image.shape
    freq = frequencies_3d((n_z, n_y, n_x), 1.0, image.device)
    transfer = torch.ones_like(freq)
    if rng.random() < 0.6:
        transfer = transfer * _radial_gain(freq, rng, 0.15)
    if rng.random() < 0.3:
        depth, period = float(rng.uniform(0.0, 0.35)), float(rng.uniform(0.1, 0.5))
        phase = float(rng.uniform(0.0, 2.0 * math.pi))
        transfer = transfer * (1.0 + depth * torch.sin(2.0 * math.pi * freq / period + phase))
    if rng.random() < 0.3:
        # Not below 0.25 cycles a voxel: what tells the classes apart must stay visible.
        transfer = transfer * torch.exp(-((freq / float(rng.uniform(0.25, 0.8))) ** 2))
    if rng.random() < 0.3:
        half = math.radians(float(rng.uniform(48.0, 60.0)))
        z_freq = torch.fft.fftfreq(n_z)[:, None, None].abs()
        x_freq = torch.fft.rfftfreq(n_x)[None, None, :]
        transfer = transfer * (z_freq <= math.tan(half) * x_freq + 0.5 / n_z)
    return transfer


def _radial_gain(freq: Tensor, rng: np.random.Generator, tilt_spread: float) -> Tensor:
    """A smooth gain over log frequency: other defocus, dose and reconstruction filters.

    Knots an octave apart from 1/128 to 1/2 cycles a voxel, log gains of 0.27 standard deviation
    about a random tilt (`tilt_spread`: standard deviation of its log gain per octave).
    """
    knots = np.arange(7)
    tilt = rng.normal(0.0, tilt_spread)
    gains = tilt * (knots - 3) + rng.normal(0.0, 0.45, len(knots)) * 0.6
    position = torch.log2(freq.clamp_min(1.0 / 128.0) * 128.0).clamp(0.0, 5.999)
    low = position.floor().long()
    table = torch.tensor(gains, dtype=torch.float32, device=freq.device)
    mixed = table[low] + (table[low + 1] - table[low]) * (position - low)
    gain: Tensor = torch.exp(mixed)
    return gain
