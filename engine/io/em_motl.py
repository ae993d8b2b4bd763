"""Motive lists in EM format (.em) of TOM, AV3 and PyTom: 20 numbers for each particle.

The 512-byte header holds the machine (byte 0), the type of number (byte 3) and the size x, y, z
(int32 at bytes 4, 8, 12). Rows, counted from 1: 1 score, 5 tomogram, 8-10 coordinate (x, y, z),
11-13 shift (x, y, z), 17 phi, 18 psi, 19 theta, 20 class.

* Coordinates count from 1 (Matlab); rows as `av3_createmotl` lists them, the 1 as in PyTom's
  `ParticleList.fromMOTL`, whose Z1, Z2, X are phi, psi, theta. The particle lies at coordinate +
  shift: AV3 moves it by minus the shift before it turns it back.
* The template is turned onto the particle by the extrinsic zxz rotation by (phi, theta, psi), the
  matrix of `tom_pointrotate`; AV3 turns particles back by (-psi, -phi, -theta) to average them.
* Numbers are float32: whole coordinates are exact, shifts good to 3e-8 of a voxel, angles to 2e-5
  of a degree.
"""

from pathlib import Path

import numpy as np

from engine.data.arrays import Float64s
from engine.data.orientations import no_rotations, relion_from_rotations, rotations_from_zxz
from engine.data.particles import ParticleSet
from engine.errors import BadInputError
from engine.io.digests import atomic_file
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
HEADER_BYTES, N_ROWS = 512, 20
# Machine codes of the EM format: the byte order they stand for.
BYTE_ORDERS = {6: "<", 3: ">", 5: ">"}
NUMBER_TYPES = {5: "f4", 9: "f8"}
LITTLE_ENDIAN, FLOAT32 = 6, 5
# Index from 0 of each row.
SCORE, NUMBER, TOMOGRAM, CLASS = 0, 3, 4, 19
COORDINATES, SHIFTS, PHI_THETA_PSI = [7, 8, 9], [10, 11, 12], [16, 18, 17]


def read_motl(
    path: Path,
    *,
    voxel_size_angst: float | None = None,
    default_voxel_size_angst: float | None = None,
    allow_missing_angles: bool = False,
) -> ParticleSet:
    """Read the particles of a motive list.

    Tomogram and class are named by their numbers; row 1 becomes the `score`, where it is not 0
    throughout.

    Parameters
    ----------
    voxel_size_angst, default_voxel_size_angst
        Of the tomogram that the coordinates count in; the format does not record it.
    allow_missing_angles
        Take a list whose angles are all 0. Its particles get the figure `orientation_known` 0.

    Raises
    ------
    MissingFileError
        No such file.
    BadInputError
        Not an EM file of 20 rows; no voxel size; no angles.
    """
    rows = _rows(path)
    n = len(rows)
    has_angles = n == 0 or bool(rows[:, PHI_THETA_PSI].any())
    if not (has_angles or allow_missing_angles):
        raise BadInputError(
            f"{path.name}: expected phi, psi and theta in rows 17 to 19, found 0 throughout; "
            "allow missing angles to use the positions alone",
            path=path,
        )
    sizes = voxel_sizes(
        path,
        n,
        recorded_angst=None,
        given_angst=voxel_size_angst,
        default_angst=default_voxel_size_angst,
    )
    figures: dict[str, Float64s] = {}
    if rows[:, SCORE].any():
        figures["score"] = rows[:, SCORE]
    if not has_angles:
        figures[ORIENTATION_KNOWN] = np.zeros(n)
    rotations = rotations_from_zxz(rows[:, PHI_THETA_PSI]) if n else no_rotations()
    xyz_vox = rows[:, COORDINATES] + rows[:, SHIFTS]
    return ParticleSet(
        positions_angst=positions_from_voxels(xyz_vox, sizes, FIRST_VOXEL),
        rotations=rotations if has_angles else identities(n),
        tomogram_ids=names_of(rows[:, TOMOGRAM]),
        class_names=names_of(rows[:, CLASS]),
        figures=figures,
    )


def write_motl(path: Path, particles: ParticleSet, *, voxel_size_angst: float) -> dict[str, int]:
    """Write particles as a motive list; the same particles give the same bytes.

    The coordinate is the nearest voxel and the shift the rest, which float32 holds best. Of the
    figures only the `score` has a row, NaN where a particle has none.

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
    n = len(particles)
    rows = np.zeros((n, N_ROWS))
    rows[:, SCORE] = particles.figures.get("score", np.zeros(n))
    rows[:, NUMBER] = np.arange(1, n + 1)
    rows[:, TOMOGRAM] = [tomograms[name] for name in particles.tomogram_ids]
    rows[:, CLASS] = [classes[name] for name in particles.class_names]
    xyz_vox = voxels_from_positions(particles.positions_angst, voxel_size_angst, FIRST_VOXEL)
    rows[:, COORDINATES] = np.rint(xyz_vox)
    rows[:, SHIFTS] = xyz_vox - np.rint(xyz_vox)
    if are_oriented(particles):
        rot, tilt, psi = relion_from_rotations(particles.rotations).T
        # RELION's angles with the tilt about x instead of y.
        rows[:, PHI_THETA_PSI] = np.stack([90.0 - rot, tilt, -90.0 - psi], axis=1)
    header = np.zeros(HEADER_BYTES, dtype=np.uint8)
    header[[0, 3]] = LITTLE_ENDIAN, FLOAT32
    header[4:16] = np.array([N_ROWS, n, 1], dtype="<i4").view(np.uint8)
    with atomic_file(path) as staging:
        staging.write_bytes(header.tobytes() + rows.astype("<f4").tobytes())
    return tomograms


def _rows(path: Path) -> Float64s:
    """(n, 20): a particle in each row."""
    require_particle_file(path)
    data = path.read_bytes()
    header = data[:HEADER_BYTES]
    if len(header) < HEADER_BYTES or header[0] not in BYTE_ORDERS or header[3] not in NUMBER_TYPES:
        raise BadInputError(
            f"{path.name}: expected an EM file of float32 or float64, found another header; give "
            "the motive list",
            path=path,
        )
    order = BYTE_ORDERS[header[0]]
    n_x, n_y, n_z = (int(n) for n in np.frombuffer(header, f"{order}i4", 3, offset=4))
    # A list of one particle may be stored as 20 x 1 x 1, one of none as 20 x 0 x 1.
    if n_x != N_ROWS or n_y < 0 or n_z != 1:
        raise BadInputError(
            f"{path.name}: expected a motive list of 20 x n x 1 numbers, found {n_x} x {n_y} x "
            f"{n_z}; give the list, not a volume",
            path=path,
        )
    number_type = np.dtype(f"{order}{NUMBER_TYPES[header[3]]}")
    expected_bytes = HEADER_BYTES + N_ROWS * n_y * number_type.itemsize
    if len(data) != expected_bytes:
        raise BadInputError(
            f"{path.name}: expected {expected_bytes} bytes for {n_y} particles, found "
            f"{len(data)}; copy the file again",
            path=path,
        )
    values = np.frombuffer(data, number_type, offset=HEADER_BYTES).astype(np.float64)
    rows = values.reshape(n_y, N_ROWS)
    used = [*COORDINATES, *SHIFTS, *PHI_THETA_PSI, TOMOGRAM, CLASS]
    require_finite(rows[:, used], "coordinate, shift, angles, tomogram and class", path)
    return rows
