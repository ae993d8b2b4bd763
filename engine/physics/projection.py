"""Projection of a slab along tilted beams and its weighted back-projection.

The tilt axis is y, so that every (z, x) section is projected alone: one sparse matrix holds all
tilts, and back-projection is its transpose.
"""

import math
import warnings
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class TiltGeometry:
    """Section size and tilts.

    Attributes
    ----------
    n_z, n_x
        Voxels of a section; the detector has `n_x` pixels of the same size.
    tilts_deg
        One angle a projection.
    """

    n_z: int
    n_x: int
    tilts_deg: tuple[float, ...]


@dataclass(frozen=True)
class Projector:
    """Sparse CSR matrices of one geometry: sections to projections, and back (transposed)."""

    forward: Tensor
    backward: Tensor
    n_z: int


def make_projector(geometry: TiltGeometry, device: torch.device) -> Projector:
    """Projector (tilts * n_x, n_z * n_x) by linear interpolation.

    A voxel at (z, x) from the centre lands at x cos(tilt) + z sin(tilt); what falls beside the
    detector is lost.
    """
    z_index = torch.arange(geometry.n_z, device=device, dtype=torch.float64)
    x_index = torch.arange(geometry.n_x, device=device, dtype=torch.float64)
    z_offset = z_index - geometry.n_z // 2
    x_offset = x_index - geometry.n_x // 2
    columns = torch.arange(geometry.n_z * geometry.n_x, device=device)
    rows_all, columns_all, weights_all = [], [], []
    for tilt_number, tilt_deg in enumerate(geometry.tilts_deg):
        tilt = math.radians(tilt_deg)
        landing = x_offset[None, :] * math.cos(tilt) + z_offset[:, None] * math.sin(tilt)
        landing = landing.reshape(-1) + geometry.n_x // 2
        left = torch.floor(landing)
        right_weight = landing - left
        for pixel, weight in ((left, 1.0 - right_weight), (left + 1, right_weight)):
            inside = (pixel >= 0) & (pixel < geometry.n_x) & (weight > 0)
            rows_all.append(pixel[inside].long() + tilt_number * geometry.n_x)
            columns_all.append(columns[inside])
            weights_all.append(weight[inside].float())
    rows, cols = torch.cat(rows_all), torch.cat(columns_all)
    weights = torch.cat(weights_all)
    n_rows, n_columns = len(geometry.tilts_deg) * geometry.n_x, geometry.n_z * geometry.n_x
    return Projector(
        forward=_csr(rows, cols, weights, (n_rows, n_columns)),
        backward=_csr(cols, rows, weights, (n_columns, n_rows)),
        n_z=geometry.n_z,
    )


def _csr(rows: Tensor, columns: Tensor, weights: Tensor, size: tuple[int, int]) -> Tensor:
    order = torch.argsort(rows * size[1] + columns)
    starts = torch.zeros(size[0] + 1, dtype=torch.int64, device=rows.device)
    starts[1:] = torch.cumsum(torch.bincount(rows, minlength=size[0]), 0)
    with warnings.catch_warnings():
        # torch calls its CSR layout beta; the product used here is covered by tests.
        warnings.filterwarnings("ignore", message="Sparse (CSR tensor|invariant)")
        return torch.sparse_csr_tensor(
            starts, columns[order], weights[order], size, check_invariants=False
        )


def project(volume: Tensor, projector: Projector) -> Tensor:
    """Projections (tilts, y, x) of a (z, y, x) volume."""
    n_z, n_y, n_x = volume.shape
    sections = volume.permute(0, 2, 1).reshape(n_z * n_x, n_y)
    projections = projector.forward @ sections
    return projections.reshape(-1, n_x, n_y).permute(0, 2, 1)


def back_project(projections: Tensor, projector: Projector) -> Tensor:
    """Sum of the (already weighted) projections (tilts, y, x) smeared back: (z, y, x)."""
    _, n_y, n_x = projections.shape
    stacked = projections.permute(0, 2, 1).reshape(-1, n_y)
    volume = projector.backward @ stacked
    return volume.reshape(projector.n_z, n_x, n_y).permute(0, 2, 1).contiguous()


def ramp_filter(n_x: int, device: torch.device, roll_off: float = 0.4) -> Tensor:
    """Weights of the `rfft` along x for weighted back-projection, shape (n_x // 2 + 1,).

    The ramp |k|, with a Gaussian fall-off above `roll_off` (fraction of the sampling frequency)
    as reconstruction programs apply it; zero frequency keeps a quarter of the first step, so that
    the mean density of the slab survives.

    References
    ----------
    Radermacher (2006), doi:10.1007/978-0-387-69008-7_9.
    """
    freq = torch.fft.rfftfreq(n_x, device=device)
    ramp = torch.maximum(freq, torch.full_like(freq, 0.25 / n_x))
    excess = (freq - roll_off).clamp_min(0.0) / 0.05
    return ramp * torch.exp(-0.5 * excess**2)


def band_pass_filter(n_x: int, device: torch.device, low: float, high: float) -> Tensor:
    """Weights of the `rfft` along x that damp below `low` and above `high` (fractions of sampling).

    Back-projection with this instead of the ramp keeps low frequencies strong: the smoother look
    of SIRT-like reconstructions.
    """
    freq = torch.fft.rfftfreq(n_x, device=device)
    damp_low = 1.0 - torch.exp(-0.5 * (freq / low) ** 2)
    damp_high = torch.exp(-0.5 * (freq / high) ** 2)
    return torch.maximum(damp_low * damp_high * freq**0.75, 2e-3 * damp_high)
