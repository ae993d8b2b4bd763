"""Microtubule centre lines, their painting, and their exact truth inside the field."""

import numpy as np
import torch
from torch import Tensor

from engine.data.arrays import Float64s
from engine.data.filaments import Filament
from engine.simulation.canvas import Canvas
from engine.simulation.cell import Body, Disc, Tubes
from engine.simulation.params import Scene
from engine.simulation.spines import Spine

# Cryo-EM of 13-protofilament microtubules: outer diameter 25 nm, lumen 17 nm, mid-wall 21 nm.
WALL_RADIUS_NM = 10.5
WALL_SIGMA_NM = 1.7
STEP_NM = 2.0
SHORTEST_TRUE_NM = 30.0
SMALLEST_SPACING_NM = 25.0
ORGANELLE_GAP_NM = 14.0
SHORTEST_NM = 40.0


def draw_microtubules(
    rng: np.random.Generator,
    scene: Scene,
    disc: Body,
    voxel_size_nm: float,
    organelles: list[Spine],
) -> list[Float64s]:
    """Draw centre lines (n, 3) nm, sampled every 2 nm: bundles, free ones, parallel pairs."""
    size_nm = np.array(scene.shape) * voxel_size_nm
    if scene.kind == "cilia" and isinstance(disc, Tubes):
        return _axoneme_lines(rng, disc, size_nm)
    lines: list[Float64s] = []
    band_inset = rng.uniform(50.0, 110.0)
    for _ in range(scene.n_band):
        for _attempt in range(12):
            line = (
                _band_line(rng, disc, band_inset, size_nm)
                if isinstance(disc, Disc)
                else _axial_line(rng, disc, size_nm)
            )
            if _accept(line, lines, organelles, disc, size_nm):
                lines.append(line)
                break
    for _ in range(scene.n_free):
        for _attempt in range(30):
            beside = lines and rng.random() < 0.25
            line = (
                _parallel_line(rng, lines[rng.integers(len(lines))])
                if beside
                else _free_line(rng, size_nm, disc, scene.climb_sd_rad)
            )
            line = _longest_inside_cell(line, disc)
            if _accept(line, lines, organelles, disc, size_nm):
                lines.append(line)
                break
    return lines


def _band_line(
    rng: np.random.Generator, disc: Disc, inset_nm: float, size_nm: Float64s
) -> Float64s:
    """An arc of the marginal band: concentric with the rim, in a loose bundle."""
    radius = disc.radius_nm - inset_nm - rng.uniform(0.0, 130.0)
    middle = size_nm[1:] / 2.0 - np.asarray(disc.centre_yx_nm)
    facing = np.arctan2(middle[0], middle[1])
    half_span = (0.75 * np.hypot(size_nm[1], size_nm[2])) / radius
    low, high = facing - half_span, facing + half_span
    if rng.random() < 0.35:
        cut = rng.uniform(low + 0.3 * (high - low), high - 0.3 * (high - low))
        low, high = (low, cut) if rng.random() < 0.5 else (cut, high)
    count = max(8, int((high - low) * radius / STEP_NM))
    angles = np.linspace(low, high, count)
    wobble = rng.uniform(0.0, 6.0) * np.sin(
        angles * radius / rng.uniform(150.0, 400.0) + rng.uniform(0.0, 6.28)
    )
    height = disc.mid_z_nm + rng.uniform(-0.4, 0.4) * disc.half_thickness_nm
    points = np.stack(
        [
            np.full(count, height) + 0.5 * wobble,
            disc.centre_yx_nm[0] + (radius + wobble) * np.sin(angles),
            disc.centre_yx_nm[1] + (radius + wobble) * np.cos(angles),
        ],
        axis=1,
    )
    return np.asarray(points)


