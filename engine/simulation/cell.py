"""The discoid cell: plasma membrane, cytoplasm, crowders."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.data.arrays import Float64s
from engine.data.labels import CLASS_IDS
from engine.physics.fourier import gaussian_transfer, smooth_field
from engine.simulation.canvas import Canvas
from engine.simulation.params import Scene

# Diameter (nm), number per um3 at crowding 1, contrast.
CROWDERS = ((7.0, 30000.0, 0.8), (14.0, 5000.0, 0.8), (26.0, 400.0, 0.9))


@dataclass(frozen=True)
class Disc:
    """A flat disc with a rounded rim, in nanometre of the field.

    Attributes
    ----------
    mid_z_nm, half_thickness_nm
        Middle plane and half height.
    centre_yx_nm, radius_nm
        Of the disc in the plane.
    """

    mid_z_nm: float
    half_thickness_nm: float
    centre_yx_nm: tuple[float, float]
    radius_nm: float

    def rim_distance_nm(self, points_nm: Float64s) -> Float64s:
        """In-plane distance (n,) of points (n, 3) from the rim, positive inside."""
        offset = points_nm[:, 1:] - np.asarray(self.centre_yx_nm)
        return np.asarray(self.radius_nm - np.linalg.norm(offset, axis=1))

    def depth_nm(self, points_nm: Float64s) -> Float64s:
        """Distance (n,) of points (n, 3) below the surface, negative outside."""
        core = np.maximum(self.half_thickness_nm - self.rim_distance_nm(points_nm), 0.0)
        height = points_nm[:, 0] - self.mid_z_nm
        return np.asarray(self.half_thickness_nm - np.hypot(core, height))


def draw_disc(rng: np.random.Generator, scene: Scene, voxel_size_nm: float) -> Disc:
    """Place the cell: its rim crosses the field where the scene wants the edge in view."""
    height, depth, width = (n * voxel_size_nm for n in scene.shape)
    radius = rng.uniform(900.0, 1600.0)
    angle = rng.uniform(0.0, 2.0 * np.pi)
    reach = 0.5 * max(depth, width)
    # Distance from the field's middle to the rim, positive inside the cell.
    inset = rng.uniform(0.1, 0.7) * reach if scene.edge_in_view else 1.6 * reach
    radius = max(radius, inset + 50.0)
    centre = np.array([depth, width]) / 2.0
    centre += (radius - inset) * np.array([np.sin(angle), np.cos(angle)])
    slack = max(0.0, 0.5 * (height - scene.thickness_nm))
    return Disc(
        mid_z_nm=float(height / 2.0 + rng.uniform(-0.6, 0.6) * slack),
        half_thickness_nm=float(scene.thickness_nm / 2.0),
        centre_yx_nm=(float(centre[0]), float(centre[1])),
        radius_nm=float(radius),
    )


def paint_cell(canvas: Canvas, disc: Disc, rng: np.random.Generator) -> Tensor:
    """Fill the cell with cytoplasm and its membrane; returns the depth volume (nm)."""
    z, y, x = canvas.grid_nm((slice(0, canvas.shape[0]), slice(0, canvas.shape[1]),
                              slice(0, canvas.shape[2])))  # fmt: skip
    wave = smooth_field((1, canvas.shape[1], canvas.shape[2]), (1, 6, 6), canvas.generator)
    mid_z = disc.mid_z_nm + float(rng.uniform(2.0, 12.0)) * wave
    rim = disc.radius_nm - torch.sqrt(
        (y - disc.centre_yx_nm[0]) ** 2 + (x - disc.centre_yx_nm[1]) ** 2
    )
    core = (disc.half_thickness_nm - rim).clamp_min(0.0)
    depth = disc.half_thickness_nm - torch.sqrt(core**2 + (z - mid_z) ** 2)
    inside = depth > 0
    canvas.density += float(rng.uniform(0.10, 0.22)) * torch.sigmoid(depth / 2.0)
    canvas.regions[inside] = CLASS_IDS["background"]
    canvas.membrane_distance_nm.copy_(torch.minimum(canvas.membrane_distance_nm, depth.abs()))
    return depth


def paint_crowders(canvas: Canvas, scene: Scene, rng: np.random.Generator) -> None:
    """Macromolecules of several sizes in the cytoplasm, thinner in organelles, none in void.

    Sizes follow globular proteins of 50 kDa (5 nm) to ribosomes (25 nm) and glycogen (20-40 nm);
    their number is the scene's crowding.
    """
    occupied = canvas.regions == CLASS_IDS["background"]
    weight = torch.where(occupied, 1.0, 0.35)
    weight = torch.where(canvas.regions == CLASS_IDS["void"], 0.0, weight)
    weight = torch.where(canvas.regions == CLASS_IDS["vesicle"], 0.08, weight)
    weight = weight * (canvas.axis_distance_nm > 16.0)
    voxel_um3 = (canvas.voxel_size_nm * 1e-3) ** 3
    shape = canvas.shape
    spectrum = torch.zeros(
        (shape[0], shape[1], shape[2] // 2 + 1), dtype=torch.complex64, device=canvas.device
    )
    uniform = torch.rand(shape, generator=canvas.generator, device=canvas.device)
    rank = 0.0
    for diameter_nm, per_um3, contrast in CROWDERS:
        rate = scene.crowding * per_um3 * voxel_um3 * float(rng.uniform(0.5, 1.5))
        # One uniform draw serves all sizes: each takes its own slice of [0, 1).
        seeds = ((uniform >= rank) & (uniform < rank + rate * weight)).float()
        rank += rate
        sigma_vox = max(diameter_nm / 2.35 / canvas.voxel_size_nm, 0.4)
        # Unit peak: the blur of one voxel has the peak (2 pi sigma^2)^-1.5.
        peak = max(1.0, (2.0 * np.pi * sigma_vox**2) ** 1.5)
        transfer = gaussian_transfer(shape, sigma_vox, canvas.device)
        spectrum += contrast * peak * torch.fft.rfftn(seeds) * transfer
    canvas.density += torch.fft.irfftn(spectrum, s=shape)
