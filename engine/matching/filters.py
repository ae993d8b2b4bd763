"""What the microscope and the reconstruction let through, as Fourier weights of a match.

The template in a tomogram is not the template but its image through the missing wedge, the
contrast transfer and the dose; filtering the tomogram once with the same real, even weights gives
the same correlations (<W t, x> = <t, W x>) and leaves templates and their basis unfiltered.
"""

import math
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from engine.data.arrays import Float64s
from engine.data.tilt_series import TiltSeriesMetadata
from engine.data.tomogram import TiltRange
from engine.physics.ctf import Microscope, contrast_transfer, dose_attenuation


@dataclass(frozen=True)
class RadialSpectrum:
    """Amplitude of a volume's noise by spatial frequency.

    Attributes
    ----------
    freq_per_vox
        Increasing, cycles a voxel.
    amplitude
        Root of the mean power there, relative to its mean.
    """

    freq_per_vox: Float64s
    amplitude: Float64s

    def at(self, freq_per_vox: Tensor) -> Tensor:
        """Linear interpolation, constant beyond the ends."""
        grid = torch.as_tensor(self.freq_per_vox, dtype=torch.float32, device=freq_per_vox.device)
        values = torch.as_tensor(self.amplitude, dtype=torch.float32, device=freq_per_vox.device)
        right = torch.searchsorted(grid, freq_per_vox).clamp(1, len(grid) - 1)
        left = right - 1
        share = (freq_per_vox - grid[left]) / (grid[right] - grid[left])
        share = share.clamp(0.0, 1.0)
        return values[left] * (1.0 - share) + values[right] * share


