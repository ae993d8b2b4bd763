"""Batches of small volumes through one of two microscopes, signal and noise apart.

`convolved` is that of the published subtomogram networks: contrast transfer and missing wedge are
filters in three dimensions. `tilt_series` projects, images and back-projects. Both are linear.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from engine.physics.ctf import Microscope, contrast_transfer, dose_attenuation
from engine.physics.fourier import frequencies_2d, frequencies_3d
from engine.physics.missing_wedge import measured_wedge_mask
from engine.physics.projection import (
    Projector,
    TiltGeometry,
    back_project,
    make_projector,
    project,
    ramp_filter,
)
from engine.simulation.subtomogram_params import SubtomogramParams

# Beams at 60 degrees enter a box from half its width beside it.
PADDED = 1.5
# Fall-off of the contrast transfer of `convolved`, as a share of Nyquist (the default of AITom).
ENVELOPE = 0.4
# Low-pass of `convolved`: AITom's threshold in Fourier voxels comes to this for any box and
# voxel size (half of Nyquist at its 1 nm).
RESOLUTION_ANGST = 40.0
NO_AMPLITUDE_CONTRAST = Microscope(spherical_aberration_mm=2.0, amplitude_contrast=0.0)
LEAST_DEFOCUS_UM = 0.05


def _white(shape: tuple[int, ...], generators: Sequence[torch.Generator]) -> Tensor:
    return torch.stack([torch.randn(shape, generator=g, device=g.device) for g in generators])


def convolved(
    own: Tensor,
    around: Tensor,
    params: SubtomogramParams,
    generators: Sequence[torch.Generator],
) -> tuple[Tensor, Tensor]:
    """Contrast transfer and wedge in three dimensions: signals (2, n, z, y, x), noise.

    After the simulation that the networks of Xu, Che, Guo and Lin were trained on: low-pass at
    4 nm, half of the noise before the contrast transfer and half behind it, low-pass,
    wedge. Their noise carries the SNR; here it is scaled to it exactly.
    """
    box = params.box_vox
    shape = (box, box, box)
    freq = frequencies_3d(shape, params.voxel_size_angst, own.device)
    nyquist = 0.5 / params.voxel_size_angst
    smooth = 2.0 / (box * params.voxel_size_angst)
    low_pass = torch.sigmoid((1.0 / RESOLUTION_ANGST - freq) / (0.5 * smooth))
    transfer = contrast_transfer(freq, params.defocus_um, NO_AMPLITUDE_CONTRAST)
    transfer = transfer * torch.exp(-((freq / (ENVELOPE * nyquist)) ** 2))
    wedge = measured_wedge_mask(shape, params.tilt_range, own.device)
    behind = low_pass * wedge

    def through(volumes: Tensor, filters: Tensor) -> Tensor:
        filtered: Tensor = torch.fft.irfftn(
            torch.fft.rfftn(volumes, dim=(-3, -2, -1)) * filters, s=shape
        )
        return filtered

    signals = through(torch.stack([own, around]), low_pass * transfer * behind)
    before = through(_white(shape, generators), transfer * behind)
    after = through(_white(shape, generators), low_pass * behind)
    return signals, _of_unit_variance(before) + _of_unit_variance(after)


def _of_unit_variance(noise: Tensor) -> Tensor:
    """Each volume of a batch by its own deviation: both halves of the noise are equally loud."""
    deviation = noise.flatten(1).std(dim=1).clamp_min(1e-20)
    return noise / deviation[:, None, None, None]


def tilt_series(
    own: Tensor,
    around: Tensor,
    params: SubtomogramParams,
    generators: Sequence[torch.Generator],
) -> tuple[Tensor, Tensor]:
    """A tilt series and its weighted back-projection: signals (2, n, z, y, x), noise.

    Contrast transfer and dose damage of every tilt, white noise in the projections, ramp.
    """
    n, box = len(own), params.box_vox
    side = 2 * math.ceil(PADDED * box / 2.0)
    tilts = params.tilt_range.tilts_deg(params.tilt_step_deg)
    projector = _projector(side, tilts, own.device)
    transfer = _transfer(side, tilts, params, _white((len(tilts),), generators))
    margin = (side - box) // 2
    wide = functional.pad(torch.stack([own, around]), (margin, side - box - margin) * 3)
    imaged = []
    for part in wide:
        series = _series(part, projector).reshape(n, len(tilts), side, side)
        spectrum = torch.fft.rfft2(series) * transfer
        imaged.append(torch.fft.irfft2(spectrum, s=(side, side)))
    noise = _white((len(tilts), side, side), generators)
    weights = ramp_filter(side, own.device)
    parts = []
    for series in (*imaged, noise):
        weighted = torch.fft.irfft(torch.fft.rfft(series, dim=-1) * weights, n=side, dim=-1)
        volume = _volumes(weighted, projector)
        parts.append(volume[:, margin : margin + box, margin : margin + box, margin : margin + box])
    return torch.stack(parts[:2]), parts[2]


def _transfer(
    side: int, tilts: tuple[float, ...], params: SubtomogramParams, jitter: Tensor
) -> Tensor:
    """What every projection passes, (n, tilts, y, x // 2 + 1); `jitter` (n, tilts) is normal."""
    freq = frequencies_2d((side, side), params.voxel_size_angst, jitter.device)
    order = sorted(tilts, key=abs)
    share = torch.tensor([(order.index(tilt) + 0.5) / len(tilts) for tilt in tilts])
    doses = (share * params.dose_e_per_angst2).to(jitter)[:, None, None]
    defocus = (params.defocus_um + params.defocus_sd_um * jitter).clamp_min(LEAST_DEFOCUS_UM)
    transfer = contrast_transfer(freq, defocus[:, :, None, None], Microscope())
    return transfer * dose_attenuation(freq, doses)


@lru_cache(maxsize=8)
def _projector(side: int, tilts: tuple[float, ...], device: torch.device) -> Projector:
    return make_projector(TiltGeometry(side, side, tilts), device)


def _series(volumes: Tensor, projector: Projector) -> Tensor:
    """Projections of a batch: its y axes are laid end to end, as they are independent."""
    n, n_z, n_y, n_x = volumes.shape
    long = volumes.permute(1, 0, 2, 3).reshape(n_z, n * n_y, n_x)
    projections = project(long, projector)
    return projections.reshape(-1, n, n_y, n_x).transpose(0, 1)


def _volumes(series: Tensor, projector: Projector) -> Tensor:
    """Back-projections of a batch, as `_series`."""
    n, n_tilts, n_y, n_x = series.shape
    long = series.transpose(0, 1).reshape(n_tilts, n * n_y, n_x)
    volume = back_project(long, projector)
    return volume.reshape(-1, n, n_y, n_x).transpose(0, 1)
