"""A classifier whose weights are one structure a class, in every orientation and place.

What it computes is the likelihood of a subtomogram under each class, summed over orientations and
shifts: the observer of maximum-likelihood classification (Scheres et al. 2007,
doi:10.1038/nmeth992) as a network. `models.reference_fitting` gives it its weights.
"""

import itertools
import math

import numpy as np
import torch
from torch import Tensor, nn

from engine.data.arrays import Ints

SHIFT_STEP_VOX = 0.8
SHIFTS_VOX = tuple(itertools.product((-SHIFT_STEP_VOX, 0.0, SHIFT_STEP_VOX), repeat=3))
N_ORIENTATIONS = 2000
# Of what is none of the classes a fourth: which stranger it is like need not be told.
STRANGER_SHARE = 4
# Of a box, in voxels; it must be even.
LEAST_SIDE = 12
# What a network has before anything is fitted: band in Fourier voxels as a share of the box, and
# numbers that a shifted image is reduced to.
BAND, N_REDUCED = 0.27, 256
# Of the signal, in units of that of training: which of them a subtomogram has is not known.
AMPLITUDES = (0.35, 0.5, 0.7, 1.0, 1.4)
# Of the strongest structure's own fit: less is none, and what is divided by less rounds.
LEAST_FIT = 0.01


