"""Painting membrane-bound organelles from their spines."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.data.labels import CLASS_IDS
from engine.physics.fourier import smooth_field
from engine.simulation.canvas import Canvas
from engine.simulation.spines import Spine


@dataclass(frozen=True)
class OrganelleLook:
    """Class and density of one organelle; mitochondria add `cristae`.

    Attributes
    ----------
    interior
        Density of matrix or lumen.
    grain
        Amplitude of its slow variation.
    core
        Extra density of an eccentric core (dense granules), 0 for none.
    """

    organelle_class: str
    interior: float
    grain: float = 0.0
    core: float = 0.0
    crista_period_nm: float = 60.0
    crista_width_nm: float = 16.0
    crista_share: float = 0.7
    intermembrane_nm: float = 16.0


def distance_inside_nm(canvas: Canvas, spine: Spine, box: tuple[slice, slice, slice]) -> Tensor:
    """Depth below the surface of the swept spine within a box, negative outside."""
    z, y, x = canvas.grid_nm(box)
    depth: Tensor | None = None
    count = len(spine.points_nm)
    for start in range(max(1, count - 1)):
        first = spine.points_nm[start]
        last = spine.points_nm[min(start + 1, count - 1)]
        radius_first = float(spine.radii_nm[start])
        radius_last = float(spine.radii_nm[min(start + 1, count - 1)])
        along = last - first
        squared = float(along @ along)
        offsets = (z - float(first[0]), y - float(first[1]), x - float(first[2]))
        dot = (
            float(along[0]) * offsets[0]
            + float(along[1]) * offsets[1]
            + float(along[2]) * offsets[2]
        )
        t = (dot / max(squared, 1e-9)).clamp(0.0, 1.0) if squared > 0 else torch.zeros_like(dot)
        gaps = [o - t * float(a) for a, o in zip(along, offsets, strict=True)]
        away = gaps[0] ** 2 + gaps[1] ** 2 + gaps[2] ** 2
        here = radius_first + t * (radius_last - radius_first) - torch.sqrt(away)
        depth = here if depth is None else torch.maximum(depth, here)
    assert depth is not None
    return depth


def paint_organelle(
    canvas: Canvas,
    spine: Spine,
    look: OrganelleLook,
    instance_id: int,
    rng: np.random.Generator,
) -> None:
    """Paint one organelle over the cytoplasm; what is already another organelle stays."""
    pad = 25.0
    reach = spine.radii_nm[:, None] + pad
    low = (spine.points_nm - reach).min(axis=0)
    high = (spine.points_nm + reach).max(axis=0)
    box = canvas.box(tuple(low), tuple(high))
    if box is None:
        return
    depth = distance_inside_nm(canvas, spine, box)
    shape = (depth.shape[0], depth.shape[1], depth.shape[2])
    knots = (4, 6, 6)
    roughness = 0.07 * float(spine.radii_nm.mean())
    depth = depth + roughness * smooth_field(shape, knots, canvas.generator)
    free = (canvas.instances[box] == 0) & (canvas.regions[box] != CLASS_IDS["void"])
    inside = (depth > 0) & free
    interior = look.interior + look.grain * smooth_field(shape, (7, 9, 9), canvas.generator)
    membrane = depth.abs()
    if look.organelle_class == "mitochondrion":
        interior, membrane = _mitochondrion(canvas, spine, look, depth, interior, box, rng)
    if look.core > 0:
        interior = interior + look.core * _eccentric_core(canvas, spine, box, rng)
    density = canvas.density[box]
    canvas.density[box] = torch.where(inside, interior, density)
    canvas.regions[box] = torch.where(
        inside, torch.full_like(canvas.regions[box], CLASS_IDS[look.organelle_class]),
        canvas.regions[box],
    )  # fmt: skip
    canvas.instances[box] = torch.where(
        inside, torch.full_like(canvas.instances[box], instance_id), canvas.instances[box]
    )
    near = free & (depth > -8.0)
    canvas.membrane_distance_nm[box] = torch.where(
        near, torch.minimum(canvas.membrane_distance_nm[box], membrane),
        canvas.membrane_distance_nm[box],
    )  # fmt: skip


def _mitochondrion(
    canvas: Canvas,
    spine: Spine,
    look: OrganelleLook,
    depth: Tensor,
    matrix: Tensor,
    box: tuple[slice, slice, slice],
    rng: np.random.Generator,
) -> tuple[Tensor, Tensor]:
    """Density and bilayer distance: outer and inner membrane, lamellar cristae, matrix granules."""
    shape = (depth.shape[0], depth.shape[1], depth.shape[2])
    inner = depth - look.intermembrane_nm
    membrane = torch.minimum(depth.abs(), inner.abs())
    z, y, x = canvas.grid_nm(box)
    normal = rng.normal(size=3)
    normal /= np.linalg.norm(normal)
    warp = 0.35 * look.crista_period_nm * smooth_field(shape, (3, 5, 5), canvas.generator)
    along = z * float(normal[0]) + y * float(normal[1]) + x * float(normal[2]) + warp
    phase = torch.remainder(along, look.crista_period_nm) - look.crista_period_nm / 2.0
    # A crista ends where a slow field falls below the quantile of the wanted share.
    threshold = float(np.quantile(rng.normal(size=256), 1.0 - look.crista_share))
    exists = smooth_field(shape, (4, 6, 6), canvas.generator) > threshold
    exists = exists & (inner > 4.0)
    lumen = exists & (phase.abs() < look.crista_width_nm / 2.0)
    sheet = (phase.abs() - look.crista_width_nm / 2.0).abs()
    membrane = torch.where(exists, torch.minimum(membrane, sheet), membrane)
    space = (inner < 0) | lumen
    density = torch.where(space, torch.full_like(matrix, 0.12), matrix)
    granules = (smooth_field(shape, (14, 18, 18), canvas.generator) > 3.2) & (inner > 20.0)
    return density + 0.6 * granules.float(), membrane


def _eccentric_core(
    canvas: Canvas, spine: Spine, box: tuple[slice, slice, slice], rng: np.random.Generator
) -> Tensor:
    """Soft dense ball within a dense granule."""
    z, y, x = canvas.grid_nm(box)
    radius = float(spine.radii_nm.mean())
    centre = spine.points_nm.mean(axis=0) + rng.uniform(-0.25, 0.25, 3) * radius
    away = torch.sqrt(
        (z - float(centre[0])) ** 2 + (y - float(centre[1])) ** 2 + (x - float(centre[2])) ** 2
    )
    return torch.sigmoid((0.55 * radius - away) / 4.0)


def paint_membranes(canvas: Canvas, contrast: float) -> None:
    """Add every bilayer once, as a Gaussian sheet of about 6 nm (leaflets merge at this sampling).

    The sheet is widened to the sampling: a 2-nm sigma at 3.5 nm/voxel would alias.
    """
    sigma = max(2.3, 0.75 * canvas.voxel_size_nm)
    strength = contrast * 2.3 / sigma
    canvas.density += strength * torch.exp(-0.5 * (canvas.membrane_distance_nm / sigma) ** 2)
