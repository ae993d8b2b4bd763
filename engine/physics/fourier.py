"""Frequency grids, radial filters and smooth random fields (torch, CPU or GPU)."""

import torch
from torch import Tensor
from torch.nn import functional


def frequencies_2d(shape: tuple[int, int], voxel_size_angst: float, device: torch.device) -> Tensor:
    """Length of the spatial frequency of every `rfft2` coefficient, shape (y, x // 2 + 1), 1/Å."""
    y_freq = torch.fft.fftfreq(shape[0], d=voxel_size_angst, device=device)
    x_freq = torch.fft.rfftfreq(shape[1], d=voxel_size_angst, device=device)
    return torch.sqrt(y_freq[:, None] ** 2 + x_freq[None, :] ** 2)


def frequencies_3d(
    shape: tuple[int, int, int], voxel_size_angst: float, device: torch.device
) -> Tensor:
    """Length of the spatial frequency of every `rfftn` coefficient, (z, y, x // 2 + 1), 1/Å."""
    in_plane = frequencies_2d((shape[1], shape[2]), voxel_size_angst, device)
    z_freq = torch.fft.fftfreq(shape[0], d=voxel_size_angst, device=device)
    return torch.sqrt(z_freq[:, None, None] ** 2 + in_plane[None] ** 2)


def gaussian_transfer(
    shape: tuple[int, int, int], sigma_vox: float, device: torch.device
) -> Tensor:
    """Transfer function of a Gaussian blur for `rfftn` coefficients; 1 at zero frequency."""
    freq = frequencies_3d(shape, 1.0, device)
    return torch.exp(-2.0 * (torch.pi * sigma_vox * freq) ** 2)


def smooth_field(
    shape: tuple[int, int, int], n_knots: tuple[int, int, int], generator: torch.Generator
) -> Tensor:
    """Smooth random field of about unit variance: normal knots, interpolated to (z, y, x)."""
    device = generator.device
    knots = torch.randn((1, 1, *n_knots), generator=generator, device=device)
    field = functional.interpolate(knots, size=shape, mode="trilinear", align_corners=True)
    # Trilinear averaging of independent knots lowers the variance to about (2/3)^3.
    return field[0, 0] * 1.84
