"""A molecular atlas: every accepted copy of a known structure put back where it was found.

Visual proteomics' last step (Nickell et al. 2006, doi:10.1038/nrm1861; Foerster, Han & Beck 2010,
doi:10.1016/S0076-6879(10)83011-3): templates at their positions and in their orientations give a
density and a label volume of the molecules alone.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import spline_filter
from scipy.spatial import KDTree
from scipy.spatial.transform import Rotation

from engine.data.arrays import Bools, Float32s, Float64s, Ints
from engine.data.particles import ParticleSet
from engine.errors import BadInputError
from engine.matching.abundance import Abundance, abundance
from engine.matching.masked_template import rotate_volume
from engine.matching.template_shape import TemplateShape

LARGEST_LABEL = int(np.iinfo(np.uint16).max)
# A cubic spline's influence is below 2 % two voxels away.
SPLINE_REACH_VOX = 2


@dataclass(frozen=True)
class Atlas:
    """Copies put into a volume.

    Attributes
    ----------
    particles
        The accepted ones, in the order given.
    template_ids
        In the order of the class ids, which start at 1.
    density
        float32 (z, y, x): 1 is a template's own mean contrast, 0 where there is no copy; edges
        that overlap add up.
    labels
        uint16 (z, y, x): class id, 0 outside every copy's shape.
    instances
        uint16 (z, y, x): 1 + index in `particles`.
    """

    particles: ParticleSet
    template_ids: tuple[str, ...]
    density: Float32s
    labels: np.ndarray
    instances: np.ndarray
    voxel_size_angst: float

    @property
    def class_index(self) -> Ints:
        """Index (n,) of each particle's template."""
        numbers = {name: i for i, name in enumerate(self.template_ids)}
        return np.array([numbers[name] for name in self.particles.class_names], dtype=np.int64)

    @property
    def probability(self) -> Float64s:
        """Of each particle, (n,)."""
        return np.asarray(self.particles.figures["probability"])


@dataclass(frozen=True)
class AtlasRow:
    """One template's share of an atlas.

    Attributes
    ----------
    n_placed
        Accepted copies, those in the volume.
    n_picks
        Accepted or not.
    abundance
        Of all picks, each with its probability: it does not depend on what is accepted.
    nearest_nm
        Median distance of an accepted copy to the nearest other one of each template, in the
        order of the class ids; None where there is none.
    """

    template_id: str
    class_id: int
    n_placed: int
    n_picks: int
    abundance: Abundance
    nearest_nm: tuple[float | None, ...]

    @property
    def nearest_neighbour_median_nm(self) -> float | None:
        """To the nearest copy of the same template."""
        return self.nearest_nm[self.class_id - 1]


def accepted(particles: ParticleSet, minimum_probability: float) -> Bools:
    """Which particles (n,) are at least so probable; one without a probability is not."""
    return np.asarray(particles.figures["probability"] >= minimum_probability)


def build_atlas(
    particles: ParticleSet,
    shapes: tuple[TemplateShape, ...],
    volume_shape: tuple[int, int, int],
    *,
    voxel_size_angst: float,
    minimum_probability: float = 0.5,
    on_progress: Callable[[float], None] | None = None,
) -> Atlas:
    """Put the accepted particles into a volume, each in its own window.

    Parameters
    ----------
    particles
        Of one tomogram, with the figure `probability`. May be empty.
    shapes
        One a template, of the volume's sampling; the first gets class id 1.
    volume_shape
        (z, y, x). What reaches beyond the faces is cut off.

    Raises
    ------
    BadInputError
        A particle of a template that is not given or with its centre outside the volume; more
        than 65535 accepted ones.
    """
    template_ids = tuple(shape.template_id for shape in shapes)
    _require_templates(particles, template_ids)
    _require_inside(particles, volume_shape, voxel_size_angst)
    # SciPy refuses to index an empty stack of rotations.
    is_kept = accepted(particles, minimum_probability)
    kept = particles.take(is_kept) if len(particles) else particles
    if len(kept) > LARGEST_LABEL:
        raise BadInputError(
            f"expected at most {LARGEST_LABEL} particles in an atlas, found {len(kept)}; raise "
            "the smallest probability"
        )
    density = np.zeros(volume_shape, dtype=np.float32)
    labels, instances = (np.zeros(volume_shape, dtype=np.uint16) for _ in range(2))
    atlas = Atlas(kept, template_ids, density, labels, instances, voxel_size_angst)
    splines = [spline_filter(shape.contrast.astype(np.float64), order=3) for shape in shapes]
    kinds = atlas.class_index
    # The more probable one comes first and keeps what it has.
    for done, index in enumerate(np.argsort(-atlas.probability, kind="stable")):
        kind = int(kinds[index])
        window, copy = turned_copy(
            shapes[kind],
            splines[kind],
            kept.rotations[int(index)],
            kept.positions_angst[index] / voxel_size_angst,
            volume_shape,
        )
        density[window] += copy.astype(np.float32)
        free = (labels[window] == 0) & (copy > shapes[kind].level)
        labels[window][free] = kind + 1
        instances[window][free] = index + 1
        if on_progress:
            on_progress((done + 1) / len(kept))
    return atlas


