"""What nobody can beat: the observer who knows structures, microscope and noise.

Gaussian noise that is the same everywhere has independent Fourier voxels; an image's likelihood
under a pose is then a weighted correlation, and a class is as likely as the mean over its poses.
Orientations and shifts are finitely many, so that the true limit lies a little above.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from engine.data.arrays import Ints
from engine.simulation.subtomogram_params import SubtomogramParams
from engine.simulation.subtomograms import Structure, SubtomogramMaker

N_ORIENTATIONS, N_NOISE, BATCH = 1500, 400, 250
SHIFTS_VOX = (-0.9, 0.0, 0.9)
# Of the strongest Fourier voxel's noise power: below, nothing was measured.
MEASURED = 1e-3


@dataclass(frozen=True)
class _Spectrum:
    """Which Fourier voxels were measured, and by what they are divided."""

    measured: Tensor
    weight: Tensor

    def white(self, images: Tensor) -> Tensor:
        """Independent, equally noisy real numbers (n, d) of images (n, z, y, x)."""
        return self.of_spectra(torch.fft.rfftn(images, dim=(1, 2, 3)))

    def of_spectra(self, spectra: Tensor) -> Tensor:
        """The same of half spectra (n, z, y, x // 2 + 1)."""
        values = spectra[:, self.measured] * self.weight
        return torch.cat([values.real, values.imag], dim=1)


def ideal_classes(
    structures: Sequence[Structure],
    params: SubtomogramParams,
    images: Tensor,
    *,
    seed: int,
    on_progress: Callable[[float], None] = lambda fraction: None,
) -> Ints:
    """Most likely structure of each image (n, z, y, x) made with `params`, (n,)."""
    maker = SubtomogramMaker(structures, params)
    rng = np.random.default_rng(seed)
    spectrum = _noise_spectrum(maker, len(structures), rng)
    clean = maker.under(replace(params, snr=math.inf, shift_vox=0.0))
    amplitude = math.sqrt(params.snr / (1.0 + params.snr))
    shifted = [spectrum.of_spectra(one) for one in _shifted_spectra(images)]
    likelihoods = torch.full((len(images), len(structures)), -math.inf)
    for kind in range(len(structures)):
        for _ in range(0, N_ORIENTATIONS, BATCH):
            poses = clean.make(np.full(BATCH, kind), rng=rng).images
            templates = amplitude * spectrum.white(poses)
            energy = 0.5 * templates.square().sum(dim=1)
            for one in shifted:
                here = torch.logsumexp(one @ templates.T - energy, dim=1)
                likelihoods[:, kind] = torch.logaddexp(likelihoods[:, kind], here)
        on_progress((kind + 1) / len(structures))
    return np.asarray(likelihoods.argmax(dim=1).numpy(), dtype=np.int64)


def _noise_spectrum(
    maker: SubtomogramMaker, n_structures: int, rng: np.random.Generator
) -> _Spectrum:
    made = maker.make(np.arange(N_NOISE) % n_structures, rng=rng)
    power = torch.fft.rfftn(made.images - made.signals, dim=(1, 2, 3)).abs().square().mean(dim=0)
    measured = power > MEASURED * power.max()
    measured[0, 0, 0] = False
    # Half a spectrum holds every pair of Fourier voxels once, but for its first and last plane.
    pairs = torch.full((power.shape[-1],), 2.0)
    pairs[0] = pairs[-1] = 1.0
    return _Spectrum(measured, torch.sqrt(pairs.expand_as(power)[measured] / power[measured]))


def _shifted_spectra(images: Tensor) -> list[Tensor]:
    n_z, n_y, n_x = images.shape[1:]
    z, y = torch.fft.fftfreq(n_z)[:, None, None], torch.fft.fftfreq(n_y)[None, :, None]
    x = torch.fft.rfftfreq(n_x)[None, None, :]
    spectra = torch.fft.rfftn(images, dim=(1, 2, 3))
    return [
        spectra * torch.exp(2j * math.pi * (a * z + b * y + c * x))
        for a, b, c in itertools.product(SHIFTS_VOX, repeat=3)
    ]
