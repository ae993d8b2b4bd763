"""Dynamo tables (.tbl): a row of numbers for each particle, no header.

Columns, counted from 1: 1 tag, 4-6 shift (x, y, z), 7-9 tdrot, tilt, narot, 10 correlation,
20 tomogram, 22 class, 24-26 coordinate (x, y, z), 36 Å a pixel (Dynamo wiki, "Table convention").

* The particle lies at coordinate + shift (`DynamoParticle::getPosition`, RELION source).
* Coordinates count from 1 (Matlab). RELION's reader subtracts 1 and adds half a voxel, because it
  takes them for corners of voxels; here they are centres of voxels, as Dynamo crops them.
* The template is turned onto the particle clockwise about z by tdrot, the new x by tilt, the new z
  by narot (Dynamo wiki, "Euler angles convention"): the inverse of the extrinsic zxz rotation by
  (tdrot, tilt, narot), which is `dynamo_euler2matrix`: "a coordinate r inside v will land in
  inv(m)*r" (Dynamo wiki, "Table convention"). `DynamoParticle::getAlignmentMatrixAlibi4x4` is the
  same matrix, and the package eulerangles tests the same pair: Dynamo's (-47.273, 1.1777, -132.3)
  are RELION's (137.7, 1.1777, 42.727).
"""

import math
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from engine.data.arrays import Float64s
from engine.data.orientations import no_rotations, relion_from_rotations, rotations_from_zxz
from engine.data.particles import ParticleSet
from engine.errors import BadInputError
from engine.io.digests import write_text_atomically
from engine.io.particle_coordinates import (
    ORIENTATION_KNOWN,
    are_oriented,
    class_numbers,
    identities,
    names_of,
    positions_from_voxels,
    require_finite,
    require_particle_file,
    require_voxel_size,
    tomogram_numbers,
    voxel_sizes,
    voxels_from_positions,
)

FIRST_VOXEL = 1.0
# Index from 0 of each column.
TAG, ALIGNED, AVERAGED, SCORE, TOMOGRAM, CLASS, ANGST_PER_PIXEL = 0, 1, 2, 9, 19, 21, 35
SHIFTS, ANGLES, COORDINATES = slice(3, 6), slice(6, 9), slice(23, 26)
MIN_COLUMNS, MAX_COLUMNS, WRITTEN_COLUMNS = 26, 42, 36


def read_dynamo_table(
    path: Path,
    *,
    voxel_size_angst: float | None = None,
    default_voxel_size_angst: float | None = None,
    allow_missing_angles: bool = False,
) -> ParticleSet:
    """Read the particles of a Dynamo table.

    Tomogram and class are named by their numbers; the correlation becomes the `score`, where it is
    not 0 throughout. An empty file holds no particles.

    Parameters
    ----------
    voxel_size_angst
        Of the tomogram that the coordinates count in; overrides column 36.
    default_voxel_size_angst
        For tables without column 36.
    allow_missing_angles
        Take a table whose angles are all 0, as those of picks by hand are. Its particles get the
        figure `orientation_known` 0.

    Raises
    ------
    MissingFileError
        No such file.
    BadInputError
        Not a table of numbers with 26 to 42 columns; no voxel size; no angles.
    """
    rows = _rows(path)
    n = len(rows)
    has_angles = n == 0 or bool(rows[:, ANGLES].any())
    if not (has_angles or allow_missing_angles):
        raise BadInputError(
            f"{path.name}: expected tdrot, tilt and narot in columns 7 to 9, found 0 throughout; "
            "allow missing angles to use the positions alone",
            path=path,
        )
    sizes = voxel_sizes(
        path,
        n,
        recorded_angst=_recorded_angst(rows),
        given_angst=voxel_size_angst,
        default_angst=default_voxel_size_angst,
    )
    figures: dict[str, Float64s] = {}
    if rows[:, SCORE].any():
        figures["score"] = rows[:, SCORE]
    if not has_angles:
        figures[ORIENTATION_KNOWN] = np.zeros(n)
    xyz_vox = rows[:, COORDINATES] + rows[:, SHIFTS]
    return ParticleSet(
        positions_angst=positions_from_voxels(xyz_vox, sizes, FIRST_VOXEL),
        rotations=_rotations(rows[:, ANGLES]) if has_angles else identities(n),
        tomogram_ids=names_of(rows[:, TOMOGRAM]),
        class_names=names_of(rows[:, CLASS]),
        figures=figures,
    )


