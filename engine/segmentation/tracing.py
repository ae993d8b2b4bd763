"""Microtubules from the logits of their core: thin, link, spline, follow, extend to the ends."""

from dataclasses import dataclass, field, replace

import numpy as np
from scipy import ndimage
from scipy.interpolate import splev, splprep
from scipy.spatial import cKDTree

from engine.data.arrays import Bools, Float64s, UInt8s
from engine.data.filaments import Filament
from engine.segmentation.linking import linked_chains
from engine.segmentation.logits import code_of, probability_of
from engine.segmentation.skeleton import skeleton_paths
from engine.segmentation.tracking import LogitField, TrackingParams, followed

# Sampling of the returned centre lines.
SAMPLE_NM = 2.0
# Of an end, in core diameters: thinning takes half of one, trimming and smoothing a little more.
LONGEST_EXTENSION = 1.3
# A tube that leaves through a face at a shallow angle is followed this far.
LONGEST_TO_FACE_NM = 200.0
# Samples over which the direction of an end is taken.
TANGENT_SAMPLES = 15
# A point of a line that is nearer to its end than this says nothing of the direction there.
CLOSED_NM = 1e-3
# About a component, at half sampling; thinning smooths over four voxels at full sampling.
ROOM_VOX = 3
# Where two centre lines run nearer than this and within this angle, one filament is traced twice.
SAME_LINE_NM, SAME_LINE_DEG = 12.0, 30.0


@dataclass(frozen=True)
class TracingParams:
    """How the logits of a core become filaments.

    Attributes
    ----------
    threshold
        Core probability of the mask from which lines start. Lower ones join neighbours that touch.
    shortest_seed_nm
        Shorter starts are not followed.
    tracking
        How a line is followed from its clear part through faint ones.
    shortest_nm
        Shorter lines are dropped: noise, not filaments.
    least_evidence_nm
        In logit nm: logits above `tracking.least_logit`, summed along a line. The fainter it is,
        the longer it must be.
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
    shortest_seed_nm: float = 6.0
    tracking: TrackingParams = field(default_factory=TrackingParams)
    shortest_nm: float = 40.0
    least_evidence_nm: float = 150.0
    core_diameter_nm: float = 18.0
    longest_gap_nm: float = 60.0
    sharpest_turn_deg: float = 20.0
    position_noise_vox: float = 0.6
    border_nm: float = 12.0

    def shifted(self, logits: float) -> "TracingParams":
        """The same, asking for this much more evidence at every voxel."""
        odds = self.threshold / (1.0 - self.threshold) * np.exp(logits)
        least = self.tracking.least_logit + logits
        return replace(
            self,
            threshold=float(odds / (1.0 + odds)),
            tracking=replace(self.tracking, least_logit=least),
        )


def trace_filaments(
    core: UInt8s,
    voxel_size_nm: float,
    extent_nm: tuple[float, float, float],
    params: TracingParams,
    filament_class: str = "microtubule",
) -> tuple[Filament, ...]:
    """Trace every filament of a core.

    Parameters
    ----------
    core
        uint8 (z, y, x), codes of its logits, see `engine.segmentation.logits`.
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
    lines = [tracer.grown(chain) for chain in tracer.chains()]
    found = [line for line in lines if line is not None]
    apart = _each_once(sorted(found, key=tracer.evidence_nm, reverse=True))
    kept = [line for line in apart if tracer.is_filament(line)]
    return tuple(
        Filament(
            number, filament_class, line.points * 10.0, line.starts_at_face, line.ends_at_face,
            tracer.confidence(line),
        )
        for number, line in enumerate(sorted(kept, key=lambda line: -line.length_nm), start=1)
    )  # fmt: skip


@dataclass(frozen=True)
class _Line:
    """A centre line (n, 3) in nm, and which of its ends lie at a face of the volume."""

    points: Float64s
    starts_at_face: bool
    ends_at_face: bool

    @property
    def length_nm(self) -> float:
        return _length(self.points)


