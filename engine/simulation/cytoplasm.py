"""What lies in the cytoplasm between the organelles: ribosomes, tubules of reticulum, grains."""

import numpy as np
import torch
from scipy.spatial import cKDTree

from engine.data.arrays import Float64s
from engine.data.labels import CLASS_IDS
from engine.simulation.canvas import FAR_NM, Canvas
from engine.simulation.cell import Body
from engine.simulation.filaments import STEP_NM, line_distance
from engine.simulation.params import Scene

# Of two ribosomes' centres: they touch at about 25 nm, and overlap a little in polysomes.
RIBOSOMES_APART_NM = 23.0
RIBOSOME_REACH_NM = 20.0
# RNA scatters more than protein; large subunit, small subunit (a longish body of two balls):
# offset along and across the line between them (nm), radius (nm), density.
RIBOSOME_BALLS = (
    (-4.5, 0.0, 10.5, 1.35),
    (8.0, -3.5, 6.5, 1.25),
    (8.5, 4.5, 6.0, 1.25),
)
MEMBRANE_GAP_NM, MICROTUBULE_GAP_NM = 16.0, 26.0
# Of grains in a row (glycogen particles are 20 to 40 nm across): radius, spacing, and how far they
# lie beside its line, in nm.
GRAIN_RADIUS_NM, GRAIN_SPACING_NM, GRAIN_OFFSET_NM = (9.0, 15.0), (24.0, 45.0), 3.0


def paint_tubules(canvas: Canvas, scene: Scene, body: Body, rng: np.random.Generator) -> None:
    """Winding membrane tubules of 24-44 nm diameter through free cytoplasm.

    Where something is in the way, a tubule ends, closed: its membrane keeps clear of it.
    """
    distance = torch.full_like(canvas.density, FAR_NM)
    radius = float(rng.uniform(12.0, 22.0))
    for _ in range(scene.n_tubules):
        line = _winding_line(rng, np.array(scene.shape) * canvas.voxel_size_nm)
        line = line[body.depth_nm(line) > radius + MEMBRANE_GAP_NM]
        if len(line) * STEP_NM > 60.0:
            line_distance(canvas, line, distance, radius + 14.0)
    depth = radius - distance
    depth = torch.minimum(depth, canvas.membrane_distance_nm - MEMBRANE_GAP_NM)
    depth = torch.minimum(depth, canvas.axis_distance_nm - MICROTUBULE_GAP_NM)
    free = (canvas.instances == 0) & (canvas.regions == CLASS_IDS["background"])
    near = free & (depth > -12.0)
    inside = free & (depth > 0)
    canvas.density[inside] = float(rng.uniform(0.04, 0.2))
    canvas.membrane_distance_nm[near] = torch.minimum(
        canvas.membrane_distance_nm[near], depth[near].abs()
    )


def paint_granule_rows(canvas: Canvas, scene: Scene, body: Body, rng: np.random.Generator) -> None:
    """Rows of dense grains, 150 to 1,200 nm long, clear of membranes and microtubules."""
    for _ in range(scene.n_granule_rows):
        line = _winding_line(rng, np.array(scene.shape) * canvas.voxel_size_nm)
        spacing, radius = rng.uniform(*GRAIN_SPACING_NM), rng.uniform(*GRAIN_RADIUS_NM)
        line = line[:: max(1, round(spacing / STEP_NM))]
        line = line[body.depth_nm(line) > radius + MEMBRANE_GAP_NM]
        for centre in line + rng.normal(0.0, GRAIN_OFFSET_NM, line.shape):
            _paint_grain(canvas, centre, radius * rng.uniform(0.8, 1.2), rng)


