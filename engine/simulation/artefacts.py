"""What is in a tomogram and is not the cell: gold beads, ice crystals, carbon film, actin."""

import numpy as np
import torch

from engine.data.labels import CLASS_IDS
from engine.physics.fourier import smooth_field
from engine.simulation.canvas import Canvas
from engine.simulation.cell import Body
from engine.simulation.params import Scene


def paint_actin(canvas: Canvas, disc: Body, rng: np.random.Generator) -> None:
    """A few bundles of thin straight filaments: what a microtubule tracer must not take."""
    for _ in range(int(rng.poisson(1.0))):
        extent = np.array(canvas.shape) * canvas.voxel_size_nm
        origin = rng.uniform(0.1, 0.9, 3) * extent
        heading = rng.uniform(0.0, 2.0 * np.pi)
        along = np.array([rng.normal(0.0, 0.1), np.sin(heading), np.cos(heading)])
        along /= np.linalg.norm(along)
        t = np.arange(0.0, rng.uniform(120.0, 500.0), 0.7 * canvas.voxel_size_nm)
        for _strand in range(int(rng.integers(3, 9))):
            start = origin + rng.normal(0.0, 14.0, 3)
            points = start + t[:, None] * along
            points = points[disc.depth_nm(points) > 15.0]
            _add_blobs(canvas, points, 0.35)


def _add_blobs(canvas: Canvas, points_nm: np.ndarray, strength: float) -> None:
    """Trilinear point masses along a strand: about one voxel wide."""
    index = points_nm / canvas.voxel_size_nm + np.array([0, 0, canvas.margin_vox])
    floor = np.floor(index).astype(int)
    fraction = index - floor
    flat = canvas.density.view(-1)
    shape = np.array(canvas.shape)
    for corner in np.ndindex(2, 2, 2):
        voxel = floor + np.array(corner)
        weight = np.prod(np.where(np.array(corner) == 1, fraction, 1.0 - fraction), axis=1)
        keep = ((voxel >= 0) & (voxel < shape)).all(axis=1)
        where = np.ravel_multi_index(tuple(voxel[keep].T), tuple(shape)) if keep.any() else []
        flat.index_add_(
            0,
            torch.as_tensor(np.asarray(where, dtype=np.int64), device=canvas.device),
            torch.as_tensor(weight[keep] * strength, device=canvas.device, dtype=torch.float32),
        )


def paint_gold(canvas: Canvas, scene: Scene, rng: np.random.Generator) -> None:
    """10-nm fiducial beads, far denser than protein."""
    extent = np.array(scene.shape) * canvas.voxel_size_nm
    for _ in range(scene.n_gold):
        centre = rng.uniform(0.0, 1.0, 3) * extent
        # Fiducials lie on the film, above or below the cell.
        centre[0] = rng.choice([rng.uniform(0.0, 0.12), rng.uniform(0.88, 1.0)]) * extent[0]
        radius = float(rng.uniform(4.0, 8.0))
        _paint_ball(canvas, centre, radius, float(rng.uniform(6.0, 12.0)), "artefact")


def paint_ice(canvas: Canvas, scene: Scene, rng: np.random.Generator) -> None:
    """Contaminating crystals of 60-200 nm on the surface."""
    extent = np.array(scene.shape) * canvas.voxel_size_nm
    for _ in range(scene.n_ice):
        centre = rng.uniform(0.0, 1.0, 3) * extent
        centre[0] = rng.choice([-0.05, 1.05]) * extent[0]
        _paint_ball(
            canvas, centre, float(rng.uniform(30.0, 100.0)), float(rng.uniform(0.6, 1.4)),
            "artefact",
        )  # fmt: skip


def _paint_ball(
    canvas: Canvas, centre: np.ndarray, radius: float, density: float, class_name: str
) -> None:
    pad = radius + 4.0
    box = canvas.box(tuple(centre - pad), tuple(centre + pad))
    if box is None:
        return
    away = canvas.away_nm(box, centre)
    inside = torch.sigmoid((radius - away) / (0.3 * canvas.voxel_size_nm))
    canvas.density[box] = canvas.density[box] * (1.0 - inside) + density * inside
    regions = canvas.regions[box]
    canvas.regions[box] = torch.where(
        away < radius, torch.full_like(regions, CLASS_IDS[class_name]), regions
    )


def paint_carbon(canvas: Canvas, scene: Scene, rng: np.random.Generator) -> None:
    """The rim of a holey film at the bottom of one side of the field."""
    if not scene.carbon_edge:
        return
    extent = np.array(scene.shape) * canvas.voxel_size_nm
    thickness = float(rng.uniform(12.0, 25.0))
    angle = rng.uniform(0.0, 2.0 * np.pi)
    direction = np.array([np.sin(angle), np.cos(angle)])
    middle = extent[1:] / 2.0 + direction * rng.uniform(0.2, 0.45) * extent[1]
    z, y, x = canvas.grid_nm((slice(0, canvas.shape[0]), slice(0, canvas.shape[1]),
                              slice(0, canvas.shape[2])))  # fmt: skip
    beyond = (y - middle[0]) * float(direction[0]) + (x - middle[1]) * float(direction[1])
    beyond = beyond - (x - middle[1]) ** 2 * 2e-4
    film = (beyond > 0) & (z < thickness) & (canvas.regions == CLASS_IDS["void"])
    grain = 1.0 + 0.1 * smooth_field(canvas.shape, (20, 60, 60), canvas.generator)
    level = float(rng.uniform(0.9, 1.5))
    canvas.density.copy_(torch.where(film, level * grain, canvas.density))
    canvas.regions[film] = CLASS_IDS["artefact"]
