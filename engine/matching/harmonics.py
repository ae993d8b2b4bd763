"""Real spherical harmonics and how they turn: rotated templates without rotating a volume.

A function on the sphere f = sum_m a_m Y_lm stays of degree l when it is rotated; its coefficients
change by the Wigner matrix of l. A general rotation is three turns about z with a fixed quarter
turn about x in between (Pinchon & Hoggan 2007, doi:10.1088/1751-8113/40/7/011), and a turn about
z mixes only the cosine and sine of one order.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
from scipy.spatial.transform import Rotation
from scipy.special import sph_legendre_p_all

from engine.data.arrays import Float32s, Float64s
from engine.data.orientations import relion_from_rotations


def real_harmonics(degree: int, directions_xyz: Float64s) -> Float64s:
    """Orthonormal real spherical harmonics of degrees 0 to `degree`.

    Parameters
    ----------
    directions_xyz
        (n, 3), need not be unit vectors; at the origin the direction is +z.

    Returns
    -------
    Float64s
        (n, (degree + 1)^2); within a degree l the orders run from -l (sine) to l (cosine).
    """
    x, y, z = np.asarray(directions_xyz, dtype=np.float64).T
    polar = np.arctan2(np.hypot(x, y), z)
    azimuth = np.arctan2(y, x)
    legendre = sph_legendre_p_all(degree, degree, polar)[0]
    out = np.empty((len(polar), (degree + 1) ** 2))
    for order in range(degree + 1):
        # The table holds orders 0..degree first; the sign (-1)^m belongs to complex harmonics.
        sign = (-1.0) ** order
        cosine, sine = np.cos(order * azimuth), np.sin(order * azimuth)
        for l in range(order, degree + 1):  # noqa: E741
            values = legendre[l, order]
            middle = l * l + l
            if order == 0:
                out[:, middle] = values
            else:
                out[:, middle + order] = sign * np.sqrt(2.0) * values * cosine
                out[:, middle - order] = sign * np.sqrt(2.0) * values * sine
    return out


@cache
def _quarter_turn(degree: int) -> Float64s:
    """Matrix of one degree that turns coefficients by +90 degrees about x."""
    points = np.random.default_rng(degree).normal(size=(4 * (2 * degree + 1) + 8, 3))
    turned = Rotation.from_euler("x", 90.0, degrees=True).inv().apply(points)
    low, high = degree**2, (degree + 1) ** 2
    here = real_harmonics(degree, points)[:, low:high]
    there = real_harmonics(degree, turned)[:, low:high]
    matrix = np.linalg.lstsq(here, there, rcond=None)[0]
    return np.asarray(matrix, dtype=np.float64)


def _about_z(coefficients: Float32s, cosines: Float32s, sines: Float32s) -> Float32s:
    """Turn (n, 2 l + 1, c) about z; cosines and sines of m * angle are (n, l + 1)."""
    degree = coefficients.shape[1] // 2
    cosine_part = coefficients[:, degree:]
    sine_part = coefficients[:, degree::-1]
    c, s = cosines[:, : degree + 1, None], sines[:, : degree + 1, None]
    out = np.empty_like(coefficients)
    out[:, degree::-1] = cosine_part * s + sine_part * c
    out[:, degree:] = cosine_part * c - sine_part * s
    return out


def turned(coefficients: Sequence[Float64s | Float32s], rotations: Rotation) -> list[Float32s]:
    """Coefficients of a rotated function, for many rotations at once.

    Parameters
    ----------
    coefficients
        One (2 l + 1, c_l) array a degree, c_l columns that turn alike (radial parts); or
        (n, 2 l + 1, c_l), where every rotation turns a function of its own.
    rotations
        n rotations that carry the function onto its turned copy.

    Returns
    -------
    list of Float32s
        One (n, 2 l + 1, c_l) array a degree, l = 0, 1, ...
    """
    # R.inv() = ZYZ(rot, tilt, psi), hence R = Rz(-psi) Ry(-tilt) Rz(-rot).
    angles = -np.radians(relion_from_rotations(rotations))
    orders = np.arange(len(coefficients))
    first, second, third = (angles[:, [column]] * orders for column in (0, 1, 2))
    waves = [
        (np.cos(a).astype(np.float32), np.sin(a).astype(np.float32)) for a in (first, second, third)
    ]
    result = []
    for degree, block in enumerate(coefficients):
        n_orders = 2 * degree + 1
        if block.shape[-1] == 0:
            result.append(np.empty((len(angles), n_orders, 0), dtype=np.float32))
            continue
        shape = (len(angles), *block.shape[-2:])
        values: Float32s = np.broadcast_to(block.astype(np.float32), shape)
        quarter = _quarter_turn(degree).astype(np.float32)
        # Ry(b) = Rx(-90) Rz(b) Rx(90)
        values = _about_z(values, *waves[0])
        values = np.matmul(quarter, values).astype(np.float32, copy=False)
        values = _about_z(values, *waves[1])
        values = np.matmul(quarter.T, values).astype(np.float32, copy=False)
        result.append(_about_z(values, *waves[2]))
    return result
