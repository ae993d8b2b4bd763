"""Fourier transforms of tiles: scipy's pocketfft on the CPU, torch on a GPU.

On two cores scipy takes 12 ns a voxel for an inverse transform that is cut axis by axis, a batch in
torch 40 (measured; torch splits a batch badly there).
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import scipy.fft
import torch
from torch import Tensor

Box = tuple[int, int, int]


def workers() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def torch_threads(n: int) -> Iterator[None]:
    """Let torch use `n` threads for a while.

    Many small operations gain nothing from a second thread, but it spins between them: on two
    cores a match took 28 CPU seconds with it everywhere and 21 without it.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def forward(volume: Tensor, shape: Box | None = None) -> Tensor:
    """`rfftn` of a (z, y, x) volume, zero-padded at its end to `shape`."""
    if volume.device.type != "cpu":
        spectrum: Tensor = torch.fft.rfftn(volume, s=shape)
        return spectrum
    return torch.from_numpy(scipy.fft.rfftn(volume.numpy(), s=shape, workers=workers()))


def inverse_inner(spectrum: Tensor, shape: Box, halo: int, inner: Box) -> Tensor:
    """`irfftn`, only the `inner` voxels that begin `halo` voxels after the corner; (z, y, x).

    Each axis is cut before the next one is transformed. `spectrum` is overwritten.
    """
    z, y, x = (slice(halo, halo + n) for n in inner)
    if spectrum.device.type != "cpu":
        whole: Tensor = torch.fft.irfftn(spectrum, s=shape)
        return whole[z, y, x]
    values, n = spectrum.numpy(), workers()
    values = scipy.fft.ifft(values, axis=0, workers=n, overwrite_x=True)[z]
    values = scipy.fft.ifft(values, axis=1, workers=n)[:, y]
    cut: Tensor = torch.from_numpy(scipy.fft.irfft(values, n=shape[2], axis=2, workers=n)[..., x])
    return cut


def spectrum_of_small(box: Tensor, shape: Box) -> Tensor:
    """`rfftn` of a box laid around the origin of a large, otherwise empty grid.

    Axis by axis, so that rows that hold only zeros are never transformed.
    """
    if box.device.type != "cpu":
        spectrum = torch.fft.rfft(_wrapped(box, shape[2], 2), dim=2)
        spectrum = torch.fft.fft(_wrapped(spectrum, shape[1], 1), dim=1)
        full: Tensor = torch.fft.fft(_wrapped(spectrum, shape[0], 0), dim=0)
        return full
    n = workers()
    values = scipy.fft.rfft(_wrapped(box, shape[2], 2).numpy(), axis=2, workers=n)
    values = _wrapped(torch.from_numpy(values), shape[1], 1).numpy()
    values = scipy.fft.fft(values, axis=1, workers=n, overwrite_x=True)
    values = _wrapped(torch.from_numpy(values), shape[0], 0).numpy()
    return torch.from_numpy(scipy.fft.fft(values, axis=0, workers=n, overwrite_x=True))


def _wrapped(values: Tensor, length: int, axis: int) -> Tensor:
    """Lay one axis of a centred box around index 0 of `length` voxels."""
    centre = values.shape[axis] // 2
    shape = list(values.shape)
    shape[axis] = length - values.shape[axis]
    right = values.narrow(axis, centre, values.shape[axis] - centre)
    left = values.narrow(axis, 0, centre)
    return torch.cat([right, values.new_zeros(shape), left], dim=axis)
