"""Painting membrane-bound organelles from their spines."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.data.labels import CLASS_IDS
from engine.physics.fourier import smooth_field
from engine.simulation.canvas import Canvas
from engine.simulation.spines import Spine

# Cristae hang on the inner boundary membrane by narrow junctions and else keep this far from it.
CRISTA_GAP_NM = 14.0
BILAYER_HALF_NM = 4.0


@dataclass(frozen=True)
class OrganelleLook:
    """Class and density of one organelle; mitochondria add cristae and perhaps a state.

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
    tubular_cristae: bool = False
    state: str | None = None


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
    near = free & (depth > -8.0)
    if look.organelle_class == "mitochondrion":
        inner, crista, interior = _mitochondrion(canvas, look, depth, interior, box, rng)
        _nearer(canvas.outer_distance_nm, box, near, membrane)
        _nearer(canvas.inner_distance_nm, box, near, inner)
        canvas.crista[box] |= crista & inside
        membrane = torch.minimum(membrane, inner)
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
    _nearer(canvas.membrane_distance_nm, box, near, membrane)


def _nearer(
    distances: Tensor, box: tuple[slice, slice, slice], where: Tensor, found: Tensor
) -> None:
    distances[box] = torch.where(where, torch.minimum(distances[box], found), distances[box])


def _mitochondrion(
    canvas: Canvas,
    look: OrganelleLook,
    depth: Tensor,
    matrix: Tensor,
    box: tuple[slice, slice, slice],
    rng: np.random.Generator,
) -> tuple[Tensor, Tensor, Tensor]:
    """Distance to the inner membrane, where cristae are, and density.

    A crista is a sheet or a tube of the look's width that ends, closed, where a slow field falls
    below the quantile of the wanted share, and before the inner boundary membrane but for
    junctions. Its surface is the zero of the smallest of these conditions, each in nm.
    """
    shape = (depth.shape[0], depth.shape[1], depth.shape[2])
    inner = depth - look.intermembrane_nm
    threshold = float(np.quantile(rng.normal(size=256), 1.0 - look.crista_share))
    within = _crista_walls(canvas, look, box, rng)
    within = torch.minimum(within, _field_nm(canvas, shape, (4, 6, 6), threshold))
    junction = _field_nm(canvas, shape, (12, 16, 16), 1.0)
    within = torch.minimum(within, torch.maximum(inner - CRISTA_GAP_NM, junction))
    deep = inner > 0.0
    membrane = torch.where(deep, torch.minimum(inner, within.abs()), inner.abs())
    crista = deep & (within > -BILAYER_HALF_NM) & (inner > BILAYER_HALF_NM)
    space = ~deep | (within > 0)
    density = torch.where(space, torch.full_like(matrix, 0.12), matrix)
    specks = (smooth_field(shape, (14, 18, 18), canvas.generator) > 3.2) & (inner > 20.0)
    return membrane, crista, density + 0.6 * (specks & ~crista).float()


def _crista_walls(
    canvas: Canvas, look: OrganelleLook, box: tuple[slice, slice, slice], rng: np.random.Generator
) -> Tensor:
    """How deep inside a sheet or tube of the crista lattice each voxel lies (nm)."""
    z, y, x = canvas.grid_nm(box)
    normal = rng.normal(size=3)
    normal /= np.linalg.norm(normal)
    across = np.cross(normal, rng.normal(size=3))
    across /= np.linalg.norm(across)
    phases = []
    for axis in (normal, across) if look.tubular_cristae else (normal,):
        along = z * float(axis[0]) + y * float(axis[1]) + x * float(axis[2])
        shape = (along.shape[0], along.shape[1], along.shape[2])
        warp = 0.35 * look.crista_period_nm * smooth_field(shape, (3, 5, 5), canvas.generator)
        phase = torch.remainder(along + warp, look.crista_period_nm)
        phases.append(phase - look.crista_period_nm / 2.0)
    away = torch.sqrt(sum((phase**2 for phase in phases), torch.zeros_like(phases[0])))
    width = look.crista_width_nm * (1.5 if look.tubular_cristae else 1.0)
    return width / 2.0 - away


def _field_nm(
    canvas: Canvas, shape: tuple[int, int, int], knots: tuple[int, int, int], threshold: float
) -> Tensor:
    """A slow random field above a threshold, scaled to a rough distance in nm."""
    spacing_vox = float(np.mean([n / (k - 1) for n, k in zip(shape, knots, strict=True)]))
    field = smooth_field(shape, knots, canvas.generator)
    return (field - threshold) * spacing_vox * canvas.voxel_size_nm / 1.84


def _eccentric_core(
    canvas: Canvas, spine: Spine, box: tuple[slice, slice, slice], rng: np.random.Generator
) -> Tensor:
    """Soft dense ball within a dense granule."""
    radius = float(spine.radii_nm.mean())
    centre = spine.points_nm.mean(axis=0) + rng.uniform(-0.25, 0.25, 3) * radius
    return torch.sigmoid((0.55 * radius - canvas.away_nm(box, centre)) / 4.0)


def paint_membranes(canvas: Canvas, contrast: float) -> None:
    """Add every bilayer once, as a Gaussian sheet of about 6 nm (leaflets merge at this sampling).

    The sheet is widened to the sampling: a 2-nm sigma at 3.5 nm/voxel would alias.
    """
    sigma = max(2.3, 0.75 * canvas.voxel_size_nm)
    strength = contrast * 2.3 / sigma
    canvas.density += strength * torch.exp(-0.5 * (canvas.membrane_distance_nm / sigma) ** 2)