def _axial_line(rng: np.random.Generator, body: Tubes, size_nm: Float64s) -> Float64s:
    """A microtubule along a neurite, at a random place of its cross-section, slightly wavy."""
    place = body.radius_nm * 0.8 * np.sqrt(rng.uniform()) * np.exp(2j * np.pi * rng.uniform())
    reach = 0.75 * float(np.hypot(size_nm[1], size_nm[2]))
    low, high = -reach, reach
    if rng.random() < 0.4:
        low, high = np.sort(rng.uniform(-0.6 * reach, 0.6 * reach, 2))
    along = np.arange(low, high, STEP_NM)
    wave = rng.uniform(0.0, 6.0) * np.sin(along / rng.uniform(80.0, 300.0) + rng.uniform(0.0, 6.28))
    return _along_tube(body, 0, along, place + wave * np.exp(2j * np.pi * rng.uniform()))


def _axoneme_lines(rng: np.random.Generator, body: Tubes, size_nm: Float64s) -> list[Float64s]:
    """A and B tubules of nine doublets and the central pair of every cilium.

    Doublets lie on a ring of about 95 nm radius (diameter between opposite doublets 199 +- 10 nm
    in tomograms of Tetrahymena-like axonemes); the partial B tubule is taken for a whole one.
    """
    reach = 0.75 * float(np.hypot(size_nm[1], size_nm[2]))
    along = np.arange(-reach, reach, STEP_NM)
    lines = []
    for number in range(len(body.centres_nm)):
        turn, ring = rng.uniform(0.0, 2.0 * np.pi), rng.uniform(84.0, 96.0)
        twist = rng.normal(0.0, 1e-4) * along
        for doublet in range(9):
            angle = turn + 2.0 * np.pi * doublet / 9.0
            for radius, offset in ((ring, 0.0), (ring + 4.0, 20.0 / ring)):
                place = radius * np.exp(1j * (angle + offset + twist))
                lines.append(_along_tube(body, number, along, place))
        if rng.random() < 0.9:
            for side in (-16.0, 16.0):
                lines.append(_along_tube(body, number, along, side * np.exp(1j * (turn + twist))))
    return lines


def _along_tube(
    body: Tubes, number: int, along_nm: Float64s, across: np.ndarray | complex
) -> Float64s:
    """Points at places along a tube; `across` is height plus i times the sideways offset, nm."""
    sideways = np.array([0.0, np.cos(body.heading_rad), -np.sin(body.heading_rad)])
    place = np.broadcast_to(across, along_nm.shape)
    return np.asarray(
        body.centres_nm[number]
        + along_nm[:, None] * body.direction
        + place.real[:, None] * np.array([1.0, 0.0, 0.0])
        + place.imag[:, None] * sideways
    )


def _free_line(
    rng: np.random.Generator, size_nm: Float64s, disc: Body, climb_sd_rad: float
) -> Float64s:
    """A gently bent line of 150-1400 nm through a random point; curvature up to 1 / 0.6 um."""
    length = rng.uniform(150.0, 1400.0)
    count = int(length / STEP_NM)
    curvature = rng.normal(0.0, 6e-4)
    bends = rng.normal(0.0, 2.5e-4) * np.sin(
        np.arange(count) * STEP_NM / rng.uniform(80.0, 300.0) + rng.uniform(0.0, 6.28)
    )
    heading = rng.uniform(0.0, 2.0 * np.pi) + np.cumsum((curvature + bends) * STEP_NM)
    climb = rng.normal(0.0, climb_sd_rad)
    steps = np.stack(
        [
            np.full(count, np.sin(climb)),
            np.cos(climb) * np.sin(heading),
            np.cos(climb) * np.cos(heading),
        ],
        axis=1,
    )
    line = np.cumsum(STEP_NM * steps, axis=0)
    anchor = rng.integers(count)
    half = disc.half_thickness_nm
    through = np.array(
        [
            np.clip(disc.mid_z_nm + rng.uniform(-0.8, 0.8) * half, 15.0, size_nm[0] - 15.0),
            rng.uniform(0.0, size_nm[1]),
            rng.uniform(0.0, size_nm[2]),
        ]
    )
    return np.asarray(line - line[anchor] + through)


