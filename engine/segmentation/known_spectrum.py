"""A tomogram's power spectrum, brought to where the spectra lie that the networks know.

Detectors and reconstructions colour the noise. A network that never saw noise of that colour takes
it for structure, or structure for noise: with noise correlated over a voxel the fine network lost
nearly every microtubule that it finds in white noise of the same strength. A filter that depends on
the frequency alone undoes it, and leaves tomograms alone whose spectrum is an ordinary one.
Measured in `docs/decisions/spectra-brought-home.md`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
import torch
from scipy.fft import next_fast_len
from torch import Tensor
from torch.nn import functional

from engine.data.arrays import AnyArray, Float32s, Float64s
from engine.data.provenance import FileDigest
from engine.physics.fourier import frequencies_3d
from engine.physics.normalise import MAX_SAMPLES, robust_centre_and_scale
from engine.segmentation.resampling import ResampledVolume, Volume

# Of the radial spectrum: cycles a voxel of the reference grid.
SHELL, N_SHELLS = 0.02, 25
# Below, a field is too small to tell power from the specimen's shape.
LOWEST_SHELL = 2
# From here on noise rules; below, an empty field has less power than a full one.
FIRST_NOISE_SHELL = 5
LEVEL_SHELLS = slice(3, 15)
FINEST_NM, REFERENCE_NM = 2.0, 2.4
# Robust standard deviations about the median.
CLIP = 8.0
BLOCK_VOX, MOST_BLOCKS = 64, 48
LARGEST_GAIN = 10.0
# Smaller ones in the noise are left: training varied spectra by as much.
LEAST_GAIN = 1.5
# Of the kernel, in voxels.
RADIUS = 10
# A volume up to this size is filtered at once and kept, a larger one box by box.
LARGEST_WHOLE_VOX = 300_000_000

Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class SpectrumRange:
    """Where radial spectra of known tomograms lie.

    Attributes
    ----------
    low, high
        Log power (25,) of each shell, as `radial_spectrum` gives it.
    digest
        Of the file it was read from.
    """

    low: Float64s
    high: Float64s
    digest: FileDigest | None = None

    def log_gain(self, spectrum: Float64s) -> Float64s | None:
        """Log amplitude gain (25,) that brings a spectrum into the range; None where it is in it.

        The level of a spectrum says nothing: it is set where the middle of the range is met best.
        """
        own = spectrum - np.median((spectrum - 0.5 * (self.low + self.high))[LOWEST_SHELL:])
        gain = 0.5 * (np.clip(own, self.low, self.high) - own)
        gain[:LOWEST_SHELL] = gain[LOWEST_SHELL]
        gain = np.clip(gain, -np.log(LARGEST_GAIN), np.log(LARGEST_GAIN))
        strongest = np.abs(gain[FIRST_NOISE_SHELL:]).max()
        return gain if strongest > np.log(LEAST_GAIN) else None


def fit_range(spectra: Sequence[Float64s]) -> SpectrumRange:
    """The range that holds every one of some spectra."""
    stacked = np.stack(spectra)
    return SpectrumRange(stacked.min(axis=0), stacked.max(axis=0))


def radial_spectrum(volume: Volume) -> Float64s:
    """Log power (25,) in shells of 0.02 cycles a voxel; its mean power between 0.06 and 0.3 is 1.

    The median over blocks of 64^3 voxels under a Hann window, grey values cut as for the networks:
    gold and carbon are few blocks.
    """
    size = [min(n, BLOCK_VOX) for n in volume.shape]
    step = max(1, int((math.prod(volume.shape) / MAX_SAMPLES) ** (1 / 3)))
    every = slice(None, None, step)
    centre, scale = robust_centre_and_scale(np.asarray(volume[every, every, every], np.float32))
    powers = []
    for corner in _corners(volume.shape, size):
        z, y, x = (slice(a, a + n) for a, n in zip(corner, size, strict=True))
        block = np.asarray(volume[z, y, x], dtype=np.float32)
        power = _shell_powers(np.clip((block - centre) / scale, -CLIP, CLIP))
        if power.max() > 0.0:
            powers.append(power)
    if not powers:
        return np.zeros(N_SHELLS)
    power = np.median(powers, axis=0)
    level = power[LEVEL_SHELLS].mean() or 1.0
    return np.asarray(np.log(np.maximum(power / level, 1e-6)))


def _corners(shape: Sequence[int], size: Sequence[int]) -> list[tuple[int, ...]]:
    """Corners of blocks spread evenly over a volume."""
    free = [n - s for n, s in zip(shape, size, strict=True)]
    counts = [1 + -(-f // s) for f, s in zip(free, size, strict=True)]
    while np.prod(counts) > MOST_BLOCKS:
        counts[int(np.argmax(counts))] -= 1
    places = [
        np.linspace(0, f, count).astype(int) if count > 1 else np.array([f // 2])
        for f, count in zip(free, counts, strict=True)
    ]
    return [(int(z), int(y), int(x)) for z, y, x in product(*places)]


def _shell_powers(block: AnyArray) -> Float64s:
    values = np.asarray(block, dtype=np.float64)
    window = np.ones(())
    for n in values.shape:
        # Without the zeros of its ends: a block may be one section thick.
        window = np.multiply.outer(window, np.hanning(n + 2)[1:-1])
    values = (values - values.mean()) * window
    power = np.abs(np.fft.rfftn(values)) ** 2
    n_z, n_y, n_x = values.shape
    freq = frequencies_3d((n_z, n_y, n_x), 1.0, torch.device("cpu")).numpy()
    shell = np.minimum((freq / SHELL).astype(np.int64), N_SHELLS)
    total = np.bincount(shell.ravel(), power.ravel(), minlength=N_SHELLS + 1)
    count = np.bincount(shell.ravel(), minlength=N_SHELLS + 1)
    mean = total / np.maximum(count, 1)
    known = np.flatnonzero(count[:N_SHELLS])
    # A small block has no coefficient in some shells.
    return np.interp(np.arange(N_SHELLS), known, mean[known])


@dataclass(frozen=True)
class Look:
    """A tomogram as its networks are shown it.

    Attributes
    ----------
    voxels
        (z, y, x), the tomogram's own where it was left as it is.
    voxel_nm
        Voxel i is centred on i * voxel_nm.
    """

    voxels: Volume
    voxel_nm: float


def as_known(voxels: AnyArray, voxel_nm: float, known: SpectrumRange | None) -> Look:
    """A tomogram (z, y, x), filtered where its spectrum lies outside the range.

    One finer than 2 nm is compared at 2.4 nm, the finest sampling of a network, and, where it is
    filtered, shown at it.
    """
    own = Look(voxels, voxel_nm)
    if known is None:
        return own
    compared = own
    if voxel_nm < FINEST_NM:
        compared = Look(ResampledVolume(voxels, REFERENCE_NM / voxel_nm), REFERENCE_NM)
    log_gain = known.log_gain(radial_spectrum(compared.voxels))
    if log_gain is None:
        return own
    filtered = FilteredVolume(compared.voxels, log_gain)
    everything = slice(None)
    if math.prod(filtered.shape) > LARGEST_WHOLE_VOX:
        return Look(filtered, compared.voxel_nm)
    return Look(filtered[everything, everything, everything], compared.voxel_nm)


class FilteredVolume:
    """A volume through a radial filter, computed box by box; a box changes nothing in it.

    Parameters
    ----------
    volume
        (z, y, x); beyond its faces it goes on as they are.
    log_gain
        Of amplitudes, (25,), shell by shell.
    """

    def __init__(self, volume: Volume, log_gain: Float64s) -> None:
        self._volume, self._log_gain = volume, log_gain
        self.shape = volume.shape

    @cached_property
    def kernel(self) -> Tensor:
        """The filter as weights (n, n, n), tapered to nothing at its radius."""
        side = 4 * RADIUS
        freq = frequencies_3d((side, side, side), 1.0, torch.device("cpu")).numpy()
        centres = (np.arange(N_SHELLS) + 0.5) * SHELL
        gain = np.exp(np.interp(freq, centres, self._log_gain))
        weights = np.fft.fftshift(np.fft.irfftn(gain, s=(side,) * 3, axes=(0, 1, 2)))
        middle = slice(side // 2 - RADIUS, side // 2 + RADIUS + 1)
        offsets = np.arange(-RADIUS, RADIUS + 1)
        squared = sum(grid**2 for grid in np.meshgrid(offsets, offsets, offsets, sparse=True))
        distance = np.minimum(np.sqrt(squared) / (RADIUS + 1.0), 1.0)
        tapered = weights[middle, middle, middle] * np.cos(0.5 * np.pi * distance) ** 2
        return torch.from_numpy(tapered.astype(np.float32))

    def __getitem__(self, box: Box) -> Float32s:
        """The voxels of a box, float32 (z, y, x), a few sections at a time."""
        steps = [slice(None, None, part.step) for part in box]
        spans = [range(*part.indices(n)) for part, n in zip(box, self.shape, strict=True)]
        z, y, x = ((span[0], span[-1] + 1) for span in spans)
        filtered = np.empty([stop - start for start, stop in (z, y, x)], dtype=np.float32)
        # Thrice the margin: what is computed for nothing stays below what is needed.
        thick = 6 * RADIUS
        for start in range(*z, thick):
            stop = min(start + thick, z[1])
            filtered[start - z[0] : stop - z[0]] = self._filtered((start, stop), y, x)
        return filtered[tuple(steps)]

    def _filtered(self, *spans: tuple[int, int]) -> Float32s:
        inside, beyond = [], []
        for (start, stop), n in zip(spans, self.shape, strict=True):
            low, high = start - RADIUS, stop + RADIUS
            inside.append(slice(max(0, low), min(n, high)))
            beyond.append((max(0, -low), max(0, high - n)))
        z, y, x = inside
        block = torch.from_numpy(np.array(self._volume[z, y, x], dtype=np.float32))
        level = block.mean()
        padding = [pad for pair in reversed(beyond) for pad in pair]
        block = functional.pad((block - level)[None, None], padding, mode="replicate")[0, 0]
        size = [next_fast_len(n, real=True) for n in block.shape]
        spectrum = torch.fft.rfftn(block, s=size) * torch.fft.rfftn(self.kernel, s=size)
        # A convolution with 2 r + 1 weights is whole from the 2 r-th voxel on.
        whole = [slice(2 * RADIUS, n) for n in block.shape]
        filtered = torch.fft.irfftn(spectrum, s=size)[tuple(whole)] + level * self.kernel.sum()
        return np.asarray(filtered.numpy(), dtype=np.float32)
