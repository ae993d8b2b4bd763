"""Coordinates of particle files, in voxels or from a centre, to and from positions in angstrom."""

import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from engine.data.arrays import Float64s
from engine.data.particles import ParticleSet
from engine.errors import BadInputError, MissingFileError

logger = logging.getLogger(__name__)

Shape = tuple[int, int, int]
# One shape (z, y, x) for each tomogram by name, or the same for all.
TomogramShapes = Mapping[str, Shape] | Shape

MAX_FILE_BYTES = 2_000_000_000
SAME_SAMPLING = 1e-3
# A figure of 0 where the file holds no orientation, so that the identity stands for "unknown".
ORIENTATION_KNOWN = "orientation_known"


def require_particle_file(path: Path) -> None:
    """Refuse what is not a readable, non-empty file of sensible size.

    Raises
    ------
    MissingFileError
        No such file.
    BadInputError
        Empty or larger than 2 GB.
    """
    if not path.is_file():
        raise MissingFileError(f"{path}: expected a file, found none; check the path", path=path)
    size = path.stat().st_size
    if not 0 < size <= MAX_FILE_BYTES:
        found = "an empty file" if size == 0 else "one of more than 2 GB"
        raise BadInputError(f"{path.name}: expected a file of particles, found {found}", path=path)


def require_voxel_size(voxel_size_angst: float) -> None:
    """Refuse a voxel size that is not positive (`BadInputError`)."""
    if not (np.isfinite(voxel_size_angst) and voxel_size_angst > 0):
        raise BadInputError(f"expected a positive voxel size in Å, found {voxel_size_angst:g}")


def voxel_sizes(
    path: Path,
    n: int,
    *,
    recorded_angst: Float64s | None,
    given_angst: float | None,
    default_angst: float | None,
) -> Float64s:
    """Sampling that the coordinates of n particles count in.

    What the caller gives stands, as with tomograms; then what the file records; then the default.
    A file that records another value than the one given is logged as a warning.

    Raises
    ------
    BadInputError
        None of the three is there, or a value is not positive.
    """
    for value in (given_angst, default_angst):
        if value is not None:
            require_voxel_size(value)
    if recorded_angst is not None and len(recorded_angst):
        wrong = ~(np.isfinite(recorded_angst) & (recorded_angst > 0))
        if wrong.any() and given_angst is None:
            raise BadInputError(
                f"{path.name}: expected a positive voxel size in the file, found "
                f"{recorded_angst[wrong][0]:g}; give the voxel size",
                path=path,
            )
        if given_angst is not None:
            differs = np.abs(recorded_angst / given_angst - 1.0) > SAME_SAMPLING
            if differs.any():
                logger.warning(
                    "%s records %g Å a voxel; %g Å is used, as given",
                    path.name,
                    recorded_angst[differs][0],
                    given_angst,
                )
    if given_angst is not None:
        return np.full(n, float(given_angst))
    if recorded_angst is not None:
        return np.broadcast_to(recorded_angst, n).astype(np.float64)
    if default_angst is not None:
        return np.full(n, float(default_angst))
    raise BadInputError(
        f"{path.name}: expected the voxel size of the coordinates, found none in the file; "
        "give it in Å (--voxel-size-angst) or name the tomogram",
        path=path,
    )


def positions_from_voxels(
    xyz_vox: Float64s, voxel_size_angst: Float64s, first_voxel: float = 0.0
) -> Float64s:
    """Positions (n, 3) in (z, y, x), Å, of coordinates (x, y, z).

    Parameters
    ----------
    first_voxel
        Coordinate of the centre of voxel (0, 0, 0): 0, or 1 for programs that count from 1.
    """
    scaled = (xyz_vox - first_voxel) * voxel_size_angst[:, np.newaxis]
    return np.ascontiguousarray(scaled[:, ::-1])


def voxels_from_positions(
    positions_angst: Float64s, voxel_size_angst: float, first_voxel: float = 0.0
) -> Float64s:
    """Coordinates (n, 3) in (x, y, z), voxels; the inverse of `positions_from_voxels`."""
    return positions_angst[:, ::-1] / voxel_size_angst + first_voxel


def shape_of(tomogram_id: str, shapes: TomogramShapes | None, path: Path) -> Shape:
    """Shape (z, y, x) of a tomogram by its name.

    Raises
    ------
    BadInputError
        Not given.
    """
    if isinstance(shapes, tuple):
        return shapes
    shape = None if shapes is None else shapes.get(tomogram_id)
    if shape is None:
        raise BadInputError(
            f"{path.name}: expected the shape of tomogram {tomogram_id!r}, from whose centre its "
            "coordinates count, found none; name the tomogram",
            path=path,
        )
    return shape


def tomogram_numbers(particles: ParticleSet) -> dict[str, int]:
    """Numbers for programs that count tomograms: the name where all names are, else from 1."""
    names = list(dict.fromkeys(particles.tomogram_ids))
    if all(name.isascii() and name.isdigit() and str(int(name)) == name for name in names):
        return {name: int(name) for name in names}
    return {name: number for number, name in enumerate(names, start=1)}


def are_oriented(particles: ParticleSet) -> bool:
    """Whether the orientations of a set mean something."""
    known = particles.figures.get(ORIENTATION_KNOWN)
    return known is None or len(known) == 0 or bool(known.any())


def identities(n: int) -> Rotation:
    """Rotations that stand for orientations that nobody knows."""
    return Rotation.from_quat(np.tile([0.0, 0.0, 0.0, 1.0], (n, 1)))


def require_finite(values: Float64s, what: str, path: Path) -> Float64s:
    """Refuse coordinates or angles (n, k) that are not numbers, naming the particle.

    Raises
    ------
    BadInputError
        A value is NaN or infinite.
    """
    wrong = ~np.isfinite(values).all(axis=1)
    if wrong.any():
        raise BadInputError(
            f"{path.name}: expected numbers as {what}, found none for particle "
            f"{int(np.flatnonzero(wrong)[0]) + 1} of {len(values)}",
            path=path,
        )
    return values


def class_numbers(names: tuple[str, ...]) -> dict[str, int]:
    """Numbers for programs that count classes: the name where all names are, else from 1."""
    distinct = list(dict.fromkeys(names))
    if all(name.isascii() and name.isdigit() and str(int(name)) == name for name in distinct):
        return {name: int(name) for name in distinct}
    return {name: number for number, name in enumerate(distinct, start=1)}


def names_of(numbers: Float64s) -> tuple[str, ...]:
    """Names of tomograms or classes that a program counts."""
    return tuple(
        str(int(number)) if number.is_integer() else repr(number) for number in numbers.tolist()
    )
