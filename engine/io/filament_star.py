"""Filaments as helical segments in a STAR file, as RELION and its relatives read them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from engine.data.arrays import Float64s
from engine.data.filaments import Filament
from engine.data.orientations import no_rotations, rotations_from_relion
from engine.data.particles import ParticleSet
from engine.io.particle_coordinates import TomogramShapes
from engine.io.star import write_star

# One segment a tubulin dimer of 8.2 nm.
SPACING_NM = 8.2


def write_filament_star(
    path: Path,
    filaments: Sequence[Filament],
    *,
    tomogram_id: str,
    voxel_size_angst: float,
    tomogram_shapes: TomogramShapes | None = None,
    spacing_nm: float = SPACING_NM,
) -> None:
    """Write segments with the number of their tube and the way along it; errors as `write_star`."""
    write_star(
        path,
        filament_segments(filaments, tomogram_id=tomogram_id, spacing_nm=spacing_nm),
        flavour="relion4",
        voxel_size_angst=voxel_size_angst,
        tomogram_shapes=tomogram_shapes,
    )


def filament_segments(
    filaments: Sequence[Filament], *, tomogram_id: str, spacing_nm: float = SPACING_NM
) -> ParticleSet:
    """Segments at equal arc length, the first at half a spacing; z of each along its filament.

    Which of the two ends is the plus end, and the angle about the axis, are not known: the
    direction is that of tracing and the angle 0.
    """
    positions, axes, numbers, ways, names = [], [], [], [], []
    for line in filaments:
        places, tangents, way = _sampled(line, spacing_nm)
        ways.append(way)
        positions.append(places)
        axes.append(tangents)
        numbers.append(np.full(len(places), float(line.filament_id)))
        names += [line.filament_class] * len(places)
    everywhere = np.concatenate(positions) if positions else np.empty((0, 3))
    return ParticleSet(
        positions_angst=everywhere,
        rotations=_along(np.concatenate(axes)) if len(everywhere) else no_rotations(),
        tomogram_ids=(tomogram_id,) * len(everywhere),
        class_names=tuple(names),
        figures={
            "tube_id": np.concatenate(numbers) if numbers else np.empty(0),
            "track_length_angst": np.concatenate(ways) if ways else np.empty(0),
        },
    )


def _sampled(line: Filament, spacing_nm: float) -> tuple[Float64s, Float64s, Float64s]:
    """Places, tangents and arc lengths from the start, angstrom."""
    points = line.points_angst
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    wanted = np.arange(0.5 * spacing_nm * 10.0, along[-1], spacing_nm * 10.0)
    if not len(wanted):
        wanted = np.array([0.5 * along[-1]])
    reach = 0.5 * min(spacing_nm * 10.0, along[-1])

    def at(places: Float64s) -> Float64s:
        return np.stack([np.interp(places, along, points[:, axis]) for axis in range(3)], axis=1)

    tangents = at(np.minimum(wanted + reach, along[-1])) - at(np.maximum(wanted - reach, 0.0))
    return at(wanted), tangents / np.linalg.norm(tangents, axis=1, keepdims=True), wanted


def _along(axes_zyx: Float64s) -> Rotation:
    """Rotations that carry the reference's z onto each axis, with RELION's rot of 0."""
    z, y, x = axes_zyx.T
    tilt, psi = np.degrees(np.arccos(np.clip(z, -1.0, 1.0))), np.degrees(np.arctan2(y, -x))
    return rotations_from_relion(np.stack([np.zeros_like(tilt), tilt, psi], axis=1))
