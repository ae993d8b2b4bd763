"""Densities of what pickers take for a complex and is none: membranes, filaments, gold."""

import numpy as np

from engine.data.arrays import Float32s, Float64s
from engine.simulation.macromolecules import EMPTY

# Distance of the heads of a bilayer, spread of each; radius of curvature, in angstrom.
LEAFLETS_ANGST, LEAFLET_SIGMA_ANGST = 38.0, 8.0
CURVATURE_ANGST = (250.0, 5000.0)
# Actin to microtubules: radius of the wall about the axis (0 for a rod), spread of the wall.
TUBE_RADII_ANGST, WALL_SIGMA_ANGST = (0.0, 110.0), (12.0, 25.0)
GOLD_RADII_ANGST = (25.0, 75.0)
# Off the centre by up to this: a pick lies somewhere on its membrane or filament.
OFFSET_ANGST = 60.0


def random_false_pick(
    box_vox: int, voxel_size_angst: float, *, rng: np.random.Generator
) -> Float32s:
    """A membrane, a filament or a gold bead, near the middle of a box that it may cross.

    Densities are relative: makers of subtomograms scale each structure.

    Returns
    -------
    Float32s
        (box, box, box), about 1 where it is.
    """
    axis = (np.arange(box_vox) - box_vox // 2) * voxel_size_angst
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    shape = (_membrane, _filament, _gold)[rng.integers(3)]
    density = shape(z, y, x, rng)
    density[density < EMPTY] = 0.0
    return density.astype(np.float32)


def _membrane(z: Float64s, y: Float64s, x: Float64s, rng: np.random.Generator) -> Float64s:
    radius = np.exp(rng.uniform(*np.log(CURVATURE_ANGST)))
    centre = radius + rng.uniform(-OFFSET_ANGST, OFFSET_ANGST)
    depth = np.sqrt((z - centre) ** 2 + y**2 + x**2) - radius
    return _wall(depth - LEAFLETS_ANGST / 2, LEAFLET_SIGMA_ANGST) + _wall(
        depth + LEAFLETS_ANGST / 2, LEAFLET_SIGMA_ANGST
    )


def _filament(z: Float64s, y: Float64s, x: Float64s, rng: np.random.Generator) -> Float64s:
    radius, sigma = rng.uniform(*TUBE_RADII_ANGST), rng.uniform(*WALL_SIGMA_ANGST)
    away = np.hypot(y - rng.uniform(0.0, OFFSET_ANGST), x)
    # Subunits along the axis, so faint that they matter in the large ones alone.
    period = rng.uniform(40.0, 80.0)
    return _wall(away - radius, sigma) * (1.0 + 0.3 * np.sin(2.0 * np.pi * z / period))


def _gold(z: Float64s, y: Float64s, x: Float64s, rng: np.random.Generator) -> Float64s:
    radius = rng.uniform(*GOLD_RADII_ANGST)
    away = np.sqrt((z - rng.uniform(0.0, OFFSET_ANGST)) ** 2 + y**2 + x**2)
    return 1.0 / (1.0 + np.exp((away - radius) / 5.0))


def _wall(distance: Float64s, sigma: float) -> Float64s:
    return np.asarray(np.exp(-(distance**2) / (2.0 * sigma**2)))
