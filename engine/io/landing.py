"""Where imported coordinates land in a tomogram, and what may be wrong with those that do not."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from engine.data.arrays import Bools, Float64s
from engine.data.tomogram import Tomogram

# Factors that tomograms are binned by in practice.
BINNINGS = (2, 3, 4, 5, 6, 8, 10, 12, 16)
# Other orders of (z, y, x): the whole turned round, two swapped, all three moved on.
AXIS_ORDERS = ((2, 1, 0), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1))
MOSTLY = 0.5
FITS = 0.95
# Fewer picks may lie in a corner by chance.
MIN_PICKS_OF_A_CORNER = 20

HintCode = Literal["centre", "axes", "binning", "corner", "unexplained"]


@dataclass(frozen=True)
class LandingHint:
    """What the user should look at.

    Attributes
    ----------
    code
        For programs.
    message
        One sentence for people.
    binning
        Factor between the voxels that the coordinates count in and those assumed; None where the
        hint is another.
    """

    code: HintCode
    message: str
    binning: int | None = None


def lie_outside(positions_angst: Float64s, tomogram: Tomogram) -> Bools:
    """Which of n positions (z, y, x) lie beyond the outermost voxels' faces; (n,)."""
    places_vox = positions_angst.reshape(-1, 3) / tomogram.voxel_size_angst
    beyond = (places_vox < -0.5) | (places_vox >= np.array(tomogram.voxels.shape) - 0.5)
    return np.asarray(beyond.any(axis=1))


def landing_hint(positions_angst: Float64s, tomogram: Tomogram) -> LandingHint | None:
    """Give the simplest explanation of picks that land mostly outside, or all in one corner.

    Tried in this order, for a larger divisor always fits: coordinates that count from the centre,
    axes in another order, a usual binning. An explanation is one that brings 95 % inside.

    Returns
    -------
    LandingHint or None
        None where the picks lie as picks do, or where there are none.
    """
    positions = positions_angst.reshape(-1, 3)
    if not len(positions):
        return None
    if lie_outside(positions, tomogram).mean() <= MOSTLY:
        return _corner(positions, tomogram)
    half_angst = np.array(tomogram.voxels.shape) * tomogram.voxel_size_angst / 2.0
    if (positions.min(axis=0) < 0).any() and _fit(positions + half_angst, tomogram):
        return LandingHint(
            "centre",
            "most picks lie outside; they would lie inside if their coordinates counted from the "
            "centre of the tomogram",
        )
    for order in AXIS_ORDERS:
        if _fit(positions[:, order], tomogram):
            # What is called x, y, z in the file, by what it seems to be.
            names = ", ".join("zyx"[order.index(axis)] for axis in (2, 1, 0))
            return LandingHint(
                "axes",
                "most picks lie outside; they would lie inside if the coordinates x, y, z were "
                f"{names}: check the order of the axes",
            )
    binning = fitting_binning(positions, tomogram)
    if binning is not None:
        return LandingHint(
            "binning",
            "most picks lie outside; they would lie inside if their coordinates counted in voxels "
            f"{binning} times smaller: check the binning (--voxel-size-angst)",
            binning,
        )
    return LandingHint(
        "unexplained",
        "most picks lie outside, and neither another centre, order of axes nor binning brings them "
        "inside: check the voxel size and that this is their tomogram",
    )


def fitting_binning(positions_angst: Float64s, tomogram: Tomogram) -> int | None:
    """Smallest usual binning that brings the positions into the tomogram.

    Returns
    -------
    int or None
        Factor that the positions are to be divided by; None where most lie inside as they are, or
        where no factor brings 95 % inside.
    """
    outside = lie_outside(positions_angst, tomogram)
    if not len(outside) or outside.mean() <= MOSTLY:
        return None
    return next((b for b in BINNINGS if _fit(positions_angst / b, tomogram)), None)


def _fit(positions_angst: Float64s, tomogram: Tomogram) -> bool:
    return bool(lie_outside(positions_angst, tomogram).mean() <= 1.0 - FITS)


def _corner(positions: Float64s, tomogram: Tomogram) -> LandingHint | None:
    """Picks that fill less than half of every axis, from the first voxel on."""
    reached = np.quantile(positions, FITS, axis=0) / tomogram.voxel_size_angst
    share = float((reached / np.array(tomogram.voxels.shape)).max())
    if len(positions) < MIN_PICKS_OF_A_CORNER or share >= MOSTLY:
        return None
    binning = max((b for b in BINNINGS if _fit(positions * b, tomogram)), default=None)
    if binning is None:
        return None
    return LandingHint(
        "corner",
        f"the picks fill the first {100.0 * share:.0f} % of every axis alone; they would fill the "
        f"tomogram if their coordinates counted in voxels up to {binning} times larger: check the "
        "binning (--voxel-size-angst)",
        binning,
    )
