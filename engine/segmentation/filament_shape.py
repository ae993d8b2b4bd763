"""Curvature and common direction of traced filaments."""

from collections.abc import Callable, Sequence

import numpy as np

from engine.data.arrays import Float64s
from engine.data.filaments import Filament

# Chords over which directions are taken: a spline through voxels wobbles over less.
CHORD_NM = 30.0
# Shorter filaments have no curvature worth the name.
SHORTEST_CURVED_NM = 100.0
RESAMPLES = 400


def chords(filament: Filament) -> Float64s:
    """Unit vectors (n, 3) along a filament, one every 30 nm; (0, 3) where it is shorter."""
    nodes = filament.points_angst / 10.0
    steps = np.linalg.norm(np.diff(nodes, axis=0), axis=1)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    count = int(along[-1] / CHORD_NM + 1e-6)
    if count < 1:
        return np.empty((0, 3))
    wanted = np.linspace(0.0, along[-1], count + 1)
    points = np.stack([np.interp(wanted, along, nodes[:, axis]) for axis in range(3)], axis=1)
    vectors = np.diff(points, axis=0)
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))


def curvature_rms_per_um(filaments: Sequence[Filament]) -> float | None:
    """Root mean square curvature over all chords; None without a filament of 100 nm."""
    squares: list[Float64s] = []
    for one in filaments:
        if one.length_nm < SHORTEST_CURVED_NM:
            continue
        directions = chords(one)
        bend = np.arccos(np.clip((directions[1:] * directions[:-1]).sum(axis=1), -1.0, 1.0))
        step_um = one.length_nm / len(directions) * 1e-3
        squares.append((bend / step_um) ** 2)
    return float(np.sqrt(np.concatenate(squares).mean())) if squares else None


def nematic_order(filaments: Sequence[Filament]) -> float | None:
    """Order parameter of the directions, by length: 1 all parallel, 0 without common direction.

    Largest eigenvalue of the mean of (3 u u - 1) / 2 over chords u; None without chords. Few
    chords are never without order: a single one has 1.

    References
    ----------
    de Gennes & Prost, The Physics of Liquid Crystals (1993), section 2.1.
    """
    directions = np.concatenate([np.empty((0, 3)), *(chords(one) for one in filaments)])
    if len(directions) == 0:
        return None
    tensor = 1.5 * directions.T @ directions / len(directions) - 0.5 * np.eye(3)
    return float(np.linalg.eigvalsh(tensor)[-1])


def filament_interval(
    filaments: Sequence[Filament],
    measure: Callable[[Sequence[Filament]], float | None],
    seed: int = 0,
) -> tuple[float, float] | None:
    """95 % percentile bootstrap of a measure over filaments; None with fewer than two."""
    if len(filaments) < 2:
        return None
    rng = np.random.default_rng(seed)
    drawn = (
        measure([filaments[index] for index in rng.integers(len(filaments), size=len(filaments))])
        for _ in range(RESAMPLES)
    )
    values = [value for value in drawn if value is not None]
    if not values:
        return None
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
