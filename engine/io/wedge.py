"""Tilt range of a tomogram from the wedge that is empty in its power spectrum."""

from itertools import pairwise

import numpy as np

from engine.data.arrays import Float32s, Float64s
from engine.data.tomogram import TiltRange

# Radii in cycles a voxel: below, the specimen's shape leaks over all angles; above, interpolation.
RINGS = np.linspace(0.15, 0.42, 10)
STEP_DEG = 2
ANGLES_DEG = np.arange(-88, 89, STEP_DEG)
# Angles that every tilt series covers, without the axis itself (horizontal stripes, window).
CORE_DEG = (3.0, 35.0)
# Share of the core's power below which an angle was not recorded.
EDGE_SHARE, EMPTY_SHARE = 0.4, 0.05
PLAUSIBLE_DEG = (30.0, 80.0)
# Power leaks over the edge by about half a step and half the width of the window's lobe.
LEAK_DEG = 1.0
SMALLEST_SIDE = 32
PLANES = 128


def estimate_tilt_range(volume: Float32s) -> TiltRange | None:
    """Find the angles between which the power spectrum holds something.

    A projection fills the central slice of the spectrum perpendicular to its beam, so that with
    the tilt axis along y the planes of constant y have an empty wedge around the z direction
    (Crowther, DeRosier & Klug 1970, doi:10.1098/rspa.1970.0119).

    Parameters
    ----------
    volume
        (z, y, x), tilt axis along y.

    Returns
    -------
    TiltRange or None
        Whole degrees, within about 3 degrees of the truth on simulated tomograms; None where the
        spectrum has no empty wedge on both sides (filled by denoising, a subtomogram average,
        another tilt axis) or the volume is too small to tell.
    """
    if min(volume.shape[0], volume.shape[2]) < SMALLEST_SIDE:
        return None
    profile = _angular_profile(_power(volume))
    if not np.isfinite(profile).all():
        return None
    middle = len(profile) // 2
    n_up, n_down = _filled(profile[middle:]), _filled(profile[: middle + 1][::-1])
    if n_up is None or n_down is None:
        return None
    limits_deg = [n * STEP_DEG - STEP_DEG / 2 - LEAK_DEG for n in (n_down, n_up)]
    if not all(PLAUSIBLE_DEG[0] <= limit <= PLAUSIBLE_DEG[1] for limit in limits_deg):
        return None
    return TiltRange(-float(round(limits_deg[0])), float(round(limits_deg[1])))


def _power(volume: Float32s) -> Float64s:
    """Mean power of planes of constant y: (kz, kx >= 0)."""
    n_z, n_y, n_x = volume.shape
    window = np.hanning(n_z + 2)[1:-1, None] * np.hanning(n_x + 2)[None, 1:-1]
    power = np.zeros((n_z, n_x // 2 + 1))
    for y in range(0, n_y, max(1, n_y // PLANES)):
        plane = volume[:, y].astype(np.float64)
        power += np.abs(np.fft.rfft2((plane - plane.mean()) * window)) ** 2
    return power


def _angular_profile(power: Float64s) -> Float64s:
    """Power by direction relative to the core, median over rings; NaN where nothing falls."""
    n_z, n_x = power.shape[0], 2 * (power.shape[1] - 1)
    kz, kx = np.fft.fftfreq(n_z)[:, None], np.fft.rfftfreq(max(n_x, 2))[None, :]
    radius, angle_deg = (
        np.hypot(kz, kx),
        np.degrees(np.arctan2(kz, np.broadcast_to(kx, power.shape))),
    )
    rows = []
    for inner, outer in pairwise(RINGS):
        ring = (radius >= inner) & (radius < outer)
        values, angles_deg = power[ring], angle_deg[ring]
        core = values[(np.abs(angles_deg) > CORE_DEG[0]) & (np.abs(angles_deg) < CORE_DEG[1])]
        level = float(np.median(core)) if core.size else 0.0
        if level == 0.0:
            continue
        near = [np.abs(angles_deg - centre) <= STEP_DEG for centre in ANGLES_DEG]
        rows.append([values[here].mean() / level if here.any() else np.nan for here in near])
    table = np.array(rows, dtype=np.float64)
    known = np.isfinite(table).sum(axis=0) if rows else np.zeros(len(ANGLES_DEG))
    profile = np.full(len(ANGLES_DEG), np.nan)
    for column in np.flatnonzero(known):
        profile[column] = np.nanmedian(table[:, column])
    return profile


def _filled(outward: Float64s) -> int | None:
    """Steps from the middle outward until the power falls and stays down; None if it never does."""
    for n in range(len(outward) - 2):
        if (outward[n : n + 3] < EDGE_SHARE).all():
            beyond = outward[n + 2 :]
            return n if float(np.median(beyond)) < EMPTY_SHARE else None
    return None
