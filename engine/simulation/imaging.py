"""A painted scene through the microscope: tilt series, noise at a stated SNR, reconstruction."""

import torch
from torch import Tensor

from engine.physics.ctf import Microscope, contrast_transfer, dose_attenuation
from engine.physics.fourier import frequencies_2d
from engine.physics.projection import (
    Projector,
    TiltGeometry,
    back_project,
    band_pass_filter,
    make_projector,
    project,
    ramp_filter,
)
from engine.simulation.params import Acquisition


def image_scene(
    density: Tensor, specimen: Tensor, acquisition: Acquisition, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Signal and noise (z, y, x) whose sum is the reconstructed tomogram, protein bright.

    Both pass the same linear reconstruction apart, so that the stated SNR holds inside
    `specimen` (bool, without fiducials) exactly.
    """
    n_z, n_y, n_x = density.shape
    device = density.device
    geometry = TiltGeometry(n_z, n_x, acquisition.tilts_deg)
    projector = make_projector(geometry, device)
    # Beside the slab lies more of the same: subtracting the mean avoids a bright cut edge.
    projections = project(density - density.mean(), projector)
    projections = _through_lens(projections, acquisition, generator)
    signal = _reconstruct(projections, projector, acquisition)
    shape = (len(geometry.tilts_deg), n_y, n_x)
    noise = torch.randn(shape, generator=generator, device=device)
    noise = _reconstruct(
        _correlate(noise, acquisition.noise_correlation_vox), projector, acquisition
    )
    signal_variance = _variance(signal[specimen])
    noise_variance = _variance(noise[specimen])
    scale = (signal_variance / (acquisition.snr * noise_variance)) ** 0.5
    return signal, scale * noise


def _variance(values: Tensor) -> float:
    """Variance without the outer 0.2 % (halos of fiducials are no specimen signal)."""
    centre = values.median()
    spread = (values - centre).abs()
    step = max(1, len(spread) // 1_000_000)
    limit = torch.quantile(spread[::step].float(), 0.998)
    return float(values[spread <= limit].double().var())


def _through_lens(
    projections: Tensor, acquisition: Acquisition, generator: torch.Generator
) -> Tensor:
    """CTF, dose damage in dose-symmetric order, and each projection's alignment error."""
    n_tilts, n_y, n_x = projections.shape
    device = projections.device
    voxel_angst = acquisition.voxel_size_nm * 10.0
    freq = frequencies_2d((n_y, n_x), voxel_angst, device)
    microscope = Microscope(phase_shift_deg=acquisition.phase_shift_deg)
    order = sorted(range(n_tilts), key=lambda tilt: abs(acquisition.tilts_deg[tilt]))
    dose_at = {
        tilt: rank / n_tilts * acquisition.dose_e_per_angst2 for rank, tilt in enumerate(order)
    }
    jitter = torch.randn((n_tilts, 3), generator=generator, device=device)
    y_freq = torch.fft.fftfreq(n_y, device=device)[:, None]
    x_freq = torch.fft.rfftfreq(n_x, device=device)[None, :]
    shift_vox = acquisition.alignment_error_nm / acquisition.voxel_size_nm
    imaged = torch.empty_like(projections, memory_format=torch.contiguous_format)
    for tilt in range(n_tilts):
        defocus = acquisition.defocus_um + 0.1 * float(jitter[tilt, 2])
        transfer = contrast_transfer(freq, max(defocus, 0.05), microscope)
        transfer = transfer * dose_attenuation(freq, dose_at[tilt])
        phase = -2.0 * torch.pi * shift_vox * (jitter[tilt, 0] * y_freq + jitter[tilt, 1] * x_freq)
        transfer_shifted = torch.polar(transfer, phase.expand_as(transfer).contiguous())
        spectrum = torch.fft.rfft2(projections[tilt]) * transfer_shifted
        imaged[tilt] = torch.fft.irfft2(spectrum, s=(n_y, n_x))
    return imaged


def _correlate(noise: Tensor, sigma_vox: float) -> Tensor:
    if sigma_vox <= 0:
        return noise
    freq = frequencies_2d((noise.shape[1], noise.shape[2]), 1.0, noise.device)
    damping = torch.exp(-2.0 * (torch.pi * sigma_vox * freq) ** 2)
    correlated: Tensor = torch.fft.irfft2(torch.fft.rfft2(noise) * damping, s=noise.shape[1:])
    return correlated


def _reconstruct(projections: Tensor, projector: Projector, acquisition: Acquisition) -> Tensor:
    n_x = projections.shape[2]
    if acquisition.reconstruction == "ramp":
        weights = ramp_filter(n_x, projections.device)
    else:
        weights = band_pass_filter(n_x, projections.device, low=0.012, high=0.3)
    weighted = torch.fft.irfft(torch.fft.rfft(projections, dim=2) * weights, n=n_x, dim=2)
    return back_project(weighted, projector)