class _Tracer:
    def __init__(
        self, core: UInt8s, voxel_nm: float, extent_nm: Float64s, params: TracingParams
    ) -> None:
        self.core, self.voxel_nm, self.extent_nm, self.params = core, voxel_nm, extent_nm, params
        self.field = LogitField(core, voxel_nm)

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
        code = code_of(self.params.threshold)
        shape = self.core.shape
        halved = _halved_mask(self.core, code)
        components, _ = ndimage.label(halved, structure=np.ones((3, 3, 3)))
        smallest = (self.params.core_diameter_nm / self.voxel_nm) ** 3 * 0.5
        found = []
        for number, tight in enumerate(ndimage.find_objects(components), start=1):
            # With room about it: a face of the box must mean a face of the volume when thinned.
            box = tuple(
                slice(max(0, part.start - ROOM_VOX), min(n, part.stop + ROOM_VOX))
                for part, n in zip(tight, components.shape, strict=True)
            )
            fine = tuple(
                slice(2 * part.start, min(2 * part.stop, n))
                for part, n in zip(box, shape, strict=True)
            )
            own = components[box] == number
            own = own.repeat(2, axis=0).repeat(2, axis=1).repeat(2, axis=2)
            part_mask = (self.core[fine] >= code) & own[
                tuple(slice(0, p.stop - p.start) for p in fine)
            ]
            if part_mask.sum() >= smallest:
                found.append((fine, part_mask))
        return found

    def grown(self, chain: Float64s) -> _Line | None:
        """Smooth a chain, follow it at both ends, extend it to them; None where it is too short."""
        chain = self._without_bent_ends(_without_repeats(chain))
        smooth = self._spline(chain)
        if smooth is None or _length(smooth) < self.params.shortest_seed_nm:
            return None
        first, last = (
            followed(self.field, end, outward, self.params.tracking)
            for end, outward in _ends(smooth)
        )
        if len(first) or len(last):
            smooth = self._spline(np.concatenate([first[::-1], smooth, last]))
            if smooth is None:
                return None
        # A faint tube ends where its own probability has halved, not where a clear one would.
        level = 0.5 * float(self._probability(smooth).mean())
        smooth = self._without_faint_ends(smooth, level)
        (start, at_start), (end, at_end) = (
            self._extension(end, outward, level) for end, outward in _ends(smooth)
        )
        return _Line(np.concatenate([start[::-1], smooth, end]), at_start, at_end)

    def _without_faint_ends(self, line: Float64s, level: float) -> Float64s:
        """Cut back each end that lies inside the volume to where the level is last reached.

        Evidence ahead is averaged: it also leads a little way past the end of a tube.
        """
        reached = np.flatnonzero(self._probability(line) >= level)
        to_face = np.minimum(line, self.extent_nm - line).min(axis=1)
        first = 0 if to_face[0] <= self.params.border_nm else int(reached[0])
        last = len(line) - 1 if to_face[-1] <= self.params.border_nm else int(reached[-1])
        return line[first : last + 1] if last - first >= 3 else line

    def is_filament(self, line: _Line) -> bool:
        """Long enough, and the longer the fainter it is."""
        return (
            line.length_nm >= self.params.shortest_nm
            and self.evidence_nm(line) >= self.params.least_evidence_nm
        )

    def evidence_nm(self, line: _Line) -> float:
        """Logits above the least that is followed, summed along a line (logit nm)."""
        tracking = self.params.tracking
        logits = np.clip(self.field.at(line.points), *tracking.clip)
        return line.length_nm * float((logits - tracking.least_logit).mean())

    def confidence(self, line: _Line) -> float:
        """Mean probability along a line."""
        return float(self._probability(line.points).mean())

    def _spline(self, chain: Float64s) -> Float64s | None:
        if len(chain) < 4:
            return None
        smoothing = len(chain) * (self.params.position_noise_vox * self.voxel_nm) ** 2
        degree = min(3, len(chain) - 1)
        knots, _ = splprep(chain.T, s=smoothing, k=degree)
        dense = np.stack(splev(np.linspace(0.0, 1.0, 1024), knots), axis=1)
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
        trim = max(0, min(2, (len(chain) - 4) // 2))
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
        return probability_of(self.field.at(points))


def _halved_mask(core: UInt8s, code: int) -> Bools:
    """Where a block of 2^3 voxels holds one of at least `code`; a pair of sections at a time."""
    n_z, n_y, n_x = (-(-n // 2) for n in core.shape)
    halved = np.empty((n_z, n_y, n_x), dtype=bool)
    pair = np.zeros((2, 2 * n_y, 2 * n_x), dtype=bool)
    for z in range(n_z):
        sections = core[2 * z : 2 * z + 2] >= code
        pair[1] = False
        pair[: len(sections), : core.shape[1], : core.shape[2]] = sections
        halved[z] = pair.reshape(2, n_y, 2, n_x, 2).any(axis=(0, 2, 4))
    return halved


def _ends(line: Float64s) -> tuple[tuple[Float64s, Float64s], tuple[Float64s, Float64s]]:
    """First and last point of a line, each with its outward direction."""
    return (line[0], _outward(line)), (line[-1], _outward(line[::-1]))


def _outward(line: Float64s) -> Float64s:
    """Direction at the first point; where a line comes back to it, seen from nearer by."""
    for reach in range(min(TANGENT_SAMPLES, len(line) - 1), 1, -1):
        direction = line[0] - line[reach]
        if np.linalg.norm(direction) > CLOSED_NM:
            return np.asarray(direction)
    return np.asarray(line[0] - line[1])


def _without_repeats(chain: Float64s) -> Float64s:
    steps = np.linalg.norm(np.diff(chain, axis=0), axis=1)
    return np.asarray(chain[np.concatenate([[True], steps > 1e-6])])


def _each_once(lines: list[_Line]) -> list[_Line]:
    """Lines, surest first, without what runs along a surer one: two seeds of one find it both."""
    kept: list[_Line] = []
    for line in lines:
        own = np.ones(len(line.points), dtype=bool)
        for other in kept:
            own &= ~_runs_along(line.points, other.points)
        parts, count = ndimage.label(own)
        for number in range(1, count + 1):
            where = np.flatnonzero(parts == number)
            first, last = int(where[0]), int(where[-1])
            if last > first:
                kept.append(
                    _Line(
                        line.points[first : last + 1],
                        line.starts_at_face and first == 0,
                        line.ends_at_face and last == len(own) - 1,
                    )
                )
    return kept


def _runs_along(points: Float64s, other: Float64s) -> Bools:
    """Whether each of `points` (n, 3) lies beside another line of much the same direction."""
    distance, nearest = cKDTree(other).query(points, distance_upper_bound=SAME_LINE_NM)
    is_near = np.isfinite(distance)
    cosine = np.abs(
        (_tangents(points) * _tangents(other)[np.minimum(nearest, len(other) - 1)]).sum(axis=1)
    )
    return np.asarray(is_near & (cosine > np.cos(np.radians(SAME_LINE_DEG))))


def _tangents(points: Float64s) -> Float64s:
    """Unit tangents (n, 3)."""
    along = np.gradient(points, axis=0)
    return np.asarray(along / np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-12))


def _length(points: Float64s) -> float:
    return float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())
