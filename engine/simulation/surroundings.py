"""What lies beside macromolecules in a cell and is none: filaments, membranes, gold beads."""

import numpy as np

from engine.data.arrays import Float32s, Float64s
from engine.simulation.filaments import WALL_RADIUS_NM, WALL_SIGMA_NM

N_PROTOFILAMENTS = 13
MONOMER_NM = 4.05
ACTIN_SIGMA_NM = 2.2
LEAFLET_OFFSET_NM, LEAFLET_SIGMA_NM = 1.9, 0.9


def surroundings(
    shape: tuple[int, int, int],
    voxel_size_nm: float,
    *,
    n_microtubules: int,
    n_actin: int,
    n_membranes: int,
    n_gold: int,
    rng: np.random.Generator,
) -> Float32s:
    """Straight filaments, curved bilayers and beads in random places.

    Returns
    -------
    Float32s
        (z, y, x), excess over ice; 1 is packed protein.
    """
    density = np.zeros(shape)
    for _ in range(n_microtubules):
        away, along, turn = _line(shape, voxel_size_nm, rng)
        lattice = 1.0 + 0.4 * np.cos(N_PROTOFILAMENTS * turn)
        lattice *= 1.0 + 0.3 * np.cos(2.0 * np.pi * along / MONOMER_NM)
        density += lattice * _gauss(away - WALL_RADIUS_NM, WALL_SIGMA_NM)
    for _ in range(n_actin):
        away, _, _ = _line(shape, voxel_size_nm, rng)
        density += _gauss(away, ACTIN_SIGMA_NM)
    for _ in range(n_membranes):
        away = _signed_distance(shape, voxel_size_nm, float(rng.uniform(25.0, 150.0)), rng)
        density += rng.uniform(0.6, 1.1) * (
            _gauss(away - LEAFLET_OFFSET_NM, LEAFLET_SIGMA_NM)
            + _gauss(away + LEAFLET_OFFSET_NM, LEAFLET_SIGMA_NM)
        )
    for _ in range(n_gold):
        place = rng.uniform(0.0, 1.0, 3) * np.array(shape) * voxel_size_nm
        away = np.linalg.norm(_grid(shape, voxel_size_nm) - place, axis=-1)
        edge = (rng.uniform(3.0, 7.0) - away) / (0.5 * voxel_size_nm)
        density += rng.uniform(4.0, 10.0) / (1.0 + np.exp(-edge.clip(-50.0, 50.0)))
    return density.astype(np.float32)


def _gauss(distance: Float64s, sigma: float) -> Float64s:
    return np.asarray(np.exp(-0.5 * (distance / sigma) ** 2))


def _grid(shape: tuple[int, int, int], voxel_size_nm: float) -> Float64s:
    axes = [np.arange(n) * voxel_size_nm for n in shape]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


def _line(
    shape: tuple[int, int, int], voxel_size_nm: float, rng: np.random.Generator
) -> tuple[Float64s, Float64s, Float64s]:
    """Distance to a random line, place along it and angle around it; it lies nearly in xy."""
    point = rng.uniform(0.2, 0.8, 3) * np.array(shape) * voxel_size_nm
    heading = rng.uniform(0.0, 2.0 * np.pi)
    along = np.array([rng.normal(0.0, 0.2), np.sin(heading), np.cos(heading)])
    along /= np.linalg.norm(along)
    across = np.cross(along, [1.0, 0.0, 0.0])
    across /= np.linalg.norm(across)
    offset = _grid(shape, voxel_size_nm) - point
    place = offset @ along
    first, second = offset @ across, offset @ np.cross(along, across)
    return np.hypot(first, second), place, np.arctan2(second, first)


def _signed_distance(
    shape: tuple[int, int, int], voxel_size_nm: float, radius_nm: float, rng: np.random.Generator
) -> Float64s:
    """Distance to a sphere that passes through a random point."""
    point = rng.uniform(0.1, 0.9, 3) * np.array(shape) * voxel_size_nm
    normal = rng.normal(size=3)
    centre = point + radius_nm * normal / np.linalg.norm(normal)
    return np.asarray(np.linalg.norm(_grid(shape, voxel_size_nm) - centre, axis=-1) - radius_nm)
