"""Band-limited functions in a ball: spherical Bessel functions times spherical harmonics.

A structure of known resolution in a box is a sum of a few hundred of them, and turning it mixes
only the orders of each degree: no interpolation, and turned copies cost little.
"""

import math

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from scipy.special import spherical_jn
from torch import Tensor

from engine.data.arrays import Float64s
from engine.matching.harmonics import real_harmonics, turned

SCANNED = 4000


class BallFunctions:
    """Orthonormal functions that vanish outside of a ball about voxel `box_vox // 2`.

    Parameters
    ----------
    radius_vox
        Of the ball.
    band
        Largest frequency, in Fourier voxels of the box.

    Attributes
    ----------
    frequencies
        float32 (j,), of each function, in Fourier voxels. Functions are sorted by degree, order
        (-l to l), frequency.
    """

    def __init__(self, box_vox: int, radius_vox: float, band: float) -> None:
        self.box_vox, self.radius_vox, self.band = box_vox, radius_vox, band
        to_vox = 2.0 * np.pi / box_vox
        self._roots: list[Float64s] = []
        while len(found := _bessel_roots(len(self._roots), to_vox * band * radius_vox)):
            self._roots.append(found)
        self.degrees = [_Degree(degree, len(roots)) for degree, roots in enumerate(self._roots)]
        self.frequencies = torch.tensor(
            np.concatenate(
                [
                    np.tile(roots / radius_vox / to_vox, one.n_orders)
                    for one, roots in zip(self.degrees, self._roots, strict=True)
                ]
            ),
            dtype=torch.float32,
        )
        self._bounds = np.cumsum([0, *(one.n_orders * one.n_radial for one in self.degrees)])

    def __len__(self) -> int:
        return len(self.frequencies)

    def blocks(self, coefficients: Tensor) -> list[Tensor]:
        """Coefficients (..., j) by degree: (..., 2 l + 1, radial functions) each."""
        return [
            coefficients[..., low:high].reshape(
                *coefficients.shape[:-1], one.n_orders, one.n_radial
            )
            for one, low, high in self.ranges()
        ]

    def ranges(self) -> "list[tuple[_Degree, int, int]]":
        """Where the functions of each degree begin and end."""
        ends = [int(one) for one in self._bounds]
        return list(zip(self.degrees, ends[:-1], ends[1:], strict=True))

    def sampled(self) -> Tensor:
        """Every function in its box, float32 (j, z, y, x)."""
        axis = np.arange(self.box_vox) - self.box_vox // 2
        z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
        points = np.stack([x, y, z], axis=-1).reshape(-1, 3).astype(np.float64)
        distances = np.linalg.norm(points, axis=1)
        inside = distances < self.radius_vox
        harmonics = real_harmonics(len(self.degrees) - 1, points[inside])
        out = np.zeros((len(self), len(points)), dtype=np.float32)
        norm = math.sqrt(2.0 / self.radius_vox**3)
        for degree, roots in enumerate(self._roots):
            radial = spherical_jn(degree, roots[:, None] * distances[inside] / self.radius_vox)
            radial *= norm / np.abs(spherical_jn(degree + 1, roots))[:, None]
            angular = harmonics[:, degree**2 : (degree + 1) ** 2].T
            low, high = self._bounds[degree], self._bounds[degree + 1]
            out[low:high, inside] = (angular[:, None] * radial[None]).reshape(high - low, -1)
        return torch.from_numpy(out.reshape(-1, *(self.box_vox,) * 3))

    def turned(self, coefficients: Tensor, rotations: Rotation) -> Tensor:
        """Coefficients (n, j) of turned copies.

        Parameters
        ----------
        coefficients
            (j,) of one function, or (n, j), one for each rotation.
        """
        parts = turned([one.numpy() for one in self.blocks(coefficients)], rotations)
        return torch.from_numpy(np.concatenate([p.reshape(len(p), -1) for p in parts], axis=1))


class _Degree:
    """How many functions there are of a degree."""

    def __init__(self, degree: int, n_radial: int) -> None:
        self.n_orders, self.n_radial = 2 * degree + 1, n_radial


def _bessel_roots(degree: int, largest: float) -> Float64s:
    """Positive zeros of a spherical Bessel function up to `largest`."""
    x = np.linspace(1e-3, largest, SCANNED)
    y = spherical_jn(degree, x)
    at = np.flatnonzero(y[:-1] * y[1:] < 0)
    roots: Float64s = x[at] - y[at] * (x[at + 1] - x[at]) / (y[at + 1] - y[at])
    return roots