class MultiReference(nn.Module):
    """Fourier voxels of the band, whitened, shifted, reduced, times every turned reference.

    Parameters
    ----------
    band
        Largest frequency that is looked at, in Fourier voxels.
    n_reduced
        Numbers that each shifted image becomes.
    n_orientations
        Of every class; of every stranger a fourth.
    n_strangers
        Structures that share the last class: what is none of the others is like one of them, all
        alike probable, or nothing but noise. 0: every class has one structure.
    """

    def __init__(
        self,
        box_vox: int,
        n_classes: int,
        *,
        band: float | None = None,
        n_reduced: int = N_REDUCED,
        n_orientations: int = N_ORIENTATIONS,
        n_strangers: int = 0,
    ) -> None:
        super().__init__()
        band = BAND * box_vox if band is None else band
        self.box_vox, self.n_classes, self.n_strangers = box_vox, n_classes, n_strangers
        self.n_known = n_classes - (n_strangers > 0)
        self.n_references = (
            self.n_known * n_orientations, n_strangers * (n_orientations // STRANGER_SHARE)
        )  # fmt: skip
        self.top = math.floor(band)
        zyx = band_indices(box_vox, band)
        self.register_buffer("places", torch.from_numpy(self._flat(zyx)))
        self.register_buffer("weights", torch.ones(len(zyx)))
        phases = 2.0 * np.pi / box_vox * zyx @ np.array(SHIFTS_VOX).T
        self.register_buffer("cosines", torch.tensor(np.cos(phases.T), dtype=torch.float32))
        self.register_buffer("sines", torch.tensor(np.sin(phases.T), dtype=torch.float32))
        self.half_axis = _FourierAxis(box_vox, np.arange(self.top + 1))
        self.whole_axis = _FourierAxis(box_vox, np.arange(-self.top, self.top + 1))
        self.reduced = nn.Linear(2 * len(zyx), n_reduced, bias=False)
        self.references = nn.Linear(n_reduced, sum(self.n_references))
        # Mean of the references of a structure: half of their power, in units of the noise.
        self.register_buffer("energies", torch.zeros(self.n_known + n_strangers))
        self.head = nn.Linear(n_classes, n_classes)
        with torch.no_grad():
            self.head.weight.copy_(torch.eye(n_classes))
            self.head.bias.zero_()

    def _flat(self, zyx: Ints) -> Ints:
        """Where Fourier voxels lie in what the three axes give, x first."""
        side = 2 * self.top + 1
        z, y, x = zyx.T
        return np.asarray((x * side + y + self.top) * side + z + self.top, dtype=np.int64)

    def _whitened(self, volumes: Tensor) -> tuple[Tensor, Tensor]:
        """Fourier voxels (n, d), real and imaginary part, of (n, 1, z, y, x)."""
        real, imaginary = self.half_axis.of_real(volumes[:, 0])
        real, imaginary = self.whole_axis(real.permute(0, 1, 3, 2), imaginary.permute(0, 1, 3, 2))
        real, imaginary = self.whole_axis(real.permute(0, 2, 3, 1), imaginary.permute(0, 2, 3, 1))
        places: Tensor = self.places  # type: ignore[assignment]
        weights: Tensor = self.weights  # type: ignore[assignment]
        return real.flatten(1)[:, places] * weights, imaginary.flatten(1)[:, places] * weights

    def shifted(self, volumes: Tensor) -> Tensor:
        """What is compared with the references: (n, shifts, reduced)."""
        real, imaginary = (one[:, None] for one in self._whitened(volumes))
        cosines: Tensor = self.cosines  # type: ignore[assignment]
        sines: Tensor = self.sines  # type: ignore[assignment]
        both = torch.cat(
            [real * cosines - imaginary * sines, real * sines + imaginary * cosines], dim=2
        )
        reduced: Tensor = self.reduced(both)
        return reduced

    def features(self, volumes: Tensor) -> Tensor:
        """Log-likelihood ratio (n, structures) to nothing but noise, of (n, 1, z, y, x)."""
        scores = self.references(self.shifted(volumes))
        known, others = torch.split(scores, list(self.n_references), dim=2)
        ratios = _over_poses(known, self.n_known)
        if not self.n_strangers:
            return ratios
        return torch.cat([ratios, _over_poses(others, self.n_strangers)], dim=1)

    def compared(self, features: Tensor) -> Tensor:
        """What is compared with class means: how well each fits, of the best (n, structures).

        A ratio to noise grows with the signal, a fit in shares of the best does not: what is
        clearer than the subtomograms of training is no stranger for that.
        """
        energies: Tensor = self.energies  # type: ignore[assignment]
        fits = features + energies
        best = torch.maximum(fits.amax(dim=1, keepdim=True), LEAST_FIT * energies.max())
        shares: Tensor = fits / best
        return shares

    def classified(self, features: Tensor) -> Tensor:
        """Logits (n, classes) of features."""
        if self.n_strangers:
            ratios = self._of_any_amplitude(features)
            features = torch.cat([ratios[:, : self.n_known], self._of_strangers(ratios)], dim=1)
        logits: Tensor = self.head(features)
        return logits

    def _of_any_amplitude(self, features: Tensor) -> Tensor:
        """Log-likelihood ratios (n, structures) where the signal may be fainter, or clearer.

        At the amplitude of training what is fainter is likest what has little power, a small
        stranger.
        """
        energies: Tensor = self.energies  # type: ignore[assignment]
        # What a pose shares with its reference grows with the amplitude, the reference's own power
        # with its square.
        fits = features + energies
        each = torch.stack([one * fits - one**2 * energies for one in AMPLITUDES], dim=2)
        return torch.logsumexp(each, dim=2) - math.log(len(AMPLITUDES))

    def _of_strangers(self, ratios: Tensor) -> Tensor:
        """Log-likelihood ratio (n, 1) of what is any stranger, or nothing at all."""
        each = torch.logsumexp(ratios[:, self.n_known :], dim=1, keepdim=True)
        # Nothing has a ratio of one to itself: log(exp(each) + 1).
        together: Tensor = nn.functional.softplus(each)
        return together - math.log(self.n_strangers + 1)

    def forward(self, volumes: Tensor) -> Tensor:
        """Logits (n, classes) of normalised subtomograms (n, 1, z, y, x)."""
        return self.classified(self.features(volumes))


def _over_poses(scores: Tensor, n_structures: int) -> Tensor:
    """Log of the mean likelihood (n, structures), of (n, shifts, structures x orientations)."""
    by_structure = scores.unflatten(2, (n_structures, -1))  # type: ignore[no-untyped-call]
    # Largest first: sums of exponentials would overflow.
    largest = by_structure.amax(dim=(1, 3), keepdim=True)
    # One axis after the other: a runtime that adds 50,000 numbers in turn loses a thousandth.
    sums = torch.exp(by_structure - largest).mean(dim=3).mean(dim=1)
    ratios: Tensor = torch.log(sums) + largest[:, 0, :, 0]
    return ratios


class _FourierAxis(nn.Module):
    """Some frequencies of the Fourier transform along the last axis, in real numbers."""

    def __init__(self, box_vox: int, frequencies: Ints) -> None:
        super().__init__()
        angle = 2.0 * np.pi / box_vox * np.outer(frequencies, np.arange(box_vox))
        self.cosine = nn.Linear(box_vox, len(frequencies), bias=False)
        self.sine = nn.Linear(box_vox, len(frequencies), bias=False)
        with torch.no_grad():
            self.cosine.weight.copy_(torch.tensor(np.cos(angle)))
            self.sine.weight.copy_(torch.tensor(-np.sin(angle)))

    def of_real(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Real and imaginary part, of real values."""
        return self.cosine(values), self.sine(values)

    def forward(self, real: Tensor, imaginary: Tensor) -> tuple[Tensor, Tensor]:
        """The same of complex values."""
        return (
            self.cosine(real) - self.sine(imaginary),
            self.sine(real) + self.cosine(imaginary),
        )


def band_indices(box_vox: int, band: float) -> Ints:
    """Frequencies (n, 3) z, y, x of one half of the Fourier voxels up to a band, without zero."""
    top = math.floor(band)
    both, half = np.arange(-top, top + 1), np.arange(top + 1)
    z, y, x = (one.ravel() for one in np.meshgrid(both, both, half, indexing="ij"))
    # Of the plane x = 0 one half is the other's mirror image.
    first = (x > 0) | (y > 0) | ((y == 0) & (z > 0))
    inside = first & (z**2 + y**2 + x**2 <= band**2)
    indices: Ints = np.stack([z, y, x], axis=1)[inside]
    return indices
