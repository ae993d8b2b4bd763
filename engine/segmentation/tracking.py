"""Lines followed through faint evidence: each step looks ahead along many directions.

In a noisy tomogram a network sees a microtubule in patches. Single voxels between them say
nothing, but the mean of sixty nanometres in the right direction does. The method is our own; why
and on what it was chosen: `docs/decisions/following-faint-lines.md`.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from engine.data.arrays import Float64s, UInt8s
from engine.segmentation.logits import unpack_logits

STEP_NM = 6.0
AHEAD_STEP_NM = 4.0
# Share of the newly found direction in the next step's: a tube is stiff.
STEERING = 0.35
RING_DEG = 4.0
LONGEST_LINE_NM = 20_000.0


@dataclass(frozen=True)
class TrackingParams:
    """How a line is followed beyond its clear part.

    Attributes
    ----------
    ahead_nm
        Length over which evidence is averaged.
    least_logit
        Mean logit ahead below which a line ends.
    clip
        Logits are cut to this range first: one clear voxel must not carry many empty ones.
    widest_turn_deg, widest_first_turn_deg
        Half angle of the cone of directions that are tried, and of the first: a short start's
        own direction is not well known.
    """

    ahead_nm: float = 60.0
    least_logit: float = -5.0
    clip: tuple[float, float] = (-9.0, -1.0)
    widest_turn_deg: float = 12.0
    widest_first_turn_deg: float = 25.0


class LogitField:
    """Logits at any place of a volume.

    Parameters
    ----------
    codes
        uint8 (z, y, x), see `engine.segmentation.logits`.
    voxel_nm
        Voxel i is centred on i * voxel_nm.
    """

    def __init__(self, codes: UInt8s, voxel_nm: float) -> None:
        self._codes, self._voxel_nm = codes, voxel_nm
        self._last = np.array(codes.shape) - 1.0

    def at(self, points: Float64s) -> Float64s:
        """Logits (...) at points (..., 3) in nm; outside the volume those of its face."""
        where = np.moveaxis(points / self._voxel_nm, -1, 0)
        sampled = ndimage.map_coordinates(
            self._codes, where, order=1, mode="nearest", output=np.float64
        )
        return unpack_logits(sampled)

    def holds(self, points: Float64s) -> np.ndarray:
        """Whether each point (..., 3) in nm lies in the volume, its faces half a voxel out."""
        where = points / self._voxel_nm
        return np.asarray(((where >= -0.5) & (where <= self._last + 0.5)).all(axis=-1))


def followed(
    field: LogitField, start: Float64s, direction: Float64s, params: TrackingParams
) -> Float64s:
    """Follow a line from its end.

    Parameters
    ----------
    start, direction
        (z, y, x) in nm; the direction outward, of any length but zero.

    Returns
    -------
    (n, 3) in nm
        Points 6 nm apart beyond `start`, as far as evidence or the volume goes; n may be 0.
    """
    reach = np.arange(AHEAD_STEP_NM, params.ahead_nm + AHEAD_STEP_NM, AHEAD_STEP_NM)
    cone = _cone(params.widest_first_turn_deg)
    narrow = _cone(params.widest_turn_deg)
    point, heading = start, direction / np.linalg.norm(direction)
    line: list[Float64s] = []
    while len(line) * STEP_NM < LONGEST_LINE_NM:
        tried = cone @ _frame(heading)
        ahead = point + reach[None, :, None] * tried[:, None, :]
        inside = field.holds(ahead)
        clipped = np.clip(field.at(ahead), *params.clip)
        counted = inside.sum(axis=1)
        means = np.where(
            counted > 0, (clipped * inside).sum(axis=1) / np.maximum(counted, 1), -np.inf
        )
        best = int(np.argmax(means))
        if means[best] < params.least_logit:
            break
        steering = STEERING if line else 1.0
        heading = (1.0 - steering) * heading + steering * tried[best]
        heading /= np.linalg.norm(heading)
        cone = narrow
        point = point + STEP_NM * heading
        if not field.holds(point):
            break
        line.append(point)
    return np.array(line).reshape(-1, 3)


def _cone(half_angle_deg: float) -> Float64s:
    """Unit vectors (n, 3) about the first axis, straight ahead first, in rings 4 degrees apart."""
    vectors = [np.array([1.0, 0.0, 0.0])]
    rings = round(half_angle_deg / RING_DEG)
    for ring in range(1, rings + 1):
        tilt = np.radians(half_angle_deg * ring / rings)
        for turn in 2.0 * np.pi * np.arange(6 * ring) / (6 * ring):
            around = np.sin(tilt) * np.array([np.cos(turn), np.sin(turn)])
            vectors.append(np.array([np.cos(tilt), *around]))
    return np.array(vectors)


def _frame(heading: Float64s) -> Float64s:
    """Rows: the heading and two unit vectors across it."""
    helper = np.eye(3)[int(np.argmin(np.abs(heading)))]
    first = np.cross(heading, helper)
    first /= np.linalg.norm(first)
    return np.stack([heading, first, np.cross(heading, first)])
