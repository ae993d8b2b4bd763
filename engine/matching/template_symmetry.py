"""Whether a map has the symmetry that is claimed for it."""

import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation

from engine.data.arrays import Float32s, Float64s
from engine.data.template import SYMMETRY
from engine.errors import BadInputError

# Below it a search over the asymmetric part of the rotations would miss particles.
SMALLEST_CORRELATION = 0.9


def symmetry_generators(symmetry: str) -> tuple[Rotation, ...]:
    """Rotations, acting on (x, y, z), that generate `Cn` or `Dn`; none for `C1`.

    The n-fold axis is z, a two-fold axis of `Dn` is x.

    Raises
    ------
    BadInputError
        Another symmetry.
    """
    if not SYMMETRY.match(symmetry):
        raise BadInputError(f"expected a symmetry C1, Cn or Dn, found {symmetry!r}")
    n_fold = int(symmetry[1:])
    turns = [Rotation.from_euler("z", 360.0 / n_fold, degrees=True)] if n_fold > 1 else []
    if symmetry[0] == "D":
        turns.append(Rotation.from_euler("x", 180.0, degrees=True))
    return tuple(turns)


def symmetry_correlation(voxels: Float32s, mask: Float32s, symmetry: str) -> float:
    """Lowest correlation, under the mask, of a map with its copies turned by the generators.

    Parameters
    ----------
    voxels, mask
        (n, n, n), turned about voxel `n // 2`.

    Returns
    -------
    float
        1 for `C1`.
    """
    turns = symmetry_generators(symmetry)
    weight = mask.astype(np.float64)
    density = voxels.astype(np.float64)
    return min((_correlation(density, _turned(density, turn), weight) for turn in turns), default=1)


def require_symmetry(voxels: Float32s, mask: Float32s, symmetry: str, name: str) -> None:
    """Check that a map has the symmetry claimed for it.

    Raises
    ------
    BadInputError
        A correlation below 0.9, or no symmetry `C1`, `Cn` or `Dn`.
    """
    found = symmetry_correlation(voxels, mask, symmetry)
    if not found >= SMALLEST_CORRELATION:
        raise BadInputError(
            f"{name}: expected a map with symmetry {symmetry} (n-fold along z, two-fold along x, "
            f"through voxel n // 2), found a correlation of {found:.2f} with its turned copy where "
            f"{SMALLEST_CORRELATION} is needed; give another --symmetry or align the map",
            correlation=found,
        )


def _turned(density: Float64s, turn: Rotation) -> Float64s:
    """Turned about voxel `n // 2`; cubic spline, 0 outside."""
    back_zyx = turn.inv().as_matrix()[::-1, ::-1]
    middle = np.array([n // 2 for n in density.shape], dtype=np.float64)
    offset = middle - back_zyx @ middle
    return np.asarray(ndimage.affine_transform(density, back_zyx, offset=offset, order=3))


def _correlation(a: Float64s, b: Float64s, weight: Float64s) -> float:
    total = weight.sum()
    a = a - (weight * a).sum() / total
    b = b - (weight * b).sum() / total
    norm = np.sqrt((weight * a**2).sum() * (weight * b**2).sum())
    return float((weight * a * b).sum() / norm) if norm > 0 else 0.0