def _parallel_line(rng: np.random.Generator, line: Float64s) -> Float64s:
    """A neighbour 26-35 nm beside an existing line, of its own extent."""
    tangent = np.gradient(line, axis=0)
    sideways = np.stack([np.zeros(len(line)), -tangent[:, 2], tangent[:, 1]], axis=1)
    sideways /= np.maximum(np.linalg.norm(sideways, axis=1, keepdims=True), 1e-9)
    shifted = line + rng.choice([-1.0, 1.0]) * rng.uniform(26.0, 35.0) * sideways
    start = int(rng.uniform(0.0, 0.4) * len(line))
    stop = int(rng.uniform(0.6, 1.0) * len(line))
    return np.asarray(shifted[start:stop])


def _longest_inside_cell(line: Float64s, disc: Body) -> Float64s:
    """The longest run of points at least 20 nm below the surface."""
    return _longest_run(line, disc.depth_nm(line) > 20.0)


def _longest_run(line: Float64s, keep: np.ndarray) -> Float64s:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], keep.astype(int), [0]])))
    runs = edges.reshape(-1, 2)
    if len(runs) == 0:
        return line[:0]
    start, stop = runs[np.argmax(runs[:, 1] - runs[:, 0])]
    return line[start:stop]


def _accept(
    line: Float64s,
    lines: list[Float64s],
    organelles: list[Spine],
    disc: Body,
    size_nm: Float64s,
) -> bool:
    """Long enough inside the field, inside the cell, clear of organelles and other lines."""
    if len(line) * STEP_NM < SHORTEST_NM:
        return False
    in_field = ((line > -0.5 * STEP_NM) & (line < size_nm)).all(axis=1)
    if in_field.sum() * STEP_NM < SHORTEST_NM or (disc.depth_nm(line) < 14.0).any():
        return False
    sparse = line[::5]
    for spine in organelles:
        points, radii = spine.spheres()
        distance = np.linalg.norm(sparse[:, None] - points[None], axis=2) - radii[None]
        if distance.min() < ORGANELLE_GAP_NM + 0.07 * float(radii.mean()):
            return False
    for other in lines:
        distance = np.linalg.norm(sparse[:, None] - other[None, ::4], axis=2)
        if distance.min() < SMALLEST_SPACING_NM:
            return False
    return True


def measure_axis_distance(canvas: Canvas, lines: list[Float64s]) -> None:
    """Write the distance to the nearest axis, flat at the ends; far ones stay far."""
    reach_nm = WALL_RADIUS_NM + 3.0 * WALL_SIGMA_NM + 1.0
    for line in lines:
        line_distance(canvas, line, canvas.axis_distance_nm, reach_nm)


def paint_microtubules(canvas: Canvas, contrast: float) -> None:
    """Paint hollow tubes with flat ends where the axes are."""
    distance = canvas.axis_distance_nm
    sigma = max(WALL_SIGMA_NM, 0.5 * canvas.voxel_size_nm)
    wall = torch.exp(-0.5 * ((distance - WALL_RADIUS_NM) / sigma) ** 2)
    # The lumen holds little: what was painted there before is thinned out.
    emptied = torch.where(distance < WALL_RADIUS_NM, 0.45 * canvas.density, canvas.density)
    canvas.density.copy_(emptied + contrast * wall * (WALL_SIGMA_NM / sigma))


