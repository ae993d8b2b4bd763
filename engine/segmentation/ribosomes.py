"""Ribosomes: where the network of small bodies sees them, one point each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from engine.data.arrays import Float64s
from engine.data.filaments import Filament
from engine.segmentation.bit_volume import BitVolume
from engine.segmentation.logits import code_of, probability_of, unpack_logits
from engine.segmentation.small_bodies import SmallBodiesView

RIBOSOME = "ribosome"
# Of a centre, where the network's card names no threshold.
LEAST_PROBABILITY = 0.5
# Centres of neighbours that touch are about 25 nm apart.
NEAREST_NM = 12.0
# Of the ball that stands for a ribosome among the labels; the networks are taught the same one.
RADIUS_NM = 8.0
# Radii of a ribosome and a microtubule, 12.5 nm each, less the errors of both places.
FREE_OF_AXIS_NM = 20.0


@dataclass(frozen=True)
class Ribosomes:
    """Ribosomes of a tomogram.

    Attributes
    ----------
    centres_angst
        (n, 3), (z, y, x) from the centre of voxel (0, 0, 0).
    confidence
        (n,) the network's probability at the centre: a calibrated one of that voxel, not of the
        ribosome.
    """

    centres_angst: Float64s
    confidence: Float64s


def find_ribosomes(
    view: SmallBodiesView,
    shape: tuple[int, int, int],
    voxel_nm: float,
    filaments: Sequence[Filament] = (),
) -> Ribosomes | None:
    """The points that the network's output stands for; None where it has no such output.

    Parameters
    ----------
    shape, voxel_nm
        Of the tomogram.
    filaments
        Microtubules: what lies on their walls is a piece of them.
    """
    if RIBOSOME not in view.codes:
        return None
    least = view.thresholds.get(RIBOSOME, LEAST_PROBABILITY)
    centres, confidence = peaks(view.codes[RIBOSOME], view.voxel_nm, least)
    # The grid may end a little beyond the last voxel.
    last_nm = (np.array(shape) - 1.0) * voxel_nm
    found = Ribosomes(10.0 * np.clip(centres * view.voxel_nm, 0.0, last_nm), confidence)
    return beside_filaments(found, filaments)


def beside_filaments(ribosomes: Ribosomes, filaments: Sequence[Filament]) -> Ribosomes:
    """Those that are no piece of a microtubule's wall: two bodies cannot be in one place."""
    if not filaments or not len(ribosomes.confidence):
        return ribosomes
    lines = cKDTree(np.concatenate([one.points_angst for one in filaments]))
    apart_angst, _ = lines.query(ribosomes.centres_angst)
    free = apart_angst >= 10.0 * FREE_OF_AXIS_NM
    return Ribosomes(ribosomes.centres_angst[free], ribosomes.confidence[free])


def peaks(codes: np.ndarray, voxel_nm: float, threshold: float) -> tuple[Float64s, Float64s]:
    """Highest points of a volume of probabilities, none nearer to a higher one than 12 nm.

    Parameters
    ----------
    codes
        uint8 (z, y, x), see `engine.segmentation.logits`.
    threshold
        Least probability.

    Returns
    -------
    (n, 3), (n,)
        Centres in voxels, drawn to the middle of what surrounds them, and probabilities.
    """
    reach = int(np.ceil(NEAREST_NM / voxel_nm))
    offsets = np.arange(-reach, reach + 1) * voxel_nm
    squared = sum(grid**2 for grid in np.meshgrid(offsets, offsets, offsets, sparse=True))
    near = np.asarray(squared) <= NEAREST_NM**2
    highest = (codes == ndimage.maximum_filter(codes, footprint=near)) & (
        codes >= code_of(threshold)
    )
    # Equal neighbours are one peak.
    plateaus, count = ndimage.label(highest, structure=np.ones((3, 3, 3)))
    if count == 0:
        return np.empty((0, 3)), np.empty(0)
    numbers = np.arange(1, count + 1)
    at = np.array(ndimage.center_of_mass(highest, plateaus, numbers))
    values = probability_of(unpack_logits(ndimage.maximum(codes, plateaus, numbers)))
    return np.array([_centred(codes, place) for place in at]), values


def _centred(codes: np.ndarray, place: Float64s) -> Float64s:
    """The probability-weighted middle of the 3^3 voxels about a place."""
    middle = np.rint(place).astype(int)
    low = np.maximum(middle - 1, 0)
    high = np.minimum(middle + 2, codes.shape)
    box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    weights = probability_of(unpack_logits(codes[box]))
    grids = np.meshgrid(*(np.arange(a, b) for a, b in zip(low, high, strict=True)), indexing="ij")
    return np.array([float((weights * grid).sum() / weights.sum()) for grid in grids])


def ball_mask(shape: tuple[int, int, int], centres_angst: Float64s, voxel_nm: float) -> BitVolume:
    """Balls of `RADIUS_NM` about centres (n, 3), on the tomogram's grid."""
    mask = BitVolume(shape)
    reach = int(np.ceil(RADIUS_NM / voxel_nm)) + 1
    for centre in centres_angst / (10.0 * voxel_nm):
        middle = np.rint(centre).astype(int)
        low = np.maximum(middle - reach, 0)
        high = np.minimum(middle + reach + 1, shape)
        grids = np.meshgrid(
            *(np.arange(a, b) for a, b in zip(low, high, strict=True)), indexing="ij", sparse=True
        )
        away = sum((grid - at) ** 2 for grid, at in zip(grids, centre, strict=True))
        z, y, x = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        inside = np.asarray(away) <= (RADIUS_NM / voxel_nm) ** 2
        mask.write((z, y, x), mask.read((z, y, x)) | inside)
    return mask
