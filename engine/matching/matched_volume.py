"""A tomogram filtered once for matching, and where it is searched."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch
from scipy.fft import next_fast_len
from torch import Tensor

from engine.data.arrays import Bools, Float32s, Float64s
from engine.errors import BadInputError
from engine.matching.filters import MatchFilter, RadialSpectrum, grid_frequencies
from engine.matching.transforms import forward, inverse_inner

RADIAL_BINS = 64
SHELL_COEFFICIENTS = 300
# Patches whose quieter ones show the noise between structures.
PATCH_VOX, N_PATCHES, PATCH_COEFFICIENTS = 32, 256, 20
QUIET_QUANTILE = 0.2
WHITE_SIDE_VOX = 128
# Of the volume's mean square.
EMPTY_SHARE = 1e-3
Weights = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class MatchedVolume:
    """What correlations are taken with.

    Attributes
    ----------
    template_padded
        float32 (z, y, x) with `halo_vox` zeros around it: the tomogram times tomogram and template
        weights; correlations with unfiltered templates are taken here.
    local_padded
        As before, the tomogram times its own weights alone; local mean and variance are taken
        here. The same array where the weights are binary.
    halo_vox
        Zeros on every side, so that a box around any voxel lies inside.
    filter
        The weights.
    search
        bool (z, y, x), or None for the whole volume but a margin.
    """

    template_padded: Tensor
    local_padded: Tensor
    halo_vox: int
    filter: MatchFilter
    search: Bools | None

    @property
    def template_side(self) -> Tensor:
        """`template_padded` without its halo."""
        return self._inner(self.template_padded)

    @property
    def local_side(self) -> Tensor:
        """`local_padded` without its halo."""
        return self._inner(self.local_padded)

    @property
    def is_one_side(self) -> bool:
        """Whether template and local side are the same."""
        return self.local_padded is self.template_padded

    def _inner(self, padded: Tensor) -> Tensor:
        h = self.halo_vox
        z, y, x = (slice(h, n - h) for n in padded.shape)
        return padded[z, y, x]

    @cached_property
    def empty_variance(self) -> float:
        """Local variance below which a place counts as empty and scores 0."""
        return EMPTY_SHARE * float((self.local_side**2).mean(dtype=torch.float64)) + 1e-12

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels (z, y, x)."""
        z, y, x = self.template_side.shape
        return z, y, x


def matched_volume(
    voxels: Float32s, match_filter: MatchFilter, *, halo_vox: int, search: Bools | None = None
) -> MatchedVolume:
    """Filter a tomogram for matching.

    Parameters
    ----------
    voxels
        (z, y, x), protein bright.
    halo_vox
        At least what the box of a template reaches from its centre, and some voxels more.
    search
        Where to look; None for everywhere.

    Raises
    ------
    BadInputError
        The mask has another shape or is empty, or the volume is constant.
    """
    if search is not None:
        if search.shape != voxels.shape:
            raise BadInputError(
                f"expected a mask of the tomogram's shape {voxels.shape}, found {search.shape}"
            )
        if not search.any():
            raise BadInputError("the mask is empty: nowhere to search")
    volume = torch.from_numpy(np.array(voxels, dtype=np.float32))
    volume -= volume.mean(dtype=torch.float64).float()
    deviation = float(volume.std())
    if not deviation > 0:
        raise BadInputError("the tomogram is constant: nothing can be found in it")
    volume /= deviation
    padded = _fast_shape(voxels.shape)
    spectrum = forward(volume, padded)
    del volume
    if match_filter.is_binary:
        _multiply(spectrum, match_filter.tomogram_weights, padded)
        local = _back(spectrum, padded, voxels.shape, halo_vox)
        return MatchedVolume(local, local, halo_vox, match_filter, search)
    templated = spectrum.clone()
    _multiply(spectrum, match_filter.tomogram_weights, padded)
    local = _back(spectrum, padded, voxels.shape, halo_vox)
    del spectrum
    _multiply(templated, match_filter.tomogram_weights, padded)
    _multiply(templated, match_filter.template_weights, padded)
    filtered = _back(templated, padded, voxels.shape, halo_vox)
    return MatchedVolume(filtered, local, halo_vox, match_filter, search)


