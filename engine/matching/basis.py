"""Low-rank matching: all rotations of all templates in the span of a few volumes.

Every masked template is expanded in spherical harmonics on spheres around its centre. A rotation
mixes only the orders within a degree, so the volumes u(r) Y_lm with a few radial functions u per
degree span every rotation of every template; one correlation per volume and a matrix product give
the correlations with all of them. For a dense set of rotations this is the singular-vector basis,
without rotating a volume (field: Chen et al. 2013, doi:10.1016/j.jsb.2013.03.002 for harmonics in
alignment; the ranking of degrees and the scan are ours).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.ndimage import spline_filter
from scipy.spatial.transform import Rotation

from engine.data.arrays import Float32s, Float64s, Ints
from engine.errors import BadInputError
from engine.matching.harmonics import real_harmonics, turned
from engine.matching.masked_template import MaskedTemplate, rotate_volume, voxel_offsets_xyz

RADIAL_STEP_VOX = 0.5
LARGEST_DEGREE = 24


@dataclass(frozen=True)
class Blocks:
    """A radial function of one degree: 2 l + 1 volumes of the basis.

    Attributes
    ----------
    degree
        l.
    start
        Index of its first volume (order -l).
    """

    degree: int
    start: int


@dataclass(frozen=True)
class TemplateBasis:
    """Volumes that span all rotations of all templates.

    Attributes
    ----------
    templates
        In the order given.
    volumes
        float32 (K, n, n, n), ordered by block, the most telling block first.
    degrees
        (K,) degree of each volume: even ones are symmetric, odd ones antisymmetric.
    blocks
        One a radial function.
    coefficients
        Per template, per degree: (2 l + 1, c_l), the unrotated template; columns as in
        `columns`.
    columns
        Per degree: the block that each of its columns belongs to.
    kept_correlation
        Per template: the share of its norm in the span, the same for every rotation.
    """

    templates: tuple[MaskedTemplate, ...]
    volumes: Float32s
    degrees: Ints
    blocks: tuple[Blocks, ...]
    coefficients: tuple[tuple[Float64s, ...], ...]
    columns: tuple[tuple[int, ...], ...]
    kept_correlation: tuple[float, ...]

    @property
    def size(self) -> int:
        """Number of volumes, K."""
        return len(self.volumes)

    @property
    def support_vox(self) -> int:
        """Largest offset along an axis at which a volume or mask is not 0, voxels."""
        return int(np.abs(self.support_offsets).max())

    @cached_property
    def mask_numbers(self) -> tuple[int, ...]:
        """Number of each template's mask among `distinct_masks`."""
        numbers: list[int] = []
        firsts: list[Float32s] = []
        for template in self.templates:
            same = [i for i, mask in enumerate(firsts) if np.array_equal(mask, template.mask)]
            numbers.append(same[0] if same else len(firsts))
            if not same:
                firsts.append(template.mask)
        return tuple(numbers)

    @cached_property
    def distinct_masks(self) -> tuple[Float32s, ...]:
        """Masks of the templates, equal ones once: local norms are taken once for each."""
        n = max(self.mask_numbers) + 1
        return tuple(self.templates[self.mask_numbers.index(i)].mask for i in range(n))

    @cached_property
    def support(self) -> Ints:
        """Flat indices of the voxels where any volume or mask is not 0."""
        flat = self.volumes.reshape(self.size, -1)
        masks = np.stack([template.mask.ravel() for template in self.templates])
        used: Ints = np.flatnonzero(np.any(flat != 0, axis=0) | np.any(masks > 0, axis=0))
        return used

    @cached_property
    def support_offsets(self) -> Ints:
        """Offsets (n, 3) of `support` from the centre, (z, y, x)."""
        box = self.volumes.shape[1:]
        offsets: Ints = np.stack(np.unravel_index(self.support, box), axis=1) - box[0] // 2
        return offsets

    @cached_property
    def support_values(self) -> Float32s:
        """Volumes at `support`, (K, n)."""
        values: Float32s = np.ascontiguousarray(
            self.volumes.reshape(self.size, -1)[:, self.support]
        )
        return values

    def coefficients_of(self, template: int, rotations: Rotation) -> Float32s:
        """Coefficients (n, K) of a template's rotated copies."""
        blocks = turned(list(self.coefficients[template]), rotations)
        out = np.zeros((len(rotations), self.size), dtype=np.float32)
        for degree, names in enumerate(self.columns):
            for column, name in enumerate(names):
                start = self.blocks[name].start
                out[:, start : start + 2 * degree + 1] = blocks[degree][:, :, column]
        return out