def _paint_grain(
    canvas: Canvas, centre: Float64s, radius_nm: float, rng: np.random.Generator
) -> None:
    """A dense ball; nothing where it would touch a membrane, a microtubule or a ribosome."""
    box = canvas.box(tuple(centre - 1.5 * radius_nm), tuple(centre + 1.5 * radius_nm))
    if box is None:
        return
    away = canvas.away_nm(box, centre)
    inside = away <= radius_nm
    taken = (canvas.regions[box] != CLASS_IDS["background"]) | (canvas.instances[box] > 0)
    taken |= (canvas.membrane_distance_nm[box] < 6.0) | (canvas.axis_distance_nm[box] < 16.0)
    taken |= canvas.ribosome_distance_nm[box] < 14.0
    level = float(rng.uniform(0.8, 1.3))
    if not bool((taken & inside).any()):
        edge = 0.35 * canvas.voxel_size_nm
        grain = level * torch.sigmoid((radius_nm - away) / edge)
        canvas.density[box] = torch.maximum(canvas.density[box], grain)


def _winding_line(rng: np.random.Generator, size_nm: Float64s) -> Float64s:
    count = int(rng.uniform(150.0, 1200.0) / STEP_NM)
    turns = np.cumsum(rng.normal(0.0, 0.035, (2, count)), axis=1)
    heading, climb = rng.uniform(0.0, 2.0 * np.pi) + turns[0], 0.5 * np.sin(turns[1])
    steps = np.stack(
        [np.sin(climb), np.cos(climb) * np.sin(heading), np.cos(climb) * np.cos(heading)], axis=1
    )
    line = np.cumsum(STEP_NM * steps, axis=0)
    return np.asarray(line - line[count // 2] + rng.uniform(0.1, 0.9, 3) * size_nm)


def paint_ribosomes(canvas: Canvas, scene: Scene, rng: np.random.Generator) -> Float64s:
    """Two-lobed bodies of about 25 nm in free cytoplasm.

    Returns
    -------
    Float64s
        Centres (n, 3), nm.
    """
    free = (canvas.regions == CLASS_IDS["background"]) & (canvas.instances == 0)
    free &= (canvas.membrane_distance_nm > MEMBRANE_GAP_NM) & (
        canvas.axis_distance_nm > MICROTUBULE_GAP_NM
    )
    voxels = torch.nonzero(free.reshape(-1))[:, 0].cpu().numpy()
    volume_um3 = len(voxels) * (canvas.voxel_size_nm * 1e-3) ** 3
    wanted = int(rng.poisson(scene.ribosomes_per_um3 * volume_um3))
    if wanted == 0:
        return np.empty((0, 3))
    index = np.stack(np.unravel_index(rng.choice(voxels, 2 * wanted), canvas.shape), axis=1)
    places = (index - np.array([0, 0, canvas.margin_vox])) * canvas.voxel_size_nm
    places = places + rng.uniform(-0.5, 0.5, places.shape) * canvas.voxel_size_nm
    centres = kept_apart(places, RIBOSOMES_APART_NM)[:wanted]
    for centre in centres:
        _paint_ribosome(canvas, centre, rng)
    return centres


def kept_apart(places: Float64s, apart_nm: float) -> Float64s:
    """The places without those too near to an earlier one that is kept."""
    dropped: set[int] = set()
    neighbours = cKDTree(places).query_ball_point(places, apart_nm)
    for index, near in enumerate(neighbours):
        if index not in dropped:
            dropped.update(other for other in near if other > index)
    return places[[index for index in range(len(places)) if index not in dropped]]


def _paint_ribosome(canvas: Canvas, centre: Float64s, rng: np.random.Generator) -> None:
    box = canvas.box(tuple(centre - RIBOSOME_REACH_NM), tuple(centre + RIBOSOME_REACH_NM))
    if box is None:
        return
    frame, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    density = canvas.density[box]
    edge = 0.35 * canvas.voxel_size_nm
    for along, across, radius, level in RIBOSOME_BALLS:
        middle = centre + along * frame[0] + across * frame[1]
        away = canvas.away_nm(box, middle)
        density = torch.maximum(density, level * torch.sigmoid((radius - away) / edge))
    canvas.density[box] = density
    away = canvas.away_nm(box, centre)
    canvas.ribosome_distance_nm[box] = torch.minimum(canvas.ribosome_distance_nm[box], away)