def noise_like(
    volume: MatchedVolume, shape: tuple[int, int, int], *, rng: np.random.Generator
) -> MatchedVolume:
    """Gaussian noise with the spectrum of the tomogram's quiet parts: no structure.

    Parameters
    ----------
    shape
        Of the noise volume.
    """
    plain = volume.filter
    radial = quiet_spectrum(volume.local_side, plain, rng=rng)
    padded = _fast_shape(shape)
    white = torch.from_numpy(rng.standard_normal(padded, dtype=np.float32))
    spectrum = forward(white)
    del white
    z, y, x = grid_frequencies(padded, torch.device("cpu"))
    for index in range(padded[0]):
        freq = torch.sqrt(z[index] ** 2 + y[0] ** 2 + x[0] ** 2)
        spectrum[index] *= radial.at(freq) * plain.tomogram_weights(z[index], y[0], x[0])
    if plain.is_binary:
        local = _back(spectrum, padded, shape, volume.halo_vox)
        return MatchedVolume(local, local, volume.halo_vox, plain, None)
    local = _back(spectrum, padded, shape, volume.halo_vox)
    _multiply(spectrum, plain.template_weights, padded)
    filtered = _back(spectrum, padded, shape, volume.halo_vox)
    return MatchedVolume(filtered, local, volume.halo_vox, plain, None)


def quiet_spectrum(
    volume: Tensor, match_filter: MatchFilter, *, rng: np.random.Generator
) -> RadialSpectrum:
    """Amplitude by frequency of the quieter patches of a volume, beyond that of its filter.

    The spectrum of a whole crowded tomogram is that of its largest structures; noise made with it
    would be louder at their frequencies than the places between them are. So a low quantile over
    patches is taken in each shell, over the same quantile of white noise behind the same filter:
    what the filter and the patches' window do to noise cancels.

    Parameters
    ----------
    volume
        float32 (z, y, x), behind the filter's side of the tomogram.
    """
    side = min(PATCH_VOX, *volume.shape)
    shells = _patch_shells(match_filter, side)
    z, y, x = (min(n, WHITE_SIDE_VOX) for n in volume.shape)
    spectrum = forward(torch.from_numpy(rng.standard_normal((z, y, x), dtype=np.float32)))
    _multiply(spectrum, match_filter.tomogram_weights, (z, y, x))
    white = inverse_inner(spectrum, (z, y, x), 0, (z, y, x))
    quiet, usual = (
        np.quantile(_patch_powers(part, shells, rng), QUIET_QUANTILE, axis=0)
        for part in (volume, white)
    )
    amplitude = np.sqrt(quiet / usual.clip(1e-30))
    return RadialSpectrum(shells.middles, amplitude / max(1e-30, float(amplitude.mean())))


@dataclass(frozen=True)
class _Shells:
    """Shells of the coefficients that a filter lets through, of cubic patches of a side."""

    side_vox: int
    middles: Float64s
    members: tuple[Tensor, ...]


def _patch_shells(match_filter: MatchFilter, side_vox: int) -> _Shells:
    z, y, x = grid_frequencies((side_vox,) * 3, torch.device("cpu"))
    freq = torch.sqrt(z**2 + y**2 + x**2)
    passed = (match_filter.tomogram_weights(z, y, x) > 0) & (freq > 0)
    flat = freq.reshape(-1)
    middles, members = [], []
    edges = (np.arange(side_vox) + 0.5) / side_vox
    for low, high in pairwise(edges):
        here = torch.nonzero((passed & (freq >= low) & (freq < high)).reshape(-1)).reshape(-1)
        if len(here) >= PATCH_COEFFICIENTS:
            middles.append(float(flat[here].mean()))
            members.append(here)
    return _Shells(side_vox, np.array(middles), tuple(members))