def turned_copy(
    shape: TemplateShape,
    spline: Float64s,
    rotation: Rotation,
    position_vox: Float64s,
    volume_shape: tuple[int, int, int],
) -> tuple[tuple[slice, ...], Float64s]:
    """Window of a volume that a copy reaches, and the copy's density on its voxels.

    Parameters
    ----------
    spline
        Coefficients of the shape's contrast (`scipy.ndimage.spline_filter`, order 3).
    position_vox
        (3,) of the template's centre, (z, y, x), with fractions.
    """
    reach_vox = shape.reach_vox + SPLINE_REACH_VOX
    low = np.maximum(np.ceil(position_vox - reach_vox).astype(int), 0)
    high = np.minimum(np.floor(position_vox + reach_vox).astype(int) + 1, volume_shape)
    axes = [np.arange(a, b) - p for a, b, p in zip(low, high, position_vox, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    offsets_xyz = np.stack([x.ravel(), y.ravel(), z.ravel()], axis=1)
    copy = rotate_volume(spline, rotation, offsets_xyz).reshape(z.shape)
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True)), copy


def nearest_distances_nm(atlas: Atlas) -> Float64s:
    """Distance (n, n_templates) of each particle to the nearest other one of each template.

    NaN where there is none.
    """
    kinds, places_nm = atlas.class_index, atlas.particles.positions_angst / 10.0
    distances = np.full((len(kinds), len(atlas.template_ids)), np.nan)
    for kind in range(len(atlas.template_ids)):
        own = kinds == kind
        if own.any():
            found = KDTree(places_nm[own]).query(places_nm, k=[1, 2])[0]
            nearest = np.where(own, found[:, 1], found[:, 0])
            distances[:, kind] = np.where(np.isfinite(nearest), nearest, np.nan)
    return distances


def atlas_rows(atlas: Atlas, picks: ParticleSet, n_searched_vox: int) -> tuple[AtlasRow, ...]:
    """What each template has in the atlas and, by all picks, in the searched volume.

    Parameters
    ----------
    picks
        All of them, accepted or not.
    """
    distances = nearest_distances_nm(atlas)
    probability = picks.figures["probability"]
    rows = []
    for index, name in enumerate(atlas.template_ids):
        own = np.array([other == name for other in picks.class_names], dtype=bool)
        placed = atlas.class_index == index
        known = probability[own & np.isfinite(probability)]
        rows.append(
            AtlasRow(
                template_id=name,
                class_id=index + 1,
                n_placed=int(placed.sum()),
                n_picks=int(own.sum()),
                abundance=abundance(known, n_searched_vox, atlas.voxel_size_angst),
                nearest_nm=tuple(_median(column) for column in distances[placed].T),
            )
        )
    return tuple(rows)


def _median(values: Float64s) -> float | None:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else None


def _require_templates(particles: ParticleSet, template_ids: tuple[str, ...]) -> None:
    unknown = sorted(set(particles.class_names) - set(template_ids))
    if unknown:
        raise BadInputError(
            f"expected a template for every pick, found picks of {', '.join(unknown)} and only "
            f"the templates {', '.join(template_ids)}; give those too"
        )


def _require_inside(
    particles: ParticleSet, volume_shape: tuple[int, int, int], voxel_size_angst: float
) -> None:
    places_vox = particles.positions_angst / voxel_size_angst
    outside = ((places_vox < -0.5) | (places_vox > np.array(volume_shape) - 0.5)).any(axis=1)
    if outside.any():
        place_nm = particles.positions_angst[outside][0] / 10.0
        size_nm = [n * voxel_size_angst / 10.0 for n in volume_shape]
        raise BadInputError(
            "expected picks within the tomogram, "
            + "{:.4g} x {:.4g} x {:.4g} nm (z, y, x), ".format(*size_nm)
            + f"found {outside.sum()} outside, the first at "
            + "{:.4g}, {:.4g}, {:.4g} nm; ".format(*place_nm)
            + "give the tomogram that was matched"
        )
