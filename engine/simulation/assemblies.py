"""Densities of complexes that do not exist: subunits of random domains under a point group.

They teach a classifier what structures may look like, so that it tells apart those that no training
saw.
"""

from itertools import pairwise

import numpy as np
from scipy.spatial.transform import Rotation

from engine.data.arrays import Float32s, Float64s
from engine.simulation.macromolecules import EMPTY

# Point groups and how often they are drawn: most complexes are rings, or rings back to back.
POINT_GROUPS = {
    "C1": 6, "C2": 3, "C3": 2, "C4": 1, "C5": 1, "C6": 2, "C7": 1, "C8": 1,
    "D2": 3, "D3": 2, "D4": 2, "D5": 1, "D6": 1, "D7": 2, "D8": 1, "T": 1, "O": 1,
}  # fmt: skip
RADII_ANGST = (45.0, 140.0)
# Of a subunit's domains, beside the radius of the whole.
DOMAIN_SIGMA_ANGST = (11.0, 24.0)


def random_assembly(box_vox: int, voxel_size_angst: float, *, rng: np.random.Generator) -> Float32s:
    """A complex of random domains, subunits and symmetry, centred on voxel `box // 2`.

    Parameters
    ----------
    box_vox
        Side of the volume; radii from 4.5 nm to 14 nm, or what the box holds.

    Returns
    -------
    Float32s
        (box, box, box), from 0 to 1; about 1 within.
    """
    largest = min(RADII_ANGST[1], (box_vox // 2 - 3) * voxel_size_angst)
    radius = rng.uniform(RADII_ANGST[0], max(largest, RADII_ANGST[0] + 1.0))
    names = list(POINT_GROUPS)
    weights = np.array([POINT_GROUPS[name] for name in names], dtype=float)
    group = Rotation.create_group(str(rng.choice(names, p=weights / weights.sum())), axis="Z")
    domains = _subunit(radius, len(group), rng)
    points = np.concatenate([turn.apply(domains[:, :3]) for turn in group])
    # A ring lies where its subunits do: off the centre along its axis.
    points = points - points.mean(axis=0)
    sigmas = np.tile(domains[:, 3], len(group))
    return _density(points, sigmas, box_vox, voxel_size_angst)


def _subunit(radius: float, n_copies: int, rng: np.random.Generator) -> Float64s:
    """Domains (n, 4) of one subunit, (x, y, z, sigma) in angstrom; the complex has the radius."""
    wanted = int(rng.integers(1, 7)) if n_copies > 2 else int(rng.integers(4, 16))
    low, high = DOMAIN_SIGMA_ANGST
    sigmas = np.minimum(rng.uniform(low, high, size=wanted), 0.35 * radius)
    start = rng.normal(size=3) * (1.0, 1.0, 0.7)
    if n_copies <= 2:
        start = 0.3 * start
    points = [start / max(float(np.linalg.norm(start)), 1e-9) * 0.6 * radius]
    for before, own in pairwise(sigmas):
        direction = rng.normal(size=3)
        step = rng.uniform(1.0, 1.6) * (before + own)
        points.append(points[-1] + step * direction / np.linalg.norm(direction))
    centres = np.array(points)
    reach = float((np.linalg.norm(centres, axis=1) + 1.5 * sigmas).max())
    return np.column_stack([centres * (radius / reach), sigmas * min(1.0, radius / reach)])


def _density(points: Float64s, sigmas: Float64s, box_vox: int, voxel_size_angst: float) -> Float32s:
    axis = (np.arange(box_vox) - box_vox // 2) * voxel_size_angst
    total = np.zeros((box_vox,) * 3)
    for point, sigma in zip(points, sigmas, strict=True):
        x, y, z = (np.exp(-((axis - place) ** 2) / (2.0 * sigma**2)) for place in point)
        total += z[:, None, None] * y[None, :, None] * x[None, None, :]
    # Domains that overlap are no denser than protein is.
    density = np.tanh(1.5 * total)
    density[density < EMPTY] = 0.0
    return density.astype(np.float32)
