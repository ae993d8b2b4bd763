"""Rotations spread evenly over SO(3), and the rotations of a point group."""

import math

import numpy as np
from scipy.spatial.transform import Rotation

from engine.data.arrays import Float64s

# Rotations times the cube of the angular step: as optimised quaternion sets have it
# (Karney 2007, doi:10.1016/j.jmgm.2006.04.002: 1,992 rotations cover SO(3) at 16.29 degrees).
ROTATIONS_TIMES_STEP3 = 8.6e6
# Second constant of the super-Fibonacci spiral; the first is the square root of two.
PSI = 1.533751168755204288118041413


def even_rotations(n: int) -> Rotation:
    """Spread n rotations evenly over SO(3), the same ones every time.

    References
    ----------
    Alexa (2022), Super-Fibonacci spirals, doi:10.1109/CVPR52688.2022.00811.
    """
    s = np.arange(n) + 0.5
    t, d = s / n, 2.0 * np.pi * s
    inner, outer = np.sqrt(t), np.sqrt(1.0 - t)
    alpha, beta = d / math.sqrt(2.0), d / PSI
    quaternions = np.stack(
        [
            inner * np.sin(alpha),
            inner * np.cos(alpha),
            outer * np.sin(beta),
            outer * np.cos(beta),
        ],
        axis=1,
    )
    return Rotation.from_quat(quaternions)


def symmetry_group(symmetry: str) -> Rotation:
    """All rotations of `Cn` (about z) or `Dn` (two-fold along x), the identity first."""
    order = int(symmetry[1:])
    angles = np.arange(order)[:, None] * 360.0 / order
    turns = Rotation.from_euler("z", angles, degrees=True)
    if symmetry[0] == "C":
        return turns
    flipped = turns * Rotation.from_euler("x", 180.0, degrees=True)
    return Rotation.concatenate([turns, flipped])


def rotations_for(step_deg: float) -> int:
    """How many rotations cover SO(3) at an angular step."""
    return max(24, round(ROTATIONS_TIMES_STEP3 / step_deg**3))


def step_deg_for(n_rotations: int) -> float:
    """Angular step of n rotations without symmetry, degrees."""
    return float((ROTATIONS_TIMES_STEP3 / n_rotations) ** (1.0 / 3.0))


def distinct_rotations(rotations: Rotation, symmetry: str) -> Rotation:
    """Those that turn less than any of their symmetry mates (reference turned first)."""
    group = symmetry_group(symmetry)
    if len(group) == 1:
        return rotations
    own = rotations.magnitude()
    keep = np.ones(len(rotations), dtype=bool)
    for index in range(1, len(group)):
        keep &= own <= (rotations * group[index]).magnitude() + 1e-12
    return rotations[keep]


def angle_between_deg(first: Rotation, second: Rotation, symmetry: str = "C1") -> Float64s:
    """Smallest angle from `first` to `second`, over the symmetry's mates; (n,) degrees."""
    group = symmetry_group(symmetry)
    angles = [
        np.atleast_1d((first.inv() * second * group[index]).magnitude())
        for index in range(len(group))
    ]
    smallest: Float64s = np.degrees(np.min(angles, axis=0))
    return smallest
