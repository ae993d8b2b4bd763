"""Volumes with copies of macromolecules at known places: truth for template matching."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt, spline_filter
from scipy.spatial.transform import Rotation

from engine.data.arrays import Float32s, Ints
from engine.data.orientations import no_rotations
from engine.data.tomogram import TiltRange
from engine.errors import BadInputError
from engine.matching.masked_template import rotate_volume, voxel_offsets_xyz
from engine.physics.missing_wedge import apply_missing_wedge

MOST_TRIES = 20_000
# Of a background's density that counts as nothing.
EMPTY = 0.05


@dataclass(frozen=True)
class PlantedScene:
    """A volume and what lies in it.

    Attributes
    ----------
    voxels
        float32 (z, y, x), protein bright.
    positions_vox
        int (n, 3), (z, y, x).
    rotations
        n, reference onto copy.
    kinds
        (n,) index of the structure.
    noise_deviation
        Of the white noise, before the wedge.
    """

    voxels: Float32s
    positions_vox: Ints
    rotations: Rotation
    kinds: Ints
    noise_deviation: float


def blob_chain(
    box_vox: int, radius_vox: float, n_blobs: int, *, rng: np.random.Generator
) -> Float32s:
    """A chain of Gaussian blobs without symmetry inside a sphere, centred.

    Blobs have sigmas of 1.2 to 2.2 voxels and are 3.5 voxels apart along a self-avoiding walk
    that prefers to go on straight, as domains of a complex do.

    Returns
    -------
    Float32s
        (box, box, box), at least 0.
    """
    step, reach = 3.5, radius_vox - 2.0
    points = _walk(n_blobs, step, reach, rng)
    axis = np.arange(box_vox) - box_vox // 2
    grid = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)
    density = np.zeros((box_vox,) * 3)
    for point in points:
        sigma = rng.uniform(1.2, 2.2)
        density += np.exp(-((grid - point) ** 2).sum(axis=-1) / (2.0 * sigma**2))
    return density.astype(np.float32)


def _walk(n: int, step: float, reach: float, rng: np.random.Generator) -> np.ndarray:
    while True:
        points = [np.zeros(3)]
        direction = _unit(rng.normal(size=3))
        for _ in range(400):
            if len(points) == n:
                break
            direction = _unit(direction + 0.7 * rng.normal(size=3))
            new = points[-1] + step * direction
            apart = np.linalg.norm(np.array(points) - new, axis=1)
            if np.linalg.norm(new) < 2 * reach and apart.min() > 0.9 * step:
                points.append(new)
        centred = np.array(points) - np.mean(points, axis=0)
        if len(points) == n and np.linalg.norm(centred, axis=1).max() <= reach:
            return np.asarray(centred)


def _unit(vector: np.ndarray) -> np.ndarray:
    return np.asarray(vector / np.linalg.norm(vector))


def planted_scene(
    structures: tuple[Float32s, ...],
    counts: tuple[int, ...],
    shape: tuple[int, int, int],
    *,
    snr: float,
    snr_radius_vox: float | None,
    distances_vox: tuple[float, ...],
    margin_vox: int,
    tilt_range: TiltRange | None,
    rng: np.random.Generator,
    background: Float32s | None = None,
) -> PlantedScene:
    """Copies in random orientations at whole voxels, white noise, missing wedge.

    Parameters
    ----------
    structures
        Cubic densities, centre n // 2.
    snr
        Signal variance over noise variance, before the missing wedge takes its share of both: of
        the first structure within `snr_radius_vox`, or, where that is None, of the whole volume
        within the copies' spheres.
    distances_vox
        Radius of each structure: two copies are at least the sum of theirs apart.
    margin_vox
        Centres are at least this far from the faces.
    tilt_range
        Applied to signal and noise.
    background
        (z, y, x), what else is there; copies keep clear of it by their radius.

    Raises
    ------
    BadInputError
        The copies do not fit.
    """
    positions, kinds = _places(counts, shape, distances_vox, margin_vox, background, rng)
    rotations = Rotation.random(len(kinds), rng=rng) if len(kinds) else no_rotations()
    largest = max(s.shape[0] for s in structures)
    voxels = np.zeros([n + 2 * largest for n in shape], dtype=np.float32)
    for kind, structure in enumerate(structures):
        box = structure.shape[0]
        spline = spline_filter(structure.astype(np.float64), order=3)
        offsets = voxel_offsets_xyz(box)
        for index in np.flatnonzero(kinds == kind):
            copy = rotate_volume(spline, rotations[int(index)], offsets).reshape((box,) * 3)
            low = positions[index] + largest - box // 2
            voxels[tuple(slice(a, a + box) for a in low)] += copy
    voxels = voxels[tuple(slice(largest, largest + n) for n in shape)]
    if background is not None:
        voxels = voxels + background
    if snr_radius_vox is None:
        variance = _variance_inside(voxels, positions, [distances_vox[k] for k in kinds])
    else:
        variance = float(structures[0][_sphere(structures[0].shape[0], snr_radius_vox)].var())
    deviation = float(np.sqrt(variance / snr))
    voxels = voxels + rng.standard_normal(shape, dtype=np.float32) * np.float32(deviation)
    if tilt_range is not None:
        voxels = apply_missing_wedge(torch.from_numpy(voxels), tilt_range).numpy()
    return PlantedScene(voxels, positions, rotations, kinds, deviation)


def _sphere(box_vox: int, radius_vox: float) -> np.ndarray:
    axis = np.arange(box_vox) - box_vox // 2
    squared = axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + axis[None, None, :] ** 2
    return np.asarray(squared <= radius_vox**2)


def _variance_inside(voxels: Float32s, positions: Ints, radii_vox: list[float]) -> float:
    values = []
    for position, radius in zip(positions, radii_vox, strict=True):
        reach = int(np.ceil(radius))
        low = np.maximum(position - reach, 0)
        cut = voxels[tuple(slice(a, c + reach + 1) for a, c in zip(low, position, strict=True))]
        grids = np.meshgrid(
            *(np.arange(n) + a - c for n, a, c in zip(cut.shape, low, position, strict=True)),
            indexing="ij",
        )
        values.append(cut[sum(g**2 for g in grids) <= radius**2])
    return float(np.concatenate(values).var())


def _places(
    counts: tuple[int, ...],
    shape: tuple[int, int, int],
    distances_vox: tuple[float, ...],
    margin_vox: int,
    background: Float32s | None,
    rng: np.random.Generator,
) -> tuple[Ints, Ints]:
    order = [kind for kind, count in enumerate(counts) for _ in range(count)]
    order.sort(key=lambda kind: -distances_vox[kind])
    clear = (
        distance_transform_edt(background < EMPTY)
        if background is not None
        else np.full(shape, np.inf)
    )
    places: list[np.ndarray] = []
    kinds: list[int] = []
    for kind in order:
        for _ in range(MOST_TRIES):
            place = np.array([rng.integers(margin_vox, n - margin_vox) for n in shape])
            if clear[tuple(place)] < distances_vox[kind]:
                continue
            if not places:
                break
            needed = np.array([distances_vox[k] for k in kinds]) + distances_vox[kind]
            if (np.linalg.norm(np.array(places) - place, axis=1) >= needed).all():
                break
        else:
            raise BadInputError(f"{sum(counts)} copies do not fit into {shape} voxels")
        places.append(place)
        kinds.append(kind)
    return np.array(places, dtype=np.int64).reshape(-1, 3), np.array(kinds, dtype=np.int64)
