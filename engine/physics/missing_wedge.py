"""Which Fourier coefficients a limited tilt range measures."""

import math

import torch
from torch import Tensor

from engine.data.tomogram import TiltRange


def measured_wedge_mask(
    shape: tuple[int, int, int], tilt_range: TiltRange, device: torch.device
) -> Tensor:
    """True where an `rfftn` coefficient (z, y, x // 2 + 1) lies inside the tilt range.

    Tilt axis y, beam z: a projection at tilt t measures the plane k_z = -k_x tan(t).
    """
    z_freq = torch.fft.fftfreq(shape[0], device=device)[:, None, None]
    x_freq = torch.fft.rfftfreq(shape[2], device=device)[None, None, :]
    angle = torch.atan2(-z_freq, x_freq.clamp_min(1e-12))
    low, high = math.radians(tilt_range.min_deg), math.radians(tilt_range.max_deg)
    mask = (angle >= low) & (angle <= high)
    mask = mask | ((z_freq == 0) & (x_freq == 0))
    measured: Tensor = mask.expand(shape[0], shape[1], shape[2] // 2 + 1).clone()
    return measured


def apply_missing_wedge(volume: Tensor, tilt_range: TiltRange) -> Tensor:
    """The (z, y, x) volume without the frequencies outside the tilt range."""
    shape = (volume.shape[0], volume.shape[1], volume.shape[2])
    mask = measured_wedge_mask(shape, tilt_range, volume.device)
    kept: Tensor = torch.fft.irfftn(torch.fft.rfftn(volume) * mask, s=shape)
    return kept
