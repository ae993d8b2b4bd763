"""Microtubules from the probability of their core: thin, link, spline, extend to the true ends."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.interpolate import splev, splprep
from scipy.spatial import cKDTree

from engine.data.arrays import Bools, Float64s, UInt8s
from engine.data.filaments import Filament
from engine.segmentation.linking import linked_chains
from engine.segmentation.skeleton import skeleton_paths

# Sampling of the returned centre lines.
SAMPLE_NM = 2.0
# Of an end, in core diameters: thinning takes half of one, trimming and smoothing a little more.
LONGEST_EXTENSION = 1.3
# A tube that leaves through a face at a shallow angle is followed this far.
LONGEST_TO_FACE_NM = 200.0
# Samples over which the direction of an end is taken.
TANGENT_SAMPLES = 15
# Two centre lines nearer than this over most of the shorter one are one filament traced twice.
SAME_LINE_NM = 9.0


@dataclass(frozen=True)
class TracingParams:
    """How a core probability becomes filaments.

    Attributes
    ----------
    threshold
        Core probability of the mask. Lower ones join neighbours that touch, and find little more.
    shortest_nm
        Shorter lines are dropped: noise, not filaments.
    least_evidence_nm
        Of the probability summed along a line: the fainter it is, the longer it must be.
    core_diameter_nm
        Of the cylinder that the network was taught; a mask shortens by half of it at each end
        when thinned, which the extension gives back.
    longest_gap_nm, sharpest_turn_deg
        Two ends are joined within this gap where both tangents agree with the bridge.
    position_noise_vox
        Standard deviation of skeleton voxels about the true line: smoothing of the spline is
        n times its square.
    border_nm
        An end this close to a face leaves the volume there.
    """

    threshold: float = 0.5
    shortest_nm: float = 40.0
    least_evidence_nm: float = 32.0
    core_diameter_nm: float = 18.0
    longest_gap_nm: float = 60.0
    sharpest_turn_deg: float = 20.0
    position_noise_vox: float = 0.6
    border_nm: float = 12.0
    lowest_confidence: float = 0.3


def trace_filaments(
    core: UInt8s,
    voxel_size_nm: float,
    extent_nm: tuple[float, float, float],
    params: TracingParams,
    filament_class: str = "microtubule",
) -> tuple[Filament, ...]:
    """Trace every filament of a core probability.

    Parameters
    ----------
    core
        uint8 (z, y, x), probability times 255.
    voxel_size_nm
        Of `core`; voxel i is centred on i * voxel_size_nm.
    extent_nm
        Last voxel centre of the tomogram along (z, y, x); faces lie half a voxel beyond.

    Returns
    -------
    tuple of Filament
        Longest first; empty where nothing is above the threshold.

    References
    ----------
    Skeleton cut at junctions and re-linked by end direction follows the idea of Weber et al.
    (2014), doi:10.1371/journal.pone.0113222; end extension is our own correction of the two
    radii that thinning loses per filament.
    """
    tracer = _Tracer(core, voxel_size_nm, np.asarray(extent_nm), params)
    lines = [tracer.finished(chain) for chain in tracer.chains()]
    kept = [line for line in lines if line is not None]
    kept = _without_doubles(sorted(kept, key=lambda line: -_length(line[0])))
    return tuple(
        Filament(number, filament_class, points * 10.0, start, end, confidence)
        for number, (points, start, end, confidence) in enumerate(kept, start=1)
    )


Line = tuple[Float64s, bool, bool, float]


class _Tracer:
    def __init__(
        self, core: UInt8s, voxel_nm: float, extent_nm: Float64s, params: TracingParams
    ) -> None:
        self.core, self.voxel_nm, self.extent_nm, self.params = core, voxel_nm, extent_nm, params

    def chains(self) -> list[Float64s]:
        """Linked, still jagged lines (n, 3) in nm."""
        pieces: list[Float64s] = []
        spur_vox = 1.2 * self.params.core_diameter_nm / self.voxel_nm
        for box, part in self._component_boxes():
            corner = np.array([one.start for one in box])
            pieces += [(path + corner) * self.voxel_nm for path in skeleton_paths(part, spur_vox)]
        # Thinning drew back both ends of a gap by a radius.
        gap_nm = self.params.longest_gap_nm + self.params.core_diameter_nm
        return linked_chains(
            pieces, gap_nm, self.params.sharpest_turn_deg, self.params.core_diameter_nm
        )

    def _component_boxes(self) -> list[tuple[tuple[slice, ...], Bools]]:
        """Connected parts of the mask; labelled at half sampling to spare memory."""
        mask = self.core >= round(255 * self.params.threshold)
        n_z, n_y, n_x = (-(-n // 2) for n in mask.shape)
        padded = np.zeros((2 * n_z, 2 * n_y, 2 * n_x), dtype=bool)
        padded[: mask.shape[0], : mask.shape[1], : mask.shape[2]] = mask
        halved = padded.reshape(n_z, 2, n_y, 2, n_x, 2).any(axis=(1, 3, 5))
        components, _ = ndimage.label(halved, structure=np.ones((3, 3, 3)))
        smallest = (self.params.core_diameter_nm / self.voxel_nm) ** 3 * 0.5
        found = []
        for number, box in enumerate(ndimage.find_objects(components), start=1):
            fine = tuple(slice(2 * part.start, 2 * part.stop) for part in box)
            own = components[box] == number
            own = own.repeat(2, axis=0).repeat(2, axis=1).repeat(2, axis=2)
            fine = tuple(
                slice(part.start, min(part.stop, n))
                for part, n in zip(fine, mask.shape, strict=True)
            )
            part_mask = mask[fine] & own[tuple(slice(0, p.stop - p.start) for p in fine)]
            if part_mask.sum() >= smallest:
                found.append((fine, part_mask))
        return found

    def finished(self, chain: Float64s) -> Line | None:
        """Smooth a chain, extend its ends, judge it; None where it is no filament."""
        smooth = self._spline(chain)
        if smooth is None:
            return None
        reach = min(TANGENT_SAMPLES, len(smooth) - 1)
        # A faint tube ends where its own probability has halved, not where a clear one would.
        level = 0.5 * float(self._probability(smooth).mean())
        first, at_start = self._extension(smooth[0], smooth[0] - smooth[reach], level)
        last, at_end = self._extension(smooth[-1], smooth[-1] - smooth[-1 - reach], level)
        points = np.concatenate([first[::-1], smooth, last])
        confidence = float(self._probability(points).mean())
        length_nm = _length(points)
        if length_nm < self.params.shortest_nm or confidence < self.params.lowest_confidence:
            return None
        if length_nm * confidence < self.params.least_evidence_nm:
            return None
        return points, at_start, at_end, confidence

    def _spline(self, chain: Float64s) -> Float64s | None:
        steps = np.linalg.norm(np.diff(chain, axis=0), axis=1)
        chain = chain[np.concatenate([[True], steps > 1e-6])]
        if len(chain) < 4:
            return None
        chain = self._without_bent_ends(chain)
        smoothing = len(chain) * (self.params.position_noise_vox * self.voxel_nm) ** 2
        degree = min(3, len(chain) - 1)
        knots, _ = splprep(chain.T, s=smoothing, k=degree)
        dense = np.stack(splev(np.linspace(0.0, 1.0, 512), knots), axis=1)
        length = _length(dense)
        if length <= 0:
            return None
        along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(dense, axis=0), axis=1))])
        wanted = np.linspace(0.0, length, max(3, int(length / SAMPLE_NM) + 1))
        return np.stack([np.interp(wanted, along, dense[:, axis]) for axis in range(3)], axis=1)

    def _without_bent_ends(self, chain: Float64s) -> Float64s:
        """Leave out end voxels where the skeleton does not follow the axis.

        The last two bend towards corners of the mask; where a tube leaves through a face, the
        middle of what is left of it is not its axis. A tube may also run along a face: no more
        than a diameter is left out.
        """
        to_face = np.minimum(chain, self.extent_nm - chain).min(axis=1)
        away = np.flatnonzero(to_face > 0.5 * self.params.core_diameter_nm)
        if len(away) and away[-1] - away[0] >= 8:
            most = int(self.params.core_diameter_nm / self.voxel_nm)
            first = min(int(away[0]), most)
            last = max(int(away[-1]), len(chain) - 1 - most)
            chain = chain[first : last + 1]
        trim = min(2, (len(chain) - 4) // 2)
        return chain[trim : len(chain) - trim]

    def _extension(self, end: Float64s, outward: Float64s, level: float) -> tuple[Float64s, bool]:
        """Points from an end along its tangent to where the probability falls below a level."""
        norm = np.linalg.norm(outward)
        if norm == 0:
            return np.empty((0, 3)), False
        direction = outward / norm
        step = 0.25 * self.voxel_nm
        to_face = self._distance_to_face(end, direction)
        free = LONGEST_EXTENSION * self.params.core_diameter_nm
        distances = np.arange(step, max(free, min(to_face, LONGEST_TO_FACE_NM)) + step, step)
        points = end + distances[:, None] * direction
        above = self._is_inside(points) & (self._probability(points) >= level)
        stop = len(points) if above.all() else int(np.argmin(above))
        reached = distances[stop - 1] if stop > 0 else 0.0
        if to_face - reached <= self.params.border_nm:
            count = max(1, int(to_face / step))
            ray = end + np.linspace(to_face / count, to_face, count)[:, None] * direction
            return ray, True
        return points[: min(stop, int(free / step))], False

    def _is_inside(self, points: Float64s) -> np.ndarray:
        half = 0.5 * self.voxel_nm
        return np.asarray(((points >= -half) & (points <= self.extent_nm + half)).all(axis=1))

    def _distance_to_face(self, point: Float64s, direction: Float64s) -> float:
        half = 0.5 * self.voxel_nm
        with np.errstate(divide="ignore", invalid="ignore"):
            ahead = np.where(direction > 0, self.extent_nm + half - point, -half - point)
            distance = np.where(np.abs(direction) > 1e-9, ahead / direction, np.inf)
        return float(max(0.0, distance.min()))

    def _probability(self, points: Float64s) -> Float64s:
        where = (points / self.voxel_nm).T
        sampled = ndimage.map_coordinates(
            self.core, where, order=1, mode="nearest", output=np.float64
        )
        return np.asarray(sampled / 255.0)


def _without_doubles(lines: list[Line]) -> list[Line]:
    """Drop every line that mostly runs along a longer one; `lines` come longest first."""
    kept: list[Line] = []
    for line in lines:
        beside = np.zeros(len(line[0]), dtype=bool)
        for other in kept:
            distance, _ = cKDTree(other[0]).query(line[0], distance_upper_bound=SAME_LINE_NM)
            beside |= np.isfinite(distance)
        if beside.mean() < 0.5:
            kept.append(line)
    return kept


def _length(points: Float64s) -> float:
    return float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())