@dataclass(frozen=True)
class _Expansion:
    """Templates on spheres: per degree (n_templates, n_radii, 2 l + 1)."""

    radii_vox: Float64s
    by_degree: tuple[Float64s, ...]


def template_basis(
    templates: tuple[MaskedTemplate, ...], *, keep: float, largest: int
) -> TemplateBasis:
    """Smallest basis that keeps a share of every template's norm in every rotation.

    Parameters
    ----------
    keep
        Correlation of a rotated template with its image in the span, e.g. 0.99.
    largest
        Volumes at most; fewer are kept then, `kept_correlation` says how much that is.

    Raises
    ------
    BadInputError
        Boxes or samplings differ.
    """
    _require_same_box(templates)
    expansion = _expand(templates)
    radial, strengths = _radial_functions(expansion)
    chosen = _choose(strengths, keep, largest)
    box_vox = templates[0].voxels.shape[0]
    blocks, start = [], 0
    for degree, _ in chosen:
        blocks.append(Blocks(degree, start))
        start += 2 * degree + 1
    n_degrees = max(degree for degree, _ in chosen) + 1
    columns = tuple(
        tuple(index for index, (degree, _) in enumerate(chosen) if degree == wanted)
        for wanted in range(n_degrees)
    )
    coefficients = tuple(
        tuple(
            np.stack(
                [
                    radial[degree][:, chosen[i][1]] @ _weighted(expansion, degree)[t]
                    for i in columns[degree]
                ],
                axis=1,
            )
            if columns[degree]
            else np.empty((2 * degree + 1, 0))
            for degree in range(n_degrees)
        )
        for t in range(len(templates))
    )
    kept = tuple(
        float(np.sqrt(min(1.0, sum((block**2).sum() for block in of_template))))
        for of_template in coefficients
    )
    return TemplateBasis(
        templates=templates,
        volumes=_volumes(expansion.radii_vox, radial, chosen, box_vox),
        degrees=np.concatenate([np.full(2 * degree + 1, degree) for degree, _ in chosen]),
        blocks=tuple(blocks),
        coefficients=coefficients,
        columns=columns,
        kept_correlation=kept,
    )


def _require_same_box(templates: tuple[MaskedTemplate, ...]) -> None:
    shapes = {t.voxels.shape for t in templates}
    if len(shapes) != 1:
        raise BadInputError(f"templates that share a basis need one box, found {sorted(shapes)}")


def _expand(templates: tuple[MaskedTemplate, ...]) -> _Expansion:
    """Sample the templates on spheres and integrate against the harmonics."""
    reach = max(t.support_radius_vox for t in templates) + 1.0
    n_radii = int(np.ceil(reach / RADIAL_STEP_VOX))
    radii = (np.arange(n_radii) + 0.5) * RADIAL_STEP_VOX
    degree = int(min(LARGEST_DEGREE, np.ceil(2.0 * reach)))
    cosines, weights = np.polynomial.legendre.leggauss(degree + 8)
    azimuths = np.arange(2 * degree + 16) * (2 * np.pi / (2 * degree + 16))
    sines = np.sqrt(1.0 - cosines**2)
    directions = np.stack(
        [
            np.outer(sines, np.cos(azimuths)).ravel(),
            np.outer(sines, np.sin(azimuths)).ravel(),
            np.repeat(cosines, len(azimuths)),
        ],
        axis=1,
    )
    quadrature = np.repeat(weights, len(azimuths)) * (2 * np.pi / len(azimuths))
    projector = real_harmonics(degree, directions) * quadrature[:, None]
    places = (radii[:, None, None] * directions[None]).reshape(-1, 3)
    by_degree: list[list[Float64s]] = [[] for _ in range(degree + 1)]
    for template in templates:
        filtered = spline_filter(template.voxels.astype(np.float64), order=3)
        values = rotate_volume(filtered, Rotation.identity(), places)
        parts = values.reshape(n_radii, -1) @ projector
        # Unit norm on the spheres: interpolation loses a little of the grid's.
        scale = np.sqrt((parts**2 * radii[:, None] ** 2).sum() * RADIAL_STEP_VOX)
        for own in range(degree + 1):
            by_degree[own].append(parts[:, own * own : (own + 1) ** 2] / scale)
    return _Expansion(
        radii.astype(np.float64), tuple(np.stack(parts).astype(np.float64) for parts in by_degree)
    )


