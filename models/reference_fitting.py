"""Structures of classes from labelled subtomograms alone, for `multi_reference`.

Every class is averaged by expectation-maximisation over all orientations and shifts (Scheres
2012, doi:10.1016/j.jmb.2011.11.010): each subtomogram counts in every pose as much as the pose is
likely, and a prior that is learnt from the average itself smooths it. Noise is Gaussian and the
same in all; its spectrum, which shows the missing wedge too, is the subtomograms' own, less what
the averages explain.
"""

import hashlib
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from engine.data.arrays import Ints
from engine.errors import BadInputError
from engine.matching.rotation_grid import even_rotations
from models.architectures.multi_reference import (
    N_ORIENTATIONS,
    SHIFTS_VOX,
    MultiReference,
    band_indices,
)
from models.ball_functions import BallFunctions, ball_functions
from models.classifier_data import LabelledSubtomograms, require_every_class, stratified_split
from models.classifier_training import Fitted, logits_of

logger = logging.getLogger(__name__)

LEAST_SIDE = 12
# Bands in Fourier voxels, as shares of the box: what is looked at first, and at most.
COARSE_BAND, WIDEST_BAND = 0.19, 0.4
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
# Share of the power of a shell below which the averages see nothing there; most that is believed.
LEAST_SIGNAL, MOST_SIGNAL = 0.003, 0.8
# Of the power of all turned references: what the reduction may lose.
REDUCTION_LOSS = 0.05
# Orientations in which all subtomograms together show less than this change nothing.
LEAST_SHOWN = 1e-3
BATCH = 64
CHECKPOINT_FILE = "references.pt"
# Of the estimate: averages that another one left in a folder are made anew.
VERSION = 2


@dataclass(frozen=True)
class ReferenceParams:
    """How references are estimated.

    Attributes
    ----------
    iterations
        At full resolution and over all shifts, for every class.
    held_out
        Share of every class that no average sees: calibration belongs there.
    """

    iterations: int = 10
    held_out: float = 0.1
    seed: int = 0


@dataclass(frozen=True)
class _Estimate:
    """Coefficients of a class average in ball functions, their prior variance, log evidence."""

    coefficients: Tensor
    variance: Tensor
    evidence: float = -math.inf


class _Noise:
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


