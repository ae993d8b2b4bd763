"""An atlas as it looks from outside: shaded copies in a box, nearer ones before farther ones."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

from engine.data.arrays import Float32s, Float64s
from engine.matching.atlas import Atlas
from engine.matching.template_shape import TemplateShape

# Beyond it a copy is a dozen samples across anyway.
FINEST_STEP_VOX = 0.25
LIGHT_XYZ = np.array([-0.4, 0.55, 0.73])


@dataclass(frozen=True)
class AtlasView:
    """A picture of what stands nearest at each pixel, parallel projection.

    Attributes
    ----------
    kinds
        int (rows, columns): index of the template, -1 where there is nothing.
    light
        float32, same shape, in [0, 1]: how much a surface faces the light.
    depth_vox
        float32: towards the viewer, NaN where there is nothing.
    corners_px
        (8, 3): column, row and depth (voxels) of the volume's corners; corner number
        4 z + 2 y + x.
    step_vox
        Voxels a pixel.
    """

    kinds: np.ndarray
    light: Float32s
    depth_vox: Float32s
    corners_px: Float64s
    step_vox: float


@dataclass(frozen=True)
class _Canvas:
    kinds: np.ndarray
    light: Float32s
    depth_vox: Float32s
    # (x, y) in view coordinates, voxels, of the middle of pixel (row 0, column 0).
    left_vox: float
    top_vox: float
    step_vox: float


def viewed_from(azimuth_deg: float, elevation_deg: float) -> Rotation:
    """Turn (x, y, z) of the volume to (right, up, towards the viewer); z points up."""
    upright = Rotation.from_euler("x", -90.0, degrees=True)
    about_z = Rotation.from_euler("z", azimuth_deg, degrees=True)
    return Rotation.from_euler("x", elevation_deg, degrees=True) * upright * about_z


def atlas_view(
    atlas: Atlas, shapes: tuple[TemplateShape, ...], turn: Rotation, width_px: int
) -> AtlasView:
    """Look at the copies' surfaces; each is sampled along the lines of sight in its own window.

    Parameters
    ----------
    turn
        From `viewed_from`.
    width_px
        Of the box in which the whole volume fits.
    """
    size_xyz = np.array(atlas.labels.shape[::-1], dtype=float)
    middle_xyz = (size_xyz - 1.0) / 2.0
    ends = [(-0.5, n - 0.5) for n in atlas.labels.shape]
    corners_xyz = np.array([(x, y, z) for z in ends[0] for y in ends[1] for x in ends[2]])
    corners = turn.apply(corners_xyz - middle_xyz)
    low, high = corners.min(axis=0), corners.max(axis=0)
    step_vox = max(FINEST_STEP_VOX, float(high[0] - low[0]) / width_px)
    n_columns, n_rows = (int(np.ceil((high[i] - low[i]) / step_vox)) + 1 for i in (0, 1))
    canvas = _Canvas(
        kinds=np.full((n_rows, n_columns), -1),
        light=np.zeros((n_rows, n_columns), dtype=np.float32),
        depth_vox=np.full((n_rows, n_columns), -np.inf, dtype=np.float32),
        left_vox=float(low[0]),
        top_vox=float(high[1]),
        step_vox=step_vox,
    )
    places = turn.apply(
        (atlas.particles.positions_angst / atlas.voxel_size_angst)[:, ::-1] - middle_xyz
    ).reshape(-1, 3)
    for index, kind in enumerate(atlas.class_index):
        rotation = turn * atlas.particles.rotations[index]
        _draw(canvas, shapes[kind], int(kind), rotation, places[index])
    columns, rows = (corners[:, 0] - low[0]) / step_vox, (high[1] - corners[:, 1]) / step_vox
    depth = np.where(np.isfinite(canvas.depth_vox), canvas.depth_vox, np.nan).astype(np.float32)
    corners_px = np.stack([columns, rows, corners[:, 2]], axis=1)
    return AtlasView(canvas.kinds, canvas.light, depth, corners_px, step_vox)


def _draw(
    canvas: _Canvas, shape: TemplateShape, kind: int, rotation: Rotation, place: Float64s
) -> None:
    """Put one copy's visible surface on the canvas where it is nearest."""
    step, reach = canvas.step_vox, shape.reach_vox + 1.0
    n_rows, n_columns = canvas.kinds.shape
    columns = np.arange(
        max(0, int(np.ceil((place[0] - reach - canvas.left_vox) / step))),
        min(n_columns, int((place[0] + reach - canvas.left_vox) / step) + 1),
    )
    rows = np.arange(
        max(0, int(np.ceil((canvas.top_vox - place[1] - reach) / step))),
        min(n_rows, int((canvas.top_vox - place[1] + reach) / step) + 1),
    )
    if not (len(columns) and len(rows)):
        return
    along = np.arange(reach, -reach, -0.5)
    right = columns * step + canvas.left_vox - place[0]
    up = canvas.top_vox - rows * step - place[1]
    d, u, r = np.meshgrid(along, up, right, indexing="ij")
    density = _sampled(shape, rotation, np.stack([r.ravel(), u.ravel(), d.ravel()], axis=1))
    density = density.reshape(d.shape)
    inside = density > shape.level
    first = inside.argmax(axis=0)
    hit = np.take_along_axis(inside, first[None], axis=0)[0]
    depth = _hit_depth(density, first, along, shape.level) + place[2]
    window = np.ix_(rows, columns)
    nearer = hit & (depth > canvas.depth_vox[window])
    light = _lit(shape, rotation, np.stack([r[0], u[0], depth - place[2]], axis=-1)[nearer])
    for target, values in (
        (canvas.kinds, kind), (canvas.light, light), (canvas.depth_vox, depth[nearer])
    ):  # fmt: skip
        part = target[window]
        part[nearer] = values
        target[window] = part


def _sampled(shape: TemplateShape, rotation: Rotation, offsets_xyz: Float64s) -> Float64s:
    back_xyz = rotation.inv().apply(offsets_xyz)
    places = back_xyz[:, ::-1].T + shape.contrast.shape[0] // 2
    values: Float64s = map_coordinates(shape.contrast.astype(np.float64), places, order=1)
    return values


def _hit_depth(density: Float64s, first: np.ndarray, along: Float64s, level: float) -> Float64s:
    """Where the level is crossed, by a straight line between the samples before and after."""
    after = np.take_along_axis(density, first[None], axis=0)[0]
    before = np.take_along_axis(density, np.maximum(first - 1, 0)[None], axis=0)[0]
    rise = np.where(after > before, after - before, 1.0)
    share = np.clip((after - level) / rise, 0.0, 1.0)
    depth: Float64s = along[first] + share * (along[0] - along[1])
    return depth


def _lit(shape: TemplateShape, rotation: Rotation, places_xyz: Float64s) -> Float64s:
    """Light (n,) on a surface at places (n, 3), from the density's slope there."""
    if not len(places_xyz):
        return np.zeros(0)
    slopes = [
        _sampled(shape, rotation, places_xyz - move) - _sampled(shape, rotation, places_xyz + move)
        for move in np.eye(3)
    ]
    normals = np.stack(slopes, axis=1)
    lengths = np.linalg.norm(normals, axis=1)
    facing = normals @ (LIGHT_XYZ / np.linalg.norm(LIGHT_XYZ))
    return np.asarray(np.clip(facing / np.where(lengths > 0, lengths, 1.0), 0.0, 1.0))