def write_dynamo_table(
    path: Path, particles: ParticleSet, *, voxel_size_angst: float
) -> dict[str, int]:
    """Write particles as Dynamo reads them; the same particles give the same bytes.

    Shifts are 0; of the figures only the `score` has a column, NaN where a particle has none.

    Returns
    -------
    dict of str to int
        Number that stands for each tomogram: its name where all names are numbers, else from 1.

    Raises
    ------
    BadInputError
        A voxel size that is not positive.
    OutputNotWritableError
        The file cannot be written.
    """
    require_voxel_size(voxel_size_angst)
    tomograms = tomogram_numbers(particles)
    classes = class_numbers(particles.class_names)
    rows = np.zeros((len(particles), WRITTEN_COLUMNS))
    rows[:, TAG] = np.arange(1, len(particles) + 1)
    rows[:, [ALIGNED, AVERAGED]] = 1.0
    if are_oriented(particles):
        rows[:, ANGLES] = _angles_deg(particles.rotations)
    rows[:, SCORE] = particles.figures.get("score", np.zeros(len(particles)))
    rows[:, TOMOGRAM] = [tomograms[name] for name in particles.tomogram_ids]
    rows[:, CLASS] = [classes[name] for name in particles.class_names]
    rows[:, COORDINATES] = voxels_from_positions(
        particles.positions_angst, voxel_size_angst, FIRST_VOXEL
    )
    rows[:, ANGST_PER_PIXEL] = voxel_size_angst
    lines = (" ".join(_text(value) for value in row) for row in rows.tolist())
    write_text_atomically(path, "".join(f"{line}\n" for line in lines))
    return tomograms


def recorded_table_sampling(path: Path) -> Float64s | None:
    """Å a pixel (n,) in column 36; None where the table has none or 0 throughout."""
    return _recorded_angst(_rows(path))


def _recorded_angst(rows: Float64s) -> Float64s | None:
    if rows.shape[1] <= ANGST_PER_PIXEL or not rows[:, ANGST_PER_PIXEL].any():
        return None
    return rows[:, ANGST_PER_PIXEL]


def _rotations(tdrot_tilt_narot_deg: Float64s) -> Rotation:
    if not len(tdrot_tilt_narot_deg):
        return no_rotations()
    return rotations_from_zxz(tdrot_tilt_narot_deg).inv()


def _angles_deg(rotations: Rotation) -> Float64s:
    """tdrot, tilt, narot (n, 3): RELION's angles with the tilt about x instead of y."""
    rot, tilt, psi = relion_from_rotations(rotations).T
    angles = np.stack([psi - 90.0, tilt, rot + 90.0], axis=1)
    angles[:, ::2] = (angles[:, ::2] + 180.0) % 360.0 - 180.0
    return angles


def _rows(path: Path) -> Float64s:
    if path.is_file() and path.stat().st_size == 0:
        return np.empty((0, WRITTEN_COLUMNS))
    require_particle_file(path)
    try:
        lines = path.read_text(encoding="ascii").splitlines()
        rows = [[float(word) for word in line.split()] for line in lines if line.strip()]
    except ValueError as error:
        raise BadInputError(
            f"{path.name}: expected a Dynamo table of numbers, found other text; give the .tbl",
            path=path,
        ) from error
    widths = sorted({len(row) for row in rows})
    if len(widths) > 1 or not all(MIN_COLUMNS <= width <= MAX_COLUMNS for width in widths):
        found = " or ".join(map(str, widths[:4]))
        raise BadInputError(
            f"{path.name}: expected a Dynamo table with {MIN_COLUMNS} to {MAX_COLUMNS} columns in "
            f"every row, found {found}; give the .tbl as Dynamo wrote it",
            path=path,
        )
    table = np.array(rows, dtype=np.float64).reshape(len(rows), widths[0] if widths else 36)
    used = np.concatenate(
        [
            table[:, SHIFTS],
            table[:, ANGLES],
            table[:, COORDINATES],
            table[:, [TOMOGRAM, CLASS]],
        ],
        axis=1,
    )
    require_finite(used, "shift, angles, coordinate, tomogram and class", path)
    return table


def _text(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return str(int(value)) if value.is_integer() else f"{value:.9f}"
