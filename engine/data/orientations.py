"""Orientations: from and to the Euler angles of the field's programs.

Inside TomoDx an orientation is a `scipy.spatial.transform.Rotation` that carries the reference
onto the particle and acts on (x, y, z) column vectors.
"""

import numpy as np
from scipy.spatial.transform import Rotation

from engine.data.arrays import Float64s


def no_rotations() -> Rotation:
    """An empty stack of rotations."""
    return Rotation.from_quat(np.empty((0, 4)))


def rotations_from_relion(rot_tilt_psi_deg: Float64s) -> Rotation:
    """Reference-to-particle rotations from rlnAngleRot, -Tilt, -Psi; shape (n, 3), degrees.

    RELION's triple is intrinsic ZYZ, right-handed, and turns the frame.
    """
    angles = np.asarray(rot_tilt_psi_deg, dtype=np.float64).reshape(-1, 3)
    if not len(angles):
        return no_rotations()
    return Rotation.from_euler("ZYZ", angles, degrees=True).inv()


def relion_from_rotations(rotations: Rotation) -> Float64s:
    """rlnAngleRot, -Tilt, -Psi (n, 3) in degrees; the inverse of `rotations_from_relion`.

    At tilt 0 and 180 only rot + psi (or rot - psi) is defined; psi is then 0.
    """
    quaternions = np.atleast_2d(rotations.inv().as_quat())
    if not len(quaternions):
        return np.empty((0, 3))
    # Intrinsic ZYZ from the quaternion (x, y, z, w): half-sum and half-difference of rot and psi.
    x, y, z, w = quaternions.T
    tilt = 2.0 * np.arctan2(np.hypot(x, y), np.hypot(z, w))
    half_sum, half_difference = np.arctan2(z, w), np.arctan2(-x, y)
    flat, upside_down = np.hypot(x, y) < 1e-9, np.hypot(z, w) < 1e-9
    half_difference = np.where(flat, half_sum, half_difference)
    half_sum = np.where(upside_down, half_difference, half_sum)
    rot, psi = half_sum + half_difference, half_sum - half_difference
    angles = np.degrees(np.stack([rot, tilt, psi], axis=1))
    angles[:, ::2] = (angles[:, ::2] + 180.0) % 360.0 - 180.0
    return np.asarray(angles, dtype=np.float64)


def rotations_from_zxz(first_second_third_deg: Float64s) -> Rotation:
    """Reference-to-particle rotations from extrinsic z, x, z angles in degrees; shape (n, 3).

    PyTom's (z1, x, z2). Dynamo's (tdrot, tilt, narot) turn the particle onto the reference: invert.
    """
    angles = np.asarray(first_second_third_deg, dtype=np.float64).reshape(-1, 3)
    if not len(angles):
        return no_rotations()
    return Rotation.from_euler("zxz", angles, degrees=True)


def axes_zyx(rotations: Rotation, axis_xyz: tuple[float, float, float]) -> Float64s:
    """Where a reference axis points after rotation: (n, 3) unit vectors, (z, y, x)."""
    axes = np.asarray(rotations.apply(axis_xyz), dtype=np.float64).reshape(-1, 3)[:, ::-1]
    return np.asarray(axes)