def line_distance(canvas: Canvas, line: Float64s, distances: Tensor, reach_nm: float) -> None:
    """Lower `distances` to those from a line of points 2 nm apart, within a reach of it."""
    reach = int(np.ceil(reach_nm / canvas.voxel_size_nm)) + 1
    spacing = max(1, int(canvas.voxel_size_nm // STEP_NM))
    # The last point is a node too: a tube ends where its line does.
    chosen = np.unique(np.append(np.arange(0, len(line), spacing), len(line) - 1))
    nodes = torch.as_tensor(line[chosen], device=canvas.device, dtype=torch.float32)
    tangents = torch.as_tensor(
        np.gradient(line, axis=0)[chosen], device=canvas.device, dtype=torch.float32
    )
    behind = torch.full((len(nodes), 1), -np.inf, device=canvas.device)
    ahead = torch.full((len(nodes), 1), np.inf, device=canvas.device)
    behind[0], ahead[-1] = 0.0, 0.0
    tangents = tangents / tangents.norm(dim=1, keepdim=True)
    span = torch.arange(-reach, reach + 1, device=canvas.device)
    cube = torch.stack(torch.meshgrid(span, span, span, indexing="ij"), dim=-1).reshape(-1, 3)
    offset = torch.tensor([0, 0, canvas.margin_vox], device=canvas.device)
    limits = torch.tensor(canvas.shape, device=canvas.device)
    flat = distances.view(-1)
    half_step_nm = 0.5 * STEP_NM * spacing + 0.05
    for start in range(0, len(nodes), 64):
        centre = nodes[start : start + 64]
        index = torch.round(centre / canvas.voxel_size_nm).long() + offset
        voxels = index[:, None] + cube[None]
        position = (voxels - offset).float() * canvas.voxel_size_nm
        away = position - centre[:, None]
        axial = (away * tangents[start : start + 64, None]).sum(-1)
        distance = torch.sqrt(((away**2).sum(-1) - axial**2).clamp_min(0.0))
        keep = ((voxels >= 0) & (voxels < limits)).all(-1) & (axial.abs() <= half_step_nm + 0.5)
        keep &= (axial >= behind[start : start + 64]) & (axial <= ahead[start : start + 64])
        voxels, distance = voxels[keep], distance[keep]
        where = (voxels[:, 0] * limits[1] + voxels[:, 1]) * limits[2] + voxels[:, 2]
        flat.scatter_reduce_(0, where, distance, reduce="amin")


def filaments_in_field(
    lines: list[Float64s], shape: tuple[int, int, int], voxel_size_nm: float
) -> tuple[Filament, ...]:
    """Truth: the parts of the lines inside the field of at least 30 nm, in angstrom."""
    low = np.full(3, -0.5 * voxel_size_nm)
    high = (np.array(shape) - 0.5) * voxel_size_nm
    found: list[Filament] = []
    for line in lines:
        keep = ((line >= low) & (line <= high)).all(axis=1)
        edges = np.flatnonzero(np.diff(np.concatenate([[0], keep.astype(int), [0]])))
        for start, stop in edges.reshape(-1, 2):
            points = _to_faces(line, int(start), int(stop), low, high)
            if np.linalg.norm(np.diff(points, axis=0), axis=1).sum() < SHORTEST_TRUE_NM:
                continue
            found.append(
                Filament(
                    filament_id=len(found) + 1,
                    filament_class="microtubule",
                    points_angst=points * 10.0,
                    starts_at_border=bool(start > 0),
                    ends_at_border=bool(stop < len(line)),
                    confidence=1.0,
                )
            )
    return tuple(found)


def _to_faces(line: Float64s, start: int, stop: int, low: Float64s, high: Float64s) -> Float64s:
    """The points from `start` to `stop` - 1, and where the line enters and leaves the field."""
    points = [line[start:stop]]
    if start > 0:
        points.insert(0, _crossing(line[start], line[start - 1], low, high)[None])
    if stop < len(line):
        points.append(_crossing(line[stop - 1], line[stop], low, high)[None])
    return np.clip(np.concatenate(points), low, high)


def _crossing(inside: Float64s, outside: Float64s, low: Float64s, high: Float64s) -> Float64s:
    """Where the way from a place inside to one outside meets the first face."""
    step = outside - inside
    with np.errstate(divide="ignore", invalid="ignore"):
        to_face = np.where(step > 0, (high - inside) / step, (low - inside) / step)
    share = float(np.where(step == 0, np.inf, to_face).min())
    return np.asarray(inside + min(max(share, 0.0), 1.0) * step)