def _patch_powers(volume: Tensor, shells: _Shells, rng: np.random.Generator) -> Float64s:
    """Mean power (n_patches, n_shells) of patches at random places, Hann-windowed."""
    side = shells.side_vox
    line = torch.hann_window(side + 2, periodic=False)[1:-1]
    window = line[:, None, None] * line[None, :, None] * line[None, None, :]
    starts = [rng.integers(0, n - side + 1, size=N_PATCHES) for n in volume.shape]
    powers = np.empty((N_PATCHES, len(shells.members)))
    for index, (a, b, c) in enumerate(zip(*starts, strict=True)):
        patch = volume[a : a + side, b : b + side, c : c + side]
        spectrum = forward((patch - patch.mean()) * window)
        power = (spectrum.abs() ** 2).reshape(-1)
        powers[index] = [float(power[here].mean()) for here in shells.members]
    return powers


def radial_spectrum(volume: Tensor, match_filter: MatchFilter) -> RadialSpectrum:
    """Amplitude by frequency where the filter lets something through, from a central part.

    At most 192^3 voxels are looked at; the Hann window keeps the faces from leaking.
    """
    starts = [max(0, (n - 192) // 2) for n in volume.shape]
    part = volume[tuple(slice(s, s + 192) for s in starts)].clone()
    for axis, n in enumerate(part.shape):
        shape = [1, 1, 1]
        shape[axis] = n
        part *= torch.hann_window(n + 2)[1:-1].reshape(shape)
    sides = (part.shape[0], part.shape[1], part.shape[2])
    power = torch.fft.rfftn(part).abs() ** 2
    z, y, x = grid_frequencies(sides, torch.device("cpu"))
    freq = torch.sqrt(z**2 + y**2 + x**2)
    weights = match_filter.tomogram_weights(z, y, x)
    passed = (weights > 0) & (freq > 0)
    bins = (freq * (2 * RADIAL_BINS)).long().clamp_max(RADIAL_BINS - 1)
    sums = torch.bincount(bins[passed], weights=power[passed].double(), minlength=RADIAL_BINS)
    counts = torch.bincount(bins[passed], minlength=RADIAL_BINS)
    freq_sums = torch.bincount(bins[passed], weights=freq[passed].double(), minlength=RADIAL_BINS)
    middles, amplitudes = [], []
    power_sum = freq_sum = count = 0.0
    # The lowest shells hold a handful of coefficients: too few for an amplitude of their own.
    for own_power, own_freq, own_count in zip(sums, freq_sums, counts, strict=True):
        power_sum += float(own_power)
        freq_sum += float(own_freq)
        count += float(own_count)
        if count >= SHELL_COEFFICIENTS:
            middles.append(freq_sum / count)
            amplitudes.append(math.sqrt(power_sum / count))
            power_sum = freq_sum = count = 0.0
    if len(middles) < 2:
        return RadialSpectrum(np.array([0.0, 1.0]), np.ones(2))
    amplitude = np.array(amplitudes)
    return RadialSpectrum(np.array(middles), amplitude / max(1e-30, float(amplitude.mean())))


def _fast_shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    z, y, x = (int(next_fast_len(n, real=True)) for n in shape)
    return z, y, x


def _multiply(spectrum: Tensor, weights: Weights, padded: tuple[int, int, int]) -> None:
    """Multiply in place, section by section: the weights never exist as a whole."""
    z, y, x = grid_frequencies(padded, torch.device("cpu"))
    for index in range(padded[0]):
        spectrum[index] *= weights(z[index : index + 1], y, x)[0]


def _back(
    spectrum: Tensor, padded: tuple[int, int, int], shape: tuple[int, ...], halo_vox: int
) -> Tensor:
    """Inverse transform, cropped to `shape`, with zeros around."""
    z, y, x = shape
    out = torch.zeros([n + 2 * halo_vox for n in shape], dtype=torch.float32)
    h = halo_vox
    out[h : h + z, h : h + y, h : h + x] = inverse_inner(spectrum, padded, 0, (z, y, x))
    return out