def _weighted(expansion: _Expansion, degree: int) -> Float64s:
    """Expansion of one degree times sqrt(volume element): plain sums become integrals."""
    weight = expansion.radii_vox * np.sqrt(RADIAL_STEP_VOX)
    weighted: Float64s = expansion.by_degree[degree] * weight[None, :, None]
    return weighted


def _radial_functions(expansion: _Expansion) -> tuple[list[Float64s], list[Float64s]]:
    """Per degree: radial functions (rank, n_radii) and squared strength (templates, rank)."""
    radial, strengths = [], []
    for degree in range(len(expansion.by_degree)):
        parts = _weighted(expansion, degree)
        flat = parts.transpose(1, 0, 2).reshape(parts.shape[1], -1)
        left, _, _ = np.linalg.svd(flat, full_matrices=False)
        radial.append(left.T)
        strengths.append((np.einsum("kr,trm->tkm", left.T, parts) ** 2).sum(axis=2).T)
    return [r.T for r in radial], strengths


def _choose(strengths: list[Float64s], keep: float, largest: int) -> list[tuple[int, int]]:
    """(degree, radial function) in the order of what each volume adds to the worst template.

    `strengths[l]` is (rank, templates). A block of degree l costs 2 l + 1 volumes.
    """
    n_templates = strengths[0].shape[1]
    held = np.zeros(n_templates)
    left = {
        (degree, index): strengths[degree][index]
        for degree in range(len(strengths))
        for index in range(len(strengths[degree]))
    }
    chosen: list[tuple[int, int]] = []
    size = 0
    while left and (held < keep**2).any():
        missing = held < keep**2
        key = max(
            left,
            key=lambda k: float(left[k][missing].sum()) / (2 * k[0] + 1),
        )
        if size + 2 * key[0] + 1 > largest:
            break
        held += left.pop(key)
        chosen.append(key)
        size += 2 * key[0] + 1
    return chosen


def _volumes(
    radii_vox: Float64s,
    radial: list[Float64s],
    chosen: list[tuple[int, int]],
    box_vox: int,
) -> Float32s:
    """Basis volumes on the voxel grid."""
    offsets = voxel_offsets_xyz(box_vox)
    distance = np.linalg.norm(offsets, axis=1)
    reach = radii_vox[-1]
    # Only offsets whose opposites lie in the box too: even degrees then have real transforms and
    # odd ones imaginary ones, exactly.
    inside = (distance < reach) & (offsets > -box_vox / 2).all(axis=1)
    largest = max(degree for degree, _ in chosen)
    harmonics = real_harmonics(largest, offsets[inside]).astype(np.float32)
    out = np.zeros((sum(2 * degree + 1 for degree, _ in chosen), box_vox**3), dtype=np.float32)
    start = 0
    weight = radii_vox * np.sqrt(RADIAL_STEP_VOX)
    for degree, index in chosen:
        profile = radial[degree][:, index] / weight
        # f(r) ~ r^l near the centre: the mirrored values make the spline even or odd there.
        mirrored = profile[:3][::-1] * (-1.0) ** degree
        spline = CubicSpline(
            np.concatenate([-radii_vox[:3][::-1], radii_vox]),
            np.concatenate([mirrored, profile]),
        )
        values = spline(distance[inside]).astype(np.float32)
        block = harmonics[:, degree * degree : (degree + 1) ** 2] * values[:, None]
        out[start : start + 2 * degree + 1, inside] = block.T
        start += 2 * degree + 1
    return out.reshape(-1, box_vox, box_vox, box_vox)
