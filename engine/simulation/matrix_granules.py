"""Dense granules in the matrix of mitochondria."""

import numpy as np
import torch
from torch import Tensor

from engine.data.arrays import Float64s
from engine.data.labels import CLASS_IDS
from engine.simulation.canvas import Canvas
from engine.simulation.cytoplasm import kept_apart
from engine.simulation.params import Scene

# Radii (assumption: 20 to 50 nm across, larger ones where a mitochondrion is ill), the gap to the
# next membrane's middle, and the least distance of two centres.
RADIUS_NM = (9.0, 26.0)
MEMBRANE_GAP_NM, APART_NM = 5.0, 44.0
# Excess density over that of the matrix.
DENSITY = (0.4, 0.9)


def paint_matrix_granules(canvas: Canvas, scene: Scene, rng: np.random.Generator) -> Float64s:
    """Dense balls, a little flattened, where cristae leave room.

    Draws nothing where the scene has none.

    Returns
    -------
    Float64s
        Centres (n, 3), nm.
    """
    if scene.matrix_granules_per_um3 <= 0.0:
        return np.empty((0, 3))
    room = torch.minimum(canvas.inner_distance_nm, canvas.outer_distance_nm)
    matrix = (canvas.regions == CLASS_IDS["mitochondrion"]) & ~canvas.crista
    volume_um3 = int(matrix.sum()) * (canvas.voxel_size_nm * 1e-3) ** 3
    wanted = int(rng.poisson(scene.matrix_granules_per_um3 * volume_um3))
    # Distances to warped membranes are rough, so that a ball may come too near to one.
    clear = matrix & (room > MEMBRANE_GAP_NM)
    free = matrix & (room > RADIUS_NM[0] + MEMBRANE_GAP_NM)
    voxels = torch.nonzero(free.reshape(-1))[:, 0].cpu().numpy()
    if wanted == 0 or len(voxels) == 0:
        return np.empty((0, 3))
    index = np.stack(np.unravel_index(rng.choice(voxels, 2 * wanted), canvas.shape), axis=1)
    places = (index - np.array([0, 0, canvas.margin_vox])) * canvas.voxel_size_nm
    centres = kept_apart(places, APART_NM)[:wanted]
    for centre in centres:
        at = np.rint(centre / canvas.voxel_size_nm).astype(int)
        at[2] += canvas.margin_vox
        most = float(room[tuple(at)]) - MEMBRANE_GAP_NM
        radius = min(float(rng.uniform(*RADIUS_NM)), most)
        _paint_granule(canvas, clear, centre, radius, rng)
    return centres


def _paint_granule(
    canvas: Canvas, clear: Tensor, centre: Float64s, radius_nm: float, rng: np.random.Generator
) -> None:
    box = canvas.box(tuple(centre - 1.5 * radius_nm), tuple(centre + 1.5 * radius_nm))
    assert box is not None
    z, y, x = canvas.grid_nm(box)
    squared = (z - float(centre[0])) ** 2 + (y - float(centre[1])) ** 2
    squared = squared + (x - float(centre[2])) ** 2
    axis = rng.normal(size=3)
    axis /= np.linalg.norm(axis)
    along = (z - float(centre[0])) * float(axis[0]) + (y - float(centre[1])) * float(axis[1])
    along = along + (x - float(centre[2])) * float(axis[2])
    away = torch.sqrt(squared + (float(rng.uniform(1.0, 1.3)) ** 2 - 1.0) * along**2)
    edge = 0.35 * canvas.voxel_size_nm
    inside = torch.sigmoid((radius_nm - away) / edge)
    canvas.density[box] += float(rng.uniform(*DENSITY)) * inside * clear[box]
    canvas.matrix_granule[box] |= (away <= radius_nm) & clear[box]
