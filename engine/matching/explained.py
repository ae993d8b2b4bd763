"""How much of what stands at a pick its template explains.

A template correlates with anything dense: with a bead, a membrane or a filament as well as with a
copy. But of the variance that a copy adds to the noise in its place it explains nearly all; of a
bead's or a filament's it explains a part.
"""

from dataclasses import dataclass

import numpy as np

from engine.data.arrays import Float64s, Ints
from engine.matching.basis import TemplateBasis
from engine.matching.correlation import point_maps
from engine.matching.matched_volume import QUIET_QUANTILE, MatchedVolume


@dataclass(frozen=True)
class QuietNoise:
    """Local variance of a tomogram between its structures, one value a mask of the basis.

    Attributes
    ----------
    variance
        (n_masks,), mean over places.
    spread
        (n_masks,), relative deviation from place to place.
    """

    variance: Float64s
    spread: Float64s


def local_variances(volume: MatchedVolume, basis: TemplateBasis, positions_vox: Ints) -> Float64s:
    """Variance (n_masks, n) under each mask at voxels (n, 3); 0 where nothing is."""
    inverse = point_maps(volume, basis, positions_vox, n_volumes=0).inverse_norms.double().numpy()
    totals = np.array([mask.sum(dtype=np.float64) for mask in basis.distinct_masks])
    squared = inverse**2 * totals[:, None]
    return np.asarray(np.divide(1.0, squared, out=np.zeros_like(squared), where=squared > 0))


def quiet_noise(
    volume: MatchedVolume,
    noise: MatchedVolume,
    basis: TemplateBasis,
    positions_vox: Ints,
    noise_positions_vox: Ints,
) -> QuietNoise:
    """The quieter places of a volume, set against the same share of noise alone.

    Parameters
    ----------
    noise
        As `noise_like` makes it; its own level does not matter.
    positions_vox, noise_positions_vox
        int (n, 3), random voxels of each.
    """
    found = local_variances(volume, basis, positions_vox)
    usual = local_variances(noise, basis, noise_positions_vox)
    mean = usual.mean(axis=1)
    expected = np.quantile(usual, QUIET_QUANTILE, axis=1) / mean
    lowest = np.array([np.quantile(row[row > 0], QUIET_QUANTILE) for row in found])
    return QuietNoise(lowest / expected, usual.std(axis=1) / mean)


def explained_share(scores: Float64s, variances: Float64s, level: float, spread: float) -> Float64s:
    """Explained variance over variance beyond noise, both with the noise's own doubt added.

    About 1 for a copy, and wherever nothing stands out; well below 1 for something else.

    Parameters
    ----------
    scores, variances
        (n,), of the picks and under the mask in their places.
    level, spread
        Of the quiet noise under the same mask.
    """
    doubt = level * spread
    return np.asarray((scores**2 * variances + doubt) / ((variances - level).clip(0.0) + doubt))
