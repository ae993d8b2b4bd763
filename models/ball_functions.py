"""Band-limited functions in a ball: spherical Bessel functions times spherical harmonics.

A structure of known resolution in a box is a sum of a few hundred of them, and turning it mixes
only the orders of each degree: no interpolation, and turned copies cost little.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, count, pairwise, takewhile

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from scipy.special import spherical_jn
from torch import Tensor

from engine.data.arrays import Float64s
from engine.matching.harmonics import real_harmonics, turned
from engine.matching.masked_template import voxel_offsets_xyz

SCANNED = 4000


@dataclass(frozen=True)
class BallFunctions:
    """Orthonormal functions that vanish outside of a ball about voxel `box_vox // 2`.

    Functions are sorted by degree, order (-l to l), frequency.

    Attributes
    ----------
    radius_vox
        Of the ball.
    band
        Largest frequency, in Fourier voxels of the box.
    roots
        Zeros of the spherical Bessel function of each degree, one a radial function.
    """

    box_vox: int
    radius_vox: float
    band: float
    roots: tuple[Float64s, ...]

    def __len__(self) -> int:
        return self.ends[-1]

    @cached_property
    def ends(self) -> tuple[int, ...]:
        """Where the functions of each degree begin; last, how many there are."""
        sizes = ((2 * degree + 1) * len(roots) for degree, roots in enumerate(self.roots))
        return tuple(accumulate(sizes, initial=0))

    @cached_property
    def frequencies(self) -> Tensor:
        """Of each function, in Fourier voxels, float32 (j,)."""
        to_fourier_vox = self.box_vox / (2.0 * np.pi * self.radius_vox)
        tiled = [np.tile(roots, 2 * degree + 1) for degree, roots in enumerate(self.roots)]
        return torch.tensor(to_fourier_vox * np.concatenate(tiled), dtype=torch.float32)

    def narrowed(self, band: float) -> "BallFunctions":
        """Those of these functions whose frequency is at most `band`, in the same order."""
        counts = [int((one[0] <= band).sum()) for one in self.blocks(self.frequencies)]
        kept = [roots[:n] for roots, n in zip(self.roots, counts, strict=True) if n]
        return replace(self, band=band, roots=tuple(kept))

    def blocks(self, coefficients: Tensor) -> list[Tensor]:
        """Coefficients (..., j) by degree: (..., 2 l + 1, radial functions) each."""
        return [
            coefficients[..., low:high].reshape(*coefficients.shape[:-1], -1, len(roots))
            for roots, (low, high) in zip(self.roots, pairwise(self.ends), strict=True)
        ]

    def sampled(self) -> Tensor:
        """Every function in its box, float32 (j, z, y, x)."""
        points = voxel_offsets_xyz(self.box_vox)
        distances = np.linalg.norm(points, axis=1)
        inside = distances < self.radius_vox
        harmonics = real_harmonics(len(self.roots) - 1, points[inside])
        out = np.zeros((len(self), len(points)), dtype=np.float32)
        norm = math.sqrt(2.0 / self.radius_vox**3)
        for degree, roots in enumerate(self.roots):
            radial = spherical_jn(degree, roots[:, None] * distances[inside] / self.radius_vox)
            radial *= norm / np.abs(spherical_jn(degree + 1, roots))[:, None]
            angular = harmonics[:, degree**2 : (degree + 1) ** 2].T
            low, high = self.ends[degree : degree + 2]
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


def ball_functions(box_vox: int, radius_vox: float, band: float) -> BallFunctions:
    """All functions in a ball up to a frequency, in Fourier voxels."""
    largest = 2.0 * np.pi / box_vox * band * radius_vox
    roots = takewhile(len, (_bessel_roots(degree, largest) for degree in count()))
    return BallFunctions(box_vox, radius_vox, band, tuple(roots))


def _bessel_roots(degree: int, largest: float) -> Float64s:
    """Positive zeros of a spherical Bessel function up to `largest`."""
    x = np.linspace(1e-3, largest, SCANNED)
    y = spherical_jn(degree, x)
    at = np.flatnonzero(y[:-1] * y[1:] < 0)
    roots: Float64s = x[at] - y[at] * (x[at + 1] - x[at]) / (y[at + 1] - y[at])
    return roots
