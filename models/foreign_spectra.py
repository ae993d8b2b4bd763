"""Amplitude spectra of unlabelled tomograms, which training patches take on.

Exchanging low-level statistics with the target's own images, labels untouched, is what Yang and
Soatto (2020), doi:10.1109/CVPR42600.2020.00414, do with Fourier amplitudes; a tomogram has no
texture of its own but that of microscope, detector and reconstruction, which depends on the
frequency alone.
"""

import numpy as np
import torch
from torch import Tensor

from engine.data.arrays import Float64s
from engine.data.tomogram import Tomogram
from engine.physics.fourier import frequencies_3d
from engine.segmentation.known_spectrum import (
    LARGEST_GAIN,
    LOWEST_SHELL,
    N_SHELLS,
    SHELL,
    radial_spectrum,
)
from engine.segmentation.resampling import ResampledVolume
from models.recipe import Recipe


def foreign_spectrum(tomogram: Tomogram, recipe: Recipe) -> Float64s:
    """Log power (25,) of a tomogram at the sampling of a recipe's network."""
    ratio = 10.0 * recipe.voxel_size_nm / tomogram.voxel_size_angst
    return radial_spectrum(ResampledVolume(tomogram.voxels, ratio))


def with_spectrum(image: Tensor, wanted: Float64s) -> Tensor:
    """A patch (z, y, x) with its own phases and another radial power spectrum.

    The lowest shells hold the shapes of what is in the patch and keep their share.
    """
    own = radial_spectrum(image.numpy())
    log_gain = 0.5 * (wanted - own)
    log_gain -= np.median(log_gain[LOWEST_SHELL:])
    log_gain = np.clip(log_gain, -np.log(LARGEST_GAIN), np.log(LARGEST_GAIN))
    log_gain[:LOWEST_SHELL] = log_gain[LOWEST_SHELL]
    n_z, n_y, n_x = image.shape
    freq = frequencies_3d((n_z, n_y, n_x), 1.0, image.device).numpy()
    gain = np.exp(np.interp(freq, (np.arange(N_SHELLS) + 0.5) * SHELL, log_gain))
    spectrum = torch.fft.rfftn(image) * torch.from_numpy(gain.astype(np.float32))
    exchanged: Tensor = torch.fft.irfftn(spectrum, s=image.shape)
    return exchanged
