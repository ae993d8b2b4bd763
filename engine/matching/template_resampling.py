"""A map on another grid: voxel size, resolution, hand, box. Centres are voxel `n // 2`."""

import math
from typing import Literal

import numpy as np
import scipy.fft

from engine.data.arrays import Float32s, Float64s

Axis = Literal["z", "y", "x"]

# Of the new Nyquist frequency: below it a coarser sampling keeps everything, above it falls to 0.
KEPT_BAND = 0.9
# Of the cut-off frequency, to both sides of it: half a cosine wide enough to ring little.
LOW_PASS_EDGE = 0.2


def resample(
    voxels: Float32s,
    ratio: float,
    *,
    centre_vox: Float64s | None = None,
    box_vox: int | None = None,
) -> Float32s:
    """Sample a map on another grid by its Fourier series: exact where the map is band-limited.

    Parameters
    ----------
    voxels
        (z, y, x), background 0: outside the box the map is 0.
    ratio
        New over old voxel size. Beyond 1, frequencies from 90 % of the new Nyquist frequency
        along each axis fall as half a cosine to 0 at the Nyquist frequency.
    centre_vox
        (z, y, x) index that becomes voxel `n // 2`; by default the map's own `n // 2`.
    box_vox
        Side of the cube that is returned; by default what the old box holds.
    """
    sampled = np.asarray(voxels, dtype=np.float32)
    for axis, n_in in enumerate(voxels.shape):
        middle = n_in // 2 if centre_vox is None else float(centre_vox[axis])
        n_out = box_vox or max(1, int(n_in / ratio + 1e-6))
        steps = np.arange(n_out, dtype=np.float64) - n_out // 2
        places = np.asarray(middle + steps * ratio, dtype=np.float64)
        weights = _series_weights(n_in, places, ratio).astype(np.float32)
        sampled = np.moveaxis(np.tensordot(weights, sampled, axes=([1], [axis])), 0, axis)
    return np.ascontiguousarray(sampled)


def low_pass(voxels: Float32s, voxel_size_angst: float, resolution_angst: float) -> Float32s:
    """Remove what is finer than a resolution.

    The transfer is 1/2 at `1 / resolution_angst`, and falls as half a cosine from 1 to 0 between
    80 and 120 % of it.
    """
    shape = voxels.shape
    z, y = (scipy.fft.fftfreq(n, voxel_size_angst) for n in shape[:2])
    x = scipy.fft.rfftfreq(shape[2], voxel_size_angst)
    frequency = np.sqrt(z[:, None, None] ** 2 + y[None, :, None] ** 2 + x[None, None] ** 2)
    rising = (frequency * resolution_angst - 1.0 + LOW_PASS_EDGE) / (2.0 * LOW_PASS_EDGE)
    transfer = 0.5 + 0.5 * np.cos(np.pi * np.clip(rising, 0.0, 1.0))
    spectrum = scipy.fft.rfftn(voxels.astype(np.float64)) * transfer
    return np.asarray(scipy.fft.irfftn(spectrum, s=shape), dtype=np.float32)


def mirrored(voxels: Float32s, axis: Axis = "z") -> Float32s:
    """Mirror along an axis through voxel `n // 2`; twice is the identity."""
    number = "zyx".index(axis)
    turned = np.flip(voxels, number)
    # In an even box the centre is not in the middle: the first plane is its own image.
    return np.ascontiguousarray(
        np.roll(turned, 1, number) if voxels.shape[number] % 2 == 0 else turned
    )


def boxed(voxels: Float32s, box_vox: int) -> Float32s:
    """Cut or pad with 0 to a cube; voxel `n // 2` stays voxel `n // 2`."""
    result = np.zeros((box_vox, box_vox, box_vox), dtype=np.float32)
    target, origin = [], []
    for n in voxels.shape:
        shift = box_vox // 2 - n // 2
        first, last = max(0, shift), min(box_vox, n + shift)
        target.append(slice(first, last))
        origin.append(slice(first - shift, last - shift))
    result[tuple(target)] = voxels[tuple(origin)]
    return result


def smallest_box_vox(reach_vox: float) -> int:
    """Smallest even side, fast to transform, whose inner sphere has radius `reach_vox`."""
    side = 2 * max(2, math.ceil(reach_vox - 1e-6))
    while scipy.fft.next_fast_len(side, real=True) != side:
        side += 2
    return side


def _series_weights(n_in: int, places: Float64s, ratio: float) -> Float64s:
    """Weights (n_out, n_in) of the trigonometric interpolation at `places`, 0 outside the box."""
    wave = np.arange(n_in // 2 + 1)
    transfer = np.ones(len(wave))
    if ratio > 1.0:
        relative = wave / n_in * 2.0 * ratio
        rising = np.clip((relative - KEPT_BAND) / (1.0 - KEPT_BAND), 0.0, 1.0)
        transfer = 0.5 + 0.5 * np.cos(np.pi * rising)
    # Every wave but the constant and, in an even box, the last stands for two.
    transfer[1:] *= 2.0
    if n_in % 2 == 0:
        transfer[-1] /= 2.0
    angle = 2.0 * np.pi / n_in * wave
    at_places, at_voxels = np.outer(places, angle), np.outer(np.arange(n_in), angle)
    weights = (np.cos(at_places) * transfer) @ np.cos(at_voxels).T
    weights += (np.sin(at_places) * transfer) @ np.sin(at_voxels).T
    weights /= n_in
    weights[(places < -0.5) | (places > n_in - 0.5)] = 0.0
    return np.asarray(weights, dtype=np.float64)
