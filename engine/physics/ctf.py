"""Contrast transfer function of one projection and its loss by radiation damage."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Microscope:
    """Optics that do not change within a tilt series."""

    voltage_kv: float = 300.0
    spherical_aberration_mm: float = 2.7
    amplitude_contrast: float = 0.08
    phase_shift_deg: float = 0.0


def electron_wavelength_angst(voltage_kv: float) -> float:
    """Relativistic wavelength, angstrom (0.0197 at 300 kV)."""
    volts = voltage_kv * 1e3
    return 12.2643 / math.sqrt(volts + 0.978466e-6 * volts**2)


def contrast_transfer(
    freq_per_angst: Tensor, defocus_um: float | Tensor, microscope: Microscope
) -> Tensor:
    """Contrast transfer of a weak phase object, sign chosen so that low frequencies pass positive.

    Parameters
    ----------
    freq_per_angst
        Any shape, spatial frequency in 1/Å.
    defocus_um
        Underfocus, positive, micrometre; a tensor is broadcast against the frequencies.
    microscope
        Voltage, spherical aberration, amplitude contrast, phase plate.

    Returns
    -------
    Tensor
        Same shape, in [-1, 1]; a dense object stays bright.

    References
    ----------
    Rohou & Grigorieff (2015), doi:10.1016/j.jsb.2015.08.008, eq. 1-3 with opposite sign.
    """
    wavelength = electron_wavelength_angst(microscope.voltage_kv)
    squared = freq_per_angst**2
    defocus_angst = defocus_um * 1e4
    aberration_angst = microscope.spherical_aberration_mm * 1e7
    phase = math.pi * wavelength * squared * (
        defocus_angst - 0.5 * wavelength**2 * squared * aberration_angst
    ) + math.radians(microscope.phase_shift_deg)
    amplitude = microscope.amplitude_contrast
    return math.sqrt(1.0 - amplitude**2) * torch.sin(phase) + amplitude * torch.cos(phase)


def dose_attenuation(freq_per_angst: Tensor, dose_e_per_angst2: float | Tensor) -> Tensor:
    """Amplitude that survives an exposure at 300 kV: exp(-dose / (2 N_c(k))).

    References
    ----------
    Grant & Grigorieff (2015), doi:10.7554/eLife.06980, eq. 3: N_c = 0.24499 k^-1.6649 + 2.8141.
    """
    critical = 0.24499 * freq_per_angst.clamp_min(1e-4) ** -1.6649 + 2.8141
    return torch.exp(-dose_e_per_angst2 / (2.0 * critical))