def fit_references(
    data: LabelledSubtomograms,
    params: ReferenceParams,
    *,
    folder: Path | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> Fitted:
    """A `multi_reference` network of labelled subtomograms.

    What is labelled none of the classes is left out: it has no one structure.

    Parameters
    ----------
    folder
        Where class averages are kept; those that are there are not estimated again.

    Raises
    ------
    BadInputError
        A class without an example, a box of fewer than 12 voxels, an odd or uneven one.
    """
    require_every_class(data)
    sides = set(data.images.shape[2:])
    box = int(data.images.shape[-1])
    if len(sides) > 1 or box % 2 or box < LEAST_SIDE:
        raise BadInputError(
            f"multi_reference: expected cubes of an even side of {LEAST_SIDE} voxels or more, "
            f"found {'x'.join(str(side) for side in data.images.shape[2:])}"
        )
    report = on_progress or (lambda fraction: None)
    rng = np.random.default_rng([params.seed, 0])
    shown, kept = stratified_split(data.of_known(), params.held_out, rng=rng)
    shown, kept = (replace(one, class_names=data.known_names) for one in (shown, kept))
    noise, found = _estimated(shown, params, folder, report)
    network = _network(noise, found, params.seed)
    loss = _loss(network, kept)
    return Fitted(network.eval(), (loss,), shown, kept)


def _estimated(
    shown: LabelledSubtomograms,
    params: ReferenceParams,
    folder: Path | None,
    report: Callable[[float], None],
) -> tuple[_Noise, list[Tensor]]:
    """Noise and the coefficients of every class at full resolution."""
    box = int(shown.images.shape[-1])
    images, kinds = shown.images[:, 0], shown.kinds.numpy()
    widest = min(WIDEST_BAND * box, box / 2 - 1)
    zyx = band_indices(box, widest)
    spectra = torch.cat([spectra_at(part, zyx) for part in torch.split(images, BATCH)])
    power = spectra.abs().square().mean(dim=0)
    noise = _Noise(ball_functions(box, box / 2 - 0.5, widest), power, zyx)
    kept = _Kept(folder, f"{VERSION}-{_digest(shown)}-{params.seed}")
    rough = []
    for kind in range(len(shown.class_names)):
        own, rng = spectra[kinds == kind], np.random.default_rng([params.seed, 1, kind])
        rough.append(kept.made(f"rough-{kind}", partial(_grown, noise, own, rng)))
        report(0.4 * (kind + 1) / len(shown.class_names))
    noise, found, inside = _narrowed(noise, rough, power)
    spectra = spectra[:, inside]
    fine = []
    for kind, start in enumerate(found):
        own, rng = spectra[kinds == kind], np.random.default_rng([params.seed, 2, kind])
        fine.append(
            kept.made(
                f"fine-{kind}-{params.iterations}",
                partial(_refined, noise, own, start, params.iterations, rng),
            )
        )
        report(0.4 + 0.6 * (kind + 1) / len(found))
    return noise, fine


def _grown(noise: _Noise, spectra: Tensor, rng: np.random.Generator) -> Tensor:
    """Average of one class from random orientations, ever more resolved."""
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


def _refined(
    noise: _Noise, spectra: Tensor, start: Tensor, iterations: int, rng: np.random.Generator
) -> Tensor:
    one = _Estimate(start, _prior(noise.functions, start, torch.zeros_like(start)))
    for _ in range(iterations):
        one = _iterated(
            noise, spectra, one, SHIFTS_VOX, FINE_ORIENTATIONS, noise.functions.band, rng
        )
    return one.coefficients


def _first(noise: _Noise, spectra: Tensor, rng: np.random.Generator) -> _Estimate:
    """As if every subtomogram lay in an orientation of its own that is drawn."""
    seen = noise.projected(spectra, NO_SHIFT)[:, 0]
    turns = Rotation.random(len(spectra), rng=rng)
    together = noise.functions.turned(seen, turns).sum(dim=0)
    flat = torch.full((len(noise.functions),), FIRST_VARIANCE)
    coefficients, spread = _averaged(noise, together, len(spectra), flat)
    return _Estimate(
        coefficients, _prior(noise.functions, coefficients, spread).clamp_min(FIRST_VARIANCE / 4)
    )


def _iterated(
    noise: _Noise,
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
    return _Estimate(coefficients, _prior(functions, coefficients, spread), evidence / len(spectra))


def _averaged(noise: _Noise, together: Tensor, n: int, variance: Tensor) -> tuple[Tensor, Tensor]:
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


def _prior(functions: BallFunctions, coefficients: Tensor, spread: Tensor) -> Tensor:
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


def _narrowed(
    noise: _Noise, rough: list[Tensor], power: Tensor
) -> tuple[_Noise, list[Tensor], Tensor]:
    """Noise without the averages' own power, on the band where they have any."""
    functions = noise.functions
    radii = torch.tensor(np.linalg.norm(noise.zyx, axis=1), dtype=torch.float32)
    shells = radii.round().long()
    signal = _signal_share(noise, rough)
    n_in = torch.bincount(shells[noise.measured], minlength=int(shells.max()) + 1)
    sums = torch.zeros(len(n_in)).index_add_(0, shells, signal * noise.measured)
    share = (sums / n_in.clamp_min(1)).clamp_max(MOST_SIGNAL)
    seen = torch.nonzero(share > LEAST_SIGNAL)
    top = int(seen.max()) if len(seen) else int(shells.max())
    band = min(functions.band, max(top + 0.5, COARSE_BAND * functions.box_vox))
    inside = radii <= band
    left = 1.0 - share
    # The same functions, but for those of too high a frequency; in units of less noise.
    held = functions.frequencies <= band
    scale = 1.0 / torch.sqrt(left[functions.frequencies[held].round().long()])
    quieter = _Noise(
        functions.narrowed(band), (power * left[shells])[inside], noise.zyx[inside.numpy()]
    )
    return quieter, [one[held] * scale for one in rough], inside


def _signal_share(noise: _Noise, averages: list[Tensor]) -> Tensor:
    """Mean power (d,) of turned averages of all classes, that of an image 1."""
    turns = even_rotations(COARSE_ORIENTATIONS)
    half = len(noise.zyx)
    total = torch.zeros(half)
    for one in averages:
        seen = noise.functions.turned(one, turns) @ noise.basis
        total += (seen[:, :half] ** 2 + seen[:, half:] ** 2).mean(dim=0) / 2.0
    return total / len(averages)


def _network(noise: _Noise, averages: list[Tensor], seed: int) -> MultiReference:
    """References in every orientation, reduced to the few numbers in which they differ."""
    functions = noise.functions
    rng = np.random.default_rng([seed, 3])
    turns = Rotation.random(rng=rng) * even_rotations(N_ORIENTATIONS)
    templates = torch.cat([functions.turned(one, turns) for one in averages])
    energies = 0.5 * ((templates @ noise.overlap) * templates).sum(dim=1)
    power = noise.basis.T @ (templates.T @ templates) @ noise.basis
    values, vectors = torch.linalg.eigh(power.double())
    lost = torch.cumsum(values.clamp_min(0.0), dim=0) / values.clamp_min(0.0).sum()
    reduction = vectors[:, lost > REDUCTION_LOSS].float().T
    network = MultiReference(
        functions.box_vox, len(averages), band=functions.band, n_reduced=len(reduction)
    )
    with torch.no_grad():
        network.weights.copy_(noise.weights)  # type: ignore[operator]
        network.reduced.weight.copy_(reduction)
        network.references.weight.copy_(templates @ noise.basis @ reduction.T)
        network.references.bias.copy_(-energies)
        network.energies.copy_(energies.reshape(len(averages), -1).mean(dim=1))  # type: ignore[operator]
    return network


def _loss(network: MultiReference, kept: LabelledSubtomograms) -> float:
    if not len(kept):
        return math.nan
    logits = logits_of(network, kept.images)
    return float(torch.nn.functional.cross_entropy(logits, kept.kinds))


class _Kept:
    """Averages on disk, for a run that was stopped."""

    def __init__(self, folder: Path | None, key: str) -> None:
        self.path = None if folder is None else folder / CHECKPOINT_FILE
        self.found: dict[str, Tensor] = {}
        self.key = key
        if self.path is not None and self.path.is_file():
            held = torch.load(self.path, weights_only=True)
            if held["key"] == key:
                self.found = held["averages"]
            else:
                logger.warning(
                    "%s is of another training set or estimate and is made anew", self.path.name
                )

    def made(self, name: str, make: Callable[[], Tensor]) -> Tensor:
        """An average that is there, or one that is made and kept."""
        if name not in self.found:
            self.found[name] = make()
            if self.path is not None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                torch.save({"key": self.key, "averages": self.found}, self.path)
        return self.found[name]


def spectra_at(volumes: Tensor, zyx: Ints) -> Tensor:
    """Fourier voxels (n, d) of volumes (n, z, y, x), origin on the first voxel."""
    z, y, x = (torch.from_numpy(one) for one in zyx.T)
    spectra: Tensor = torch.fft.rfftn(volumes, dim=(1, 2, 3))[:, z, y, x]
    return spectra


def _digest(data: LabelledSubtomograms) -> str:
    """Of images and classes: averages of others are not taken for theirs."""
    found = hashlib.sha256(data.images.contiguous().numpy().tobytes())
    found.update(data.kinds.numpy().tobytes())
    return found.hexdigest()[:16]


def _mean_over_turns(overlap: Tensor, n_radial: int) -> Tensor:
    """Mean of R^T M R over all turns, within a degree: the same matrix for every order."""
    n_orders = len(overlap) // n_radial
    block = overlap.reshape(n_orders, n_radial, n_orders, n_radial)
    return torch.einsum("mamb->ab", block) / n_orders
