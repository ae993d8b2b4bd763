"""The cell: a platelet's disc, a neurite or cilia; plasma membrane, cytoplasm, crowders."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.data.arrays import Float64s
from engine.data.labels import CLASS_IDS
from engine.physics.fourier import gaussian_transfer, smooth_field
from engine.simulation.canvas import Canvas
from engine.simulation.params import Scene

# Diameter (nm), number per um3 at crowding 1, contrast; the largest are glycogen, less dense than
# a ribosome.
CROWDERS = ((7.0, 30000.0, 0.8), (14.0, 5000.0, 0.8), (26.0, 400.0, 0.7))
# A motile cilium: membrane about 125-145 nm from the axis.
CILIUM_RADIUS_NM = (125.0, 145.0)
CILIA_APART_NM = 60.0


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

    def depth_grid_nm(self, z: Tensor, y: Tensor, x: Tensor) -> Tensor:
        """The same of a broadcast grid."""
        centre_y, centre_x = self.centre_yx_nm
        rim = self.radius_nm - torch.sqrt((y - centre_y) ** 2 + (x - centre_x) ** 2)
        core = (self.half_thickness_nm - rim).clamp_min(0.0)
        return self.half_thickness_nm - torch.sqrt(core**2 + (z - self.mid_z_nm) ** 2)


@dataclass(frozen=True)
class Tubes:
    """Straight tubes side by side in the plane: a neurite, or cilia.

    Attributes
    ----------
    centres_nm
        (n, 3) a point of each axis.
    heading_rad
        Of all axes, from x towards y.
    radius_nm
        Of each.
    """

    centres_nm: Float64s
    heading_rad: float
    radius_nm: float

    @property
    def direction(self) -> Float64s:
        """Unit vector (z, y, x) of the axes."""
        return np.array([0.0, np.sin(self.heading_rad), np.cos(self.heading_rad)])

    @property
    def mid_z_nm(self) -> float:
        """Height of the first axis."""
        return float(self.centres_nm[0, 0])

    @property
    def half_thickness_nm(self) -> float:
        """Radius."""
        return self.radius_nm

    def depth_nm(self, points_nm: Float64s) -> Float64s:
        """Distance (n,) of points (n, 3) below the surface, negative outside."""
        offsets = points_nm[:, None] - self.centres_nm[None]
        along = offsets @ self.direction
        away = np.sqrt(np.maximum((offsets**2).sum(axis=2) - along**2, 0.0))
        return np.asarray(self.radius_nm - away.min(axis=1))

    def depth_grid_nm(self, z: Tensor, y: Tensor, x: Tensor) -> Tensor:
        """The same of a broadcast grid."""
        sine, cosine = float(np.sin(self.heading_rad)), float(np.cos(self.heading_rad))
        away: Tensor | None = None
        for centre in self.centres_nm:
            across = (y - float(centre[1])) * cosine - (x - float(centre[2])) * sine
            one = torch.sqrt((z - float(centre[0])) ** 2 + across**2)
            away = one if away is None else torch.minimum(away, one)
        assert away is not None
        return self.radius_nm - away


Body = Disc | Tubes


def draw_body(rng: np.random.Generator, scene: Scene, voxel_size_nm: float) -> Body:
    """The cell of a scene, placed in the field."""
    if scene.kind == "platelet":
        return draw_disc(rng, scene, voxel_size_nm)
    size_nm = np.array(scene.shape) * voxel_size_nm
    heading = float(rng.uniform(0.0, np.pi))
    across = np.array([0.0, np.cos(heading), -np.sin(heading)])
    middle = size_nm / 2.0 + np.array([rng.uniform(-0.1, 0.1) * size_nm[0], 0.0, 0.0])
    if scene.kind == "neurite":
        middle = middle + across * rng.uniform(-0.2, 0.2) * size_nm[1]
        return Tubes(middle[None], heading, scene.thickness_nm / 2.0)
    radius = float(rng.uniform(*CILIUM_RADIUS_NM))
    pitch = 2.0 * radius + rng.uniform(5.0, CILIA_APART_NM)
    count = max(1, int(rng.integers(1, 4)))
    places = (np.arange(count) - (count - 1) / 2.0) * pitch
    return Tubes(middle + places[:, None] * across, heading, radius)


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


def paint_cell(canvas: Canvas, body: Body, rng: np.random.Generator) -> Tensor:
    """Fill the cell with cytoplasm and its membrane; returns the depth volume (nm)."""
    z, y, x = canvas.grid_nm((slice(0, canvas.shape[0]), slice(0, canvas.shape[1]),
                              slice(0, canvas.shape[2])))  # fmt: skip
    wave = smooth_field((1, canvas.shape[1], canvas.shape[2]), (1, 6, 6), canvas.generator)
    depth = body.depth_grid_nm(z - float(rng.uniform(2.0, 12.0)) * wave, y, x)
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
    weight = weight * (canvas.axis_distance_nm > 16.0) * (canvas.ribosome_distance_nm > 16.0)
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
