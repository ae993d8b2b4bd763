"""A result set against a truth: bodies by overlap, filaments by length, points by distance."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree

from engine.data.arrays import Bools, Float64s
from engine.data.filaments import Filament

# A found line follows a true one where it lies this near and runs within this angle of it.
LINE_NEAR_NM, LINE_ANGLE_DEG = 15.0, 30.0
SAMPLE_NM = 2.0


@dataclass(frozen=True)
class BodyMatches:
    """Bodies found and true, matched one to one by overlap.

    Attributes
    ----------
    pairs
        (found id, true id) of matches.
    n_found, n_true
        Bodies in all.
    volume_ratio
        (matches,) found over true volume.
    """

    pairs: tuple[tuple[int, int], ...]
    n_found: int
    n_true: int
    volume_ratio: Float64s


def match_bodies(found: np.ndarray, truth: np.ndarray, least_iou: float = 0.5) -> BodyMatches:
    """Match bodies whose intersection over union reaches `least_iou` (from 0.5 on it is unique).

    Parameters
    ----------
    found, truth
        Integer ids (z, y, x), 0 = none.
    """
    n_found = np.bincount(found.reshape(-1))
    n_true = np.bincount(truth.reshape(-1))
    both = (found > 0) & (truth > 0)
    codes, overlap = np.unique(
        found[both].astype(np.int64) * len(n_true) + truth[both], return_counts=True
    )
    pairs, ratios = [], []
    for code, shared in zip(codes, overlap, strict=True):
        one, other = divmod(int(code), len(n_true))
        union = n_found[one] + n_true[other] - shared
        if shared / union >= least_iou:
            pairs.append((one, other))
            ratios.append(n_found[one] / n_true[other])
    return BodyMatches(
        tuple(pairs),
        int((n_found[1:] > 0).sum()),
        int((n_true[1:] > 0).sum()),
        np.array(ratios, dtype=np.float64),
    )


@dataclass(frozen=True)
class LineAgreement:
    """Lengths of found and true lines, and what of each has a counterpart.

    Attributes
    ----------
    true_nm, found_nm
        Total lengths.
    missed_nm, false_nm
        Of the true lines without a found one beside them, and the reverse.
    samples
        (n, 3) direction of the true lines at samples 2 nm apart, unit vectors (z, y, x).
    is_found
        (n,) of each sample.
    """

    true_nm: float
    found_nm: float
    missed_nm: float
    false_nm: float
    samples: Float64s
    is_found: Bools


def compare_lines(found: Sequence[Filament], truth: Sequence[Filament]) -> LineAgreement:
    """Set filaments against true ones by length, as Weber et al. (2012) did.

    References
    ----------
    doi:10.1016/j.jsb.2011.12.004. Departure: a counterpart must also run in the same direction, so
    that a line across a bundle is not right.
    """
    found_points, found_directions = _sampled(found)
    true_points, true_directions = _sampled(truth)
    is_found = _has_counterpart(true_points, true_directions, found_points, found_directions)
    is_true = _has_counterpart(found_points, found_directions, true_points, true_directions)
    true_nm = sum(one.length_nm for one in truth)
    found_nm = sum(one.length_nm for one in found)
    return LineAgreement(
        true_nm,
        found_nm,
        missed_nm=true_nm * float(1.0 - is_found.mean()) if len(is_found) else 0.0,
        false_nm=found_nm * float(1.0 - is_true.mean()) if len(is_true) else 0.0,
        samples=true_directions,
        is_found=is_found,
    )


def _sampled(lines: Sequence[Filament]) -> tuple[Float64s, Float64s]:
    """Points (n, 3) in nm, 2 nm apart along every line, and unit directions."""
    points, directions = [np.empty((0, 3))], [np.empty((0, 3))]
    for line in lines:
        nodes = line.points_angst / 10.0
        steps = np.linalg.norm(np.diff(nodes, axis=0), axis=1)
        along = np.concatenate([[0.0], np.cumsum(steps)])
        wanted = np.linspace(0.0, along[-1], max(3, round(along[-1] / SAMPLE_NM) + 1))
        dense = np.stack([np.interp(wanted, along, nodes[:, axis]) for axis in range(3)], axis=1)
        slope = np.gradient(dense, axis=0)
        points.append(dense)
        directions.append(slope / np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 1e-12))
    return np.concatenate(points), np.concatenate(directions)


def _has_counterpart(
    points: Float64s, directions: Float64s, others: Float64s, other_directions: Float64s
) -> Bools:
    if len(points) == 0 or len(others) == 0:
        return np.zeros(len(points), dtype=bool)
    near = cKDTree(others).query_ball_point(points, LINE_NEAR_NM)
    aligned = np.cos(np.radians(LINE_ANGLE_DEG))
    return np.array(
        [
            len(index) > 0 and np.abs(other_directions[index] @ direction).max() >= aligned
            for index, direction in zip(near, directions, strict=True)
        ]
    )


def centreline_dice(
    found_mask: Bools,
    found: Sequence[Filament],
    true_mask: Bools,
    truth: Sequence[Filament],
    voxel_nm: float,
) -> float | None:
    """The clDice of Shit et al. (2021), doi:10.1109/CVPR46437.2021.01629, with lines for skeletons.

    Parameters
    ----------
    found_mask, true_mask
        bool (z, y, x): cores.

    Returns
    -------
    float or None
        None where both are empty.
    """
    if not truth and not found:
        return None
    if not truth or not found:
        return 0.0
    precision = _share_inside(found, true_mask, voxel_nm)
    sensitivity = _share_inside(truth, found_mask, voxel_nm)
    return 2.0 * precision * sensitivity / max(precision + sensitivity, 1e-12)


def _share_inside(lines: Sequence[Filament], mask: Bools, voxel_nm: float) -> float:
    points, _ = _sampled(lines)
    index = np.clip(np.rint(points / voxel_nm).astype(np.int64), 0, np.array(mask.shape) - 1)
    return float(mask[tuple(index.T)].mean())


@dataclass(frozen=True)
class PointMatches:
    """How many points were found, were true, and were matched one to one."""

    n_found: int
    n_true: int
    n_matched: int

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 1 where both sets are empty."""
        total = self.n_found + self.n_true
        return 2.0 * self.n_matched / total if total else 1.0


