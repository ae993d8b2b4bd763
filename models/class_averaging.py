"""The average of one class: expectation-maximisation over all orientations and shifts.

Each subtomogram counts in every pose as much as the pose is likely (Scheres 2012,
doi:10.1016/j.jmb.2011.11.010), and a prior that is learnt from the average itself smooths it.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from engine.data.arrays import Ints
from engine.matching.rotation_grid import even_rotations
from models.architectures.multi_reference import SHIFTS_VOX
from models.ball_functions import BallFunctions

# As a share of the box, in Fourier voxels: what is looked at first.
COARSE_BAND = 0.19
# Of the strongest Fourier voxel's power: below, nothing was measured.
MEASURED = 1e-3
# Averages from different random orientations; the likeliest goes on.
N_STARTS = 2
N_COARSE, N_GROWING = 12, 10
COARSE_ORIENTATIONS, FINE_ORIENTATIONS = 500, 1500
NO_SHIFT = ((0.0, 0.0, 0.0),)
CORNERS_VOX = tuple((z, y, x) for z in (-0.6, 0.6) for y in (-0.6, 0.6) for x in (-0.6, 0.6))
# Before an average is known: variance of a coefficient, in units of the noise.
FIRST_VARIANCE, LEAST_VARIANCE = 0.04, 1e-6
# What the mean of a shell counts for in the prior, in orders of a degree.
SHELL_ORDERS = 5.0
# Orientations in which all subtomograms together show less than this change nothing.
LEAST_SHOWN = 1e-3
BATCH = 64


@dataclass(frozen=True)
class _Estimate:
    """Coefficients of a class average in ball functions, their prior variance, log evidence."""

    coefficients: Tensor
    variance: Tensor
    evidence: float = -math.inf


class WhiteNoise:
    """Fourier voxels of a band in units of the noise, and what ball functions are among them."""

    def __init__(self, functions: BallFunctions, power: Tensor, zyx: Ints) -> None:
        self.functions, self.zyx = functions, zyx
        self.measured = power > MEASURED * power.max()
        # Half of the voxels stand for all: each counts twice.
        self.weights = torch.where(self.measured, torch.sqrt(2.0 / power.clamp_min(1e-30)), 0.0)
        box = functions.box_vox
        parts = []
        for part in torch.split(functions.sampled(), BATCH):
            spectra = spectra_at(part, zyx) * (math.sqrt(2.0 / box**3) * self.measured)
            parts.append(torch.cat([spectra.real, spectra.imag], dim=1))
        # (j, 2 d)
        self.basis = torch.cat(parts)
        self.overlap = self.basis @ self.basis.T
        self.mean_overlaps = [
            _mean_over_turns(self.overlap[low:high, low:high], len(roots))
            for roots, (low, high) in zip(functions.roots, pairwise(functions.ends), strict=True)
        ]

    def projected(self, spectra: Tensor, shifts: tuple[tuple[float, ...], ...]) -> Tensor:
        """What ball functions see of spectra (n, d) at shifts: (n, shifts, j)."""
        angle = 2.0 * np.pi / self.functions.box_vox * np.array(shifts) @ self.zyx.T
        phases = torch.tensor(np.exp(1j * angle), dtype=torch.complex64) * self.weights
        moved = spectra[:, None] * phases
        return torch.cat([moved.real, moved.imag], dim=2) @ self.basis.T


def grown_average(noise: WhiteNoise, spectra: Tensor, rng: np.random.Generator) -> Tensor:
    """Average of one class from random orientations, ever more resolved.

    Parameters
    ----------
    spectra
        Complex (n, d), Fourier voxels of its subtomograms where `noise` has them.

    Returns
    -------
    Tensor
        Coefficients (j,) of ball functions, in units of the noise.
    """
    functions = noise.functions
    coarse = COARSE_BAND * functions.box_vox
    best: _Estimate | None = None
    for _ in range(N_STARTS):
        one = _first(noise, spectra, rng)
        for _ in range(N_COARSE):
            one = _iterated(noise, spectra, one, NO_SHIFT, COARSE_ORIENTATIONS, coarse, rng)
        if best is None or one.evidence > best.evidence:
            best = one
    assert best is not None
    for step in range(N_GROWING):
        band = coarse + (functions.band - coarse) * min(1.0, (step + 1) / (0.7 * N_GROWING))
        best = _iterated(noise, spectra, best, CORNERS_VOX, FINE_ORIENTATIONS, band, rng)
    return best.coefficients


def refined_average(
    noise: WhiteNoise, spectra: Tensor, start: Tensor, iterations: int, rng: np.random.Generator
) -> Tensor:
    """The average (j,) that coefficients (j,) become at full resolution and over all shifts."""
    one = _Estimate(start, coefficient_variance(noise.functions, start, torch.zeros_like(start)))
    for _ in range(iterations):
        one = _iterated(
            noise, spectra, one, SHIFTS_VOX, FINE_ORIENTATIONS, noise.functions.band, rng
        )
    return one.coefficients


def _first(noise: WhiteNoise, spectra: Tensor, rng: np.random.Generator) -> _Estimate:
    """As if every subtomogram lay in an orientation of its own that is drawn."""
    seen = noise.projected(spectra, NO_SHIFT)[:, 0]
    turns = Rotation.random(len(spectra), rng=rng)
    together = noise.functions.turned(seen, turns).sum(dim=0)
    flat = torch.full((len(noise.functions),), FIRST_VARIANCE)
    coefficients, spread = _averaged(noise, together, len(spectra), flat)
    return _Estimate(
        coefficients,
        coefficient_variance(noise.functions, coefficients, spread).clamp_min(FIRST_VARIANCE / 4),
    )


def _iterated(
    noise: WhiteNoise,
    spectra: Tensor,
    now: _Estimate,
    shifts: tuple[tuple[float, ...], ...],
    n_orientations: int,
    band: float,
    rng: np.random.Generator,
) -> _Estimate:
    """One step: how likely each pose is, then the average that they make together."""
    functions = noise.functions
    # Another grid every time: none of its gaps stays.
    turns = Rotation.random(rng=rng) * even_rotations(n_orientations)
    seen = functions.frequencies <= band
    templates = functions.turned(now.coefficients * seen, turns)[:, seen]
    energies = 0.5 * ((templates @ noise.overlap[seen][:, seen]) * templates).sum(dim=1)
    sums = torch.zeros((n_orientations, len(functions)))
    evidence = 0.0
    for part in torch.split(spectra, BATCH):
        moved = noise.projected(part, shifts)
        scores = (moved[:, :, seen] @ templates.T - energies).flatten(1)
        total = torch.logsumexp(scores, dim=1)
        evidence += float(total.sum()) - len(part) * math.log(scores.shape[1])
        share = torch.exp(scores - total[:, None]).reshape(-1, n_orientations)
        sums += share.T @ moved.flatten(0, 1)
    used = sums.abs().amax(dim=1) > LEAST_SHOWN
    together = functions.turned(sums[used], turns[used.numpy()].inv()).sum(dim=0)
    coefficients, spread = _averaged(noise, together, len(spectra), now.variance)
    return _Estimate(
        coefficients, coefficient_variance(functions, coefficients, spread), evidence / len(spectra)
    )


def _averaged(
    noise: WhiteNoise, together: Tensor, n: int, variance: Tensor
) -> tuple[Tensor, Tensor]:
    """Likeliest coefficients of what n subtomograms show together, and their variances.

    Orientations fill the sphere: what the wedge hides of one, others show, and the normal
    equations fall apart into one small system for each degree.
    """
    blocks, priors = noise.functions.blocks(together), noise.functions.blocks(variance)
    found, spread = [], []
    for block, prior, overlap in zip(blocks, priors, noise.mean_overlaps, strict=True):
        inverse = torch.linalg.inv(n * overlap + torch.diag(1.0 / prior[0]))
        found.append((block @ inverse).flatten())
        spread.append(torch.diag(inverse).expand(block.shape).flatten())
    return torch.cat(found), torch.cat(spread)


def coefficient_variance(functions: BallFunctions, coefficients: Tensor, spread: Tensor) -> Tensor:
    """Variance of coefficients, one for each degree and radial function.

    A structure smaller than the ball has ever less of a frequency in higher degrees. What few
    orders show of that is drawn to the mean of all functions of about the same frequency.
    """
    squares = coefficients**2 + spread
    shells = functions.frequencies.round().long()
    sums = torch.zeros(int(shells.max()) + 1).index_add_(0, shells, squares)
    means = (sums / torch.bincount(shells).clamp_min(1))[shells]
    found = []
    for own, around in zip(functions.blocks(squares), functions.blocks(means), strict=True):
        n_orders = len(own)
        drawn = (SHELL_ORDERS * around[0] + own.sum(dim=0)) / (SHELL_ORDERS + n_orders)
        found.append(drawn.expand(n_orders, -1).flatten())
    return torch.cat(found).clamp_min(LEAST_VARIANCE)


def spectra_at(volumes: Tensor, zyx: Ints) -> Tensor:
    """Fourier voxels (n, d) of volumes (n, z, y, x), origin on the first voxel."""
    z, y, x = (torch.from_numpy(one) for one in zyx.T)
    spectra: Tensor = torch.fft.rfftn(volumes, dim=(1, 2, 3))[:, z, y, x]
    return spectra


def _mean_over_turns(overlap: Tensor, n_radial: int) -> Tensor:
    """Mean of R^T M R over all turns, within a degree: the same matrix for every order."""
    n_orders = len(overlap) // n_radial
    block = overlap.reshape(n_orders, n_radial, n_orders, n_radial)
    return torch.einsum("mamb->ab", block) / n_orders