@dataclass(frozen=True)
class MatchFilter:
    """Fourier weights of one tomogram.

    Attributes
    ----------
    voxel_size_angst
        Of the tomogram and the templates.
    tilt_range
        Missing wedge; None for none.
    tilts
        Per-tilt contrast transfer and dose; None leaves both out. Its angles then also give the
        wedge.
    low_pass_angst, high_pass_angst
        Half-amplitude resolution of a Gaussian fall-off; None for none.
    whitening
        Noise amplitude to divide by; None leaves the spectrum as it is.
    microscope
        Optics where the tilts do not give them.
    """

    voxel_size_angst: float
    tilt_range: TiltRange | None = None
    tilts: TiltSeriesMetadata | None = None
    low_pass_angst: float | None = None
    high_pass_angst: float | None = None
    whitening: RadialSpectrum | None = None
    microscope: Microscope = field(default_factory=Microscope)

    @property
    def optics(self) -> Microscope:
        """The microscope, with what the tilts know of it in its place."""
        if self.tilts is None:
            return self.microscope
        known = {
            name: value
            for name in ("voltage_kv", "spherical_aberration_mm", "amplitude_contrast")
            if (value := getattr(self.tilts, name)) is not None
        }
        return replace(self.microscope, **known)

    @property
    def is_binary(self) -> bool:
        """Whether template and tomogram are weighted alike (wedge and band alone)."""
        return self.tilts is None and self.whitening is None

    def tomogram_weights(self, z: Tensor, y: Tensor, x: Tensor) -> Tensor:
        """Weights of the volume in which local mean and variance are taken.

        Parameters
        ----------
        z, y, x
            Frequencies in cycles a voxel, broadcastable against each other.
        """
        freq = torch.sqrt(z**2 + y**2 + x**2)
        weights = self._band(freq) * self._wedge(z, x).float()
        return weights if self.whitening is None else weights / self.whitening.at(freq)

    def template_weights(self, z: Tensor, y: Tensor, x: Tensor) -> Tensor:
        """Weights that turn a template into its image in the (whitened) tomogram."""
        freq = torch.sqrt(z**2 + y**2 + x**2)
        weights = self.tomogram_weights(z, y, x)
        return weights if self.tilts is None else weights * self._transfer(freq, z, x)

    def _band(self, freq: Tensor) -> Tensor:
        weights = torch.ones_like(freq)
        for resolution_angst, is_low in (
            (self.low_pass_angst, True),
            (self.high_pass_angst, False),
        ):
            if resolution_angst is None:
                continue
            half_per_vox = self.voxel_size_angst / resolution_angst
            fall = torch.exp(-math.log(2.0) * (freq / half_per_vox) ** 2)
            weights = weights * (fall if is_low else 1.0 - fall)
        return weights

    def _limits_deg(self) -> tuple[float, float] | None:
        if self.tilts is not None:
            angles = np.sort(self.tilts.tilts_deg)
            half_step = 0.5 * float(np.median(np.diff(angles))) if len(angles) > 1 else 1.0
            return float(angles[0]) - half_step, float(angles[-1]) + half_step
        if self.tilt_range is not None:
            return self.tilt_range.min_deg, self.tilt_range.max_deg
        return None

    def _wedge(self, z: Tensor, x: Tensor) -> Tensor:
        """Tilt axis y, beam z: a projection at tilt t measures the plane k_z = -k_x tan(t)."""
        limits = self._limits_deg()
        if limits is None:
            return torch.ones_like(z + x, dtype=torch.bool)
        low, high = (math.radians(limit) for limit in limits)
        angle = _tilt_rad(z, x)
        return ((angle >= low) & (angle <= high)) | ((z == 0) & (x == 0))

    def _transfer(self, freq: Tensor, z: Tensor, x: Tensor) -> Tensor:
        """Contrast transfer, dose and foreshortening, interpolated between neighbouring tilts."""
        assert self.tilts is not None
        order = np.argsort(self.tilts.tilts_deg)
        angles = np.radians(self.tilts.tilts_deg[order])
        angle = _tilt_rad(z, x).expand(freq.shape)
        freq_per_angst = freq / self.voxel_size_angst
        total = torch.zeros_like(freq)
        for index, tilt in enumerate(angles):
            left = angles[index - 1] if index else tilt - 1.0
            right = angles[index + 1] if index + 1 < len(angles) else tilt + 1.0
            rising = (angle - left) / (tilt - left)
            falling = (right - angle) / (right - tilt)
            share = torch.minimum(rising, falling).clamp(0.0, 1.0)
            if index == 0:
                share = torch.where(angle <= tilt, torch.ones_like(share), share)
            if index + 1 == len(angles):
                share = torch.where(angle >= tilt, torch.ones_like(share), share)
            here = share > 0
            values = self._one_tilt(int(order[index]), freq_per_angst[here])
            total[here] += share[here] * values * math.cos(tilt)
        return total

    def _one_tilt(self, index: int, freq_per_angst: Tensor) -> Tensor:
        assert self.tilts is not None
        values = torch.ones_like(freq_per_angst)
        defocus_um = float(self.tilts.defocus_um[index])
        if math.isfinite(defocus_um):
            values = values * contrast_transfer(freq_per_angst, defocus_um, self.optics)
        exposure = float(self.tilts.exposure_e_per_angst2[index])
        if math.isfinite(exposure):
            values = values * dose_attenuation(freq_per_angst, exposure)
        return values


def _tilt_rad(z: Tensor, x: Tensor) -> Tensor:
    """Tilt whose central plane holds a frequency, in -90..90 degrees."""
    sign = torch.where(x < 0, -1.0, 1.0)
    return torch.atan2(-z * sign, (x * sign).clamp_min(1e-12))


def grid_frequencies(
    shape: tuple[int, int, int], device: torch.device
) -> tuple[Tensor, Tensor, Tensor]:
    """Frequencies of `rfftn` coefficients, cycles a voxel, shaped to broadcast as (z, y, x)."""
    z = torch.fft.fftfreq(shape[0], device=device)[:, None, None]
    y = torch.fft.fftfreq(shape[1], device=device)[None, :, None]
    x = torch.fft.rfftfreq(shape[2], device=device)[None, None, :]
    return z, y, x
