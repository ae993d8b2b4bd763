"""How many picks above a score are chance, and how sure one pick is.

Two questions, two nulls. *Would noise give this score?* A control search in noise of the
tomogram's own spectrum counts peaks. *Would another structure of this size give it?* Scrambled
templates, each with its own best placement in the same block, give a p-value (Hope 1968,
doi:10.1111/j.2517-6161.1968.tb00759.x; for matching Wang et al. 2018, BMVC, who draw the other
structures from a generative network).
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.optimize import brentq
from scipy.spatial.transform import Rotation
from scipy.special import erfcinv
from torch import Tensor

from engine.data.arrays import Float32s, Float64s, Ints
from engine.matching.basis import TemplateBasis
from engine.matching.correlation import point_maps
from engine.matching.harmonics import turned
from engine.matching.matched_volume import MatchedVolume
from engine.matching.rotation_grid import even_rotations
from engine.matching.search import SearchTable, score_coefficients

# The highest peaks of the control that the tail starts from: further down they crowd each other.
TAIL_PEAKS = 20
LEAST_TAIL_SIGMAS = 3.5
EULER_GAMMA = 0.5772156649015329


def gaussian_threshold(sigma: float, n_voxels: int, n_rotations: int, n_expected: float) -> float:
    """Score above which independent Gaussian scores give `n_expected` false positives.

    Neighbouring voxels and rotations are not independent, which makes it conservative.

    References
    ----------
    Rickgauer, Grigorieff & Denk (2017), doi:10.7554/eLife.25648.
    """
    share = min(1.0, 2.0 * n_expected / (float(n_voxels) * n_rotations))
    return float(math.sqrt(2.0) * sigma * erfcinv(share))


@dataclass(frozen=True)
class FalsePositives:
    """Expected number of picks that are noise, by score.

    Attributes
    ----------
    peaks
        float64: non-overlapping peaks of the control search, best first.
    sigma
        Root mean square of the control's score over rotations and places.
    ratio
        Voxels searched over voxels of the control searches together.
    """

    peaks: Float64s
    sigma: float
    ratio: float

    def expected(self, score: float) -> float:
        """Expected number of noise picks at or above a score."""
        n = min(TAIL_PEAKS, len(self.peaks))
        if not n:
            return 0.0
        last = float(self.peaks[n - 1])
        if score <= last:
            return self.ratio * self._interpolated_count(score)
        return self.ratio * n * math.exp(log_tail(score / self.sigma) - log_tail(last / self.sigma))

    def _interpolated_count(self, score: float) -> float:
        """Peaks above a score, linear between them."""
        counts = np.arange(1, len(self.peaks) + 1, dtype=np.float64)
        return float(np.interp(-score, -self.peaks, counts))

    def rates(self, scores: Float64s) -> Float64s:
        """False discovery rate by noise when picks down to each score are taken, (n,)."""
        order = np.argsort(-scores, kind="stable")
        expected = np.array([self.expected(float(score)) for score in scores[order]])
        rate = np.minimum(1.0, expected / np.arange(1, len(scores) + 1))
        rate = np.minimum.accumulate(rate[::-1])[::-1]
        out = np.empty(len(scores))
        out[order] = rate
        return out

    def threshold(self, n_expected: float) -> float:
        """Score above which `n_expected` noise picks are to be expected."""
        if not len(self.peaks):
            return 0.0
        lowest = float(self.peaks[-1])
        if self.expected(lowest) <= n_expected:
            return lowest
        highest = float(self.peaks[0])
        while self.expected(highest) > n_expected:
            highest *= 1.2
        return float(brentq(lambda s: self.expected(s) - n_expected, lowest, highest))


def log_tail(sigmas: float) -> float:
    """Logarithm of the expected number of peaks above a level, up to a constant.

    A Gaussian field over three positions and three rotations: u (u^4 - 10 u^2 + 15) exp(-u^2 / 2)
    above u standard deviations; constant below 3.5, where the formula no longer falls.

    References
    ----------
    Worsley et al. (1996), doi:10.1002/(SICI)1097-0193(1996)4:1<58::AID-HBM4>3.0.CO;2-O.
    """
    u = max(sigmas, LEAST_TAIL_SIGMAS)
    return math.log(u * (u**4 - 10.0 * u**2 + 15.0)) - u**2 / 2.0


@dataclass(frozen=True)
class NullTable:
    """Scan coefficients of a template and of scrambled ones in a coarse search.

    Attributes
    ----------
    coefficients
        float32 (1 + n_nulls, n_rotations, K), the template first; K volumes that are scanned.
    mask_number
        Which inverse norm scales the scores.
    """

    coefficients: Tensor
    mask_number: int

    @property
    def n_nulls(self) -> int:
        """Number of scrambled templates."""
        return len(self.coefficients) - 1


def scrambled_coefficients(
    coefficients: tuple[Float64s, ...], n: int, *, rng: np.random.Generator
) -> list[Float64s]:
    """Structures with the template's radial profile and its strength in every degree.

    Within each degree all radial parts are turned by one random orthogonal matrix. So mass,
    radius, the power in every shell and how fast the score changes with rotation stay; the shape
    does not.

    Returns
    -------
    list of Float64s
        One (2 l + 1, n, c_l) array a degree; the first of the n is the template itself.
    """
    out = []
    for degree, block in enumerate(coefficients):
        order = 2 * degree + 1
        matrices = np.stack([np.eye(order)] + [_random_orthogonal(order, rng) for _ in range(n)])
        out.append(np.einsum("nij,jc->inc", matrices, block))
    return out


def with_scrambled(
    basis: TemplateBasis, n_copies: int, *, rng: np.random.Generator
) -> TemplateBasis:
    """Add scrambled copies of the templates: all templates, then all first copies, ..."""
    copies = [scrambled_coefficients(blocks, n_copies, rng=rng) for blocks in basis.coefficients]
    return replace(
        basis,
        templates=basis.templates * (1 + n_copies),
        coefficients=tuple(
            tuple(block[:, copy] for block in of_template)
            for copy in range(1 + n_copies)
            for of_template in copies
        ),
        kept_correlation=basis.kept_correlation * (1 + n_copies),
    )


def _random_orthogonal(order: int, rng: np.random.Generator) -> Float64s:
    """Uniform over O(order) (Stewart 1980, doi:10.1137/0717034)."""
    if order == 1:
        # The mean density profile keeps its sign: a hole is no structure of the same mass.
        return np.ones((1, 1))
    q, r = np.linalg.qr(rng.normal(size=(order, order)))
    matrix: Float64s = q * np.sign(np.diag(r))
    return matrix


def null_table(
    table: SearchTable,
    template: int,
    mask_number: int,
    *,
    n_nulls: int,
    n_rotations: int,
    rng: np.random.Generator,
) -> NullTable:
    """Coarse search with a template and its scrambled copies, all over the same rotations."""
    basis = table.basis
    blocks = scrambled_coefficients(basis.coefficients[template], n_nulls, rng=rng)
    n = table.n_scanned
    rotations = even_rotations(n_rotations)
    out = np.zeros((n_nulls + 1, n_rotations, basis.size), dtype=np.float32)
    turning = _wigner(len(blocks), rotations)
    for degree, names in enumerate(basis.columns):
        if not names:
            continue
        # (rotations, 2 l + 1, 2 l + 1) times (2 l + 1, structures * columns)
        order = 2 * degree + 1
        flat = blocks[degree].reshape(order, -1).astype(np.float32)
        turned_flat = turning[degree] @ flat
        values = turned_flat.reshape(n_rotations, order, n_nulls + 1, len(names))
        for column, name in enumerate(names):
            start = basis.blocks[name].start
            out[:, :, start : start + order] = values[:, :, :, column].transpose(2, 0, 1)
    # Scrambling keeps the norm in every degree: what is cut off is the same for all.
    scanned = np.ascontiguousarray(out.reshape(-1, basis.size)[:, :n])
    scaled = score_coefficients(basis, table.gram[:n, :n], template, scanned)
    return NullTable(
        torch.from_numpy(np.ascontiguousarray(scaled).reshape(*out.shape[:2], n)), mask_number
    )


def _wigner(n_degrees: int, rotations: Rotation) -> list[Float32s]:
    """Matrices (n, 2 l + 1, 2 l + 1) that turn coefficients, one stack a degree."""
    return turned([np.eye(2 * degree + 1) for degree in range(n_degrees)], rotations)


@dataclass(frozen=True)
class BlockMaxima:
    """Best scores of a template and of its nulls in one block.

    Attributes
    ----------
    own
        float64 (n_points,): the template's best rotation at each lattice point.
    points_vox
        int (n_points, 3), (z, y, x).
    nulls
        float64 (n_nulls,): each null's best over rotations and lattice points.
    """

    own: Float64s
    points_vox: Ints
    nulls: Float64s


def block_maxima(
    volume: MatchedVolume,
    basis: TemplateBasis,
    nulls: NullTable,
    start_vox: Ints,
    side_vox: int,
    stride_vox: int = 1,
) -> BlockMaxima:
    """Search one block coarsely: every `stride_vox`-th voxel, every rotation of the table."""
    axes = [
        np.arange(first, min(first + side_vox, n), stride_vox)
        for first, n in zip(start_vox, volume.shape, strict=True)
    ]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    maps = point_maps(volume, basis, points, n_volumes=nulls.coefficients.shape[2])
    values = maps.maps * maps.inverse_norms[nulls.mask_number]
    own = (nulls.coefficients[0] @ values).amax(dim=0)
    best = torch.stack([(one @ values).amax() for one in nulls.coefficients[1:]])
    return BlockMaxima(own.double().numpy(), points, best.double().numpy())


def monte_carlo_p_value(score: float, nulls: Float64s) -> float:
    """Chance that one of the nulls' kind reaches a score.

    (1 + number of nulls at or above) / (1 + number of nulls) where at least ten are (Hope 1968);
    below that the tail of a Gumbel distribution fitted to the nulls by L-moments, never above the
    counted value. Maxima of Gaussian scores fall faster than Gumbel's: small values are
    conservative.

    References
    ----------
    Hosking (1990), doi:10.1111/j.2517-6161.1990.tb01775.x; tail fits of permutation tests:
    Knijnenburg et al. (2009), doi:10.1093/bioinformatics/btp211.
    """
    n = len(nulls)
    above = int((nulls >= score).sum())
    counted = (1.0 + above) / (n + 1.0)
    if above >= 10 or n < 20:
        return counted
    ordered = np.sort(nulls)
    ranks = np.arange(1, n + 1)
    first = float(ordered.mean())
    second = float(2.0 * (ordered * (ranks - 1) / (n - 1)).mean() - first)
    scale = max(second / math.log(2.0), 1e-12)
    place = first - EULER_GAMMA * scale
    tail = -math.expm1(-math.exp(-(score - place) / scale))
    return float(min(counted, max(tail, 1e-300)))


def benjamini_hochberg(p_values: Float64s, n_tests: int | None = None) -> Float64s:
    """q-values: the smallest false discovery rate at which each test is called.

    Parameters
    ----------
    n_tests
        All tests made, where the p-values of those not listed are taken as 1.

    References
    ----------
    Benjamini & Hochberg (1995), doi:10.1111/j.2517-6161.1995.tb02031.x.
    """
    p = np.asarray(p_values, dtype=np.float64)
    if not len(p):
        return p.copy()
    total = max(len(p), n_tests or len(p))
    order = np.argsort(p)
    ranked = p[order] * total / np.arange(1, len(p) + 1)
    ranked = np.minimum.accumulate(ranked[::-1])[::-1]
    q = np.empty_like(p)
    q[order] = np.minimum(ranked, 1.0)
    return q