def match_points(found: Float64s, truth: Float64s, within: float) -> PointMatches:
    """Match points (n, 3) and (m, 3) one to one within a distance, as many as can be."""
    if len(found) == 0 or len(truth) == 0:
        return PointMatches(len(found), len(truth), 0)
    distance = cKDTree(found).sparse_distance_matrix(cKDTree(truth), within)
    cost = np.full((len(found), len(truth)), 1e6)
    for (one, other), apart in distance.items():
        cost[one, other] = apart
    rows, columns = linear_sum_assignment(cost)
    return PointMatches(len(found), len(truth), int((cost[rows, columns] <= within).sum()))


def dice(found: Bools, truth: Bools) -> float:
    """Twice the intersection over the sum; 1 where both are empty."""
    total = int(found.sum()) + int(truth.sum())
    return 2.0 * int((found & truth).sum()) / total if total else 1.0


def flat_parts(sheets: Bools, within_deg: float = 30.0) -> Bools:
    """Where thin sheets (z, y, x) lie flat: their normal is within an angle of z.

    A tilt series to 60 degrees measures nothing along such a normal: a flat membrane is not in the
    data. For a sheet with normal n the smoothed products of gradients are n n^T, so that their
    share along z is the squared cosine.
    """
    soft = ndimage.gaussian_filter(sheets.astype(np.float32), 1.5)
    along_z = ndimage.sobel(soft, axis=0) ** 2
    total = along_z + ndimage.sobel(soft, axis=1) ** 2 + ndimage.sobel(soft, axis=2) ** 2
    along_z, total = (ndimage.uniform_filter(each, 5) for each in (along_z, total))
    cosine_squared = float(np.cos(np.radians(within_deg)) ** 2)
    return np.asarray(sheets & (along_z > cosine_squared * total))
