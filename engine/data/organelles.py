"""One separated organelle with its morphometry."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Organelle:
    """A membrane-bound instance.

    Attributes
    ----------
    instance_id
        Id in the instance volume, from 1.
    organelle_class
        One of `INSTANCE_CLASSES`.
    volume_um3, surface_um2, sphericity
        Sphericity is pi^(1/3) (6 V)^(2/3) / A (Wadell 1935, doi:10.1086/624298).
    centroid_angst
        (z, y, x), angstrom from the centre of voxel (0, 0, 0).
    touches_border
        True where the instance is cut by a face of the volume.
    confidence
        Mean class probability over its voxels, in [0, 1].
    is_counted_unbiased
        False where it reaches a far face (last z, y or x): the unbiased brick leaves it out.
    length_nm, smallest_diameter_nm, n_branches
        Along the middle line, of the largest ball inside, and what sticks out of the middle line.
    membrane_distance_nm
        Smallest distance to the cell's outline; None where none is in view.
    membrane_spacing_nm, crista_volume_ratio, n_crista_junctions
        Of mitochondria whose membranes were seen, see
        `engine.segmentation.mitochondrion_anatomy`; else None.
    n_matrix_granules, matrix_granule_diameter_nm
        Of mitochondria, where a network looked for granules; the mean diameter of balls of their
        volumes, None where there is none.
    state, state_probability
        Of mitochondria, one of `MITOCHONDRION_STATES` and its probability; None where no network
        looked, or where it is unlike all of them.

    References
    ----------
    Unbiased brick: Gundersen (1977), doi:10.1111/j.1365-2818.1977.tb00062.x.
    """

    instance_id: int
    organelle_class: str
    volume_um3: float
    surface_um2: float
    sphericity: float
    centroid_angst: tuple[float, float, float]
    touches_border: bool
    confidence: float
    is_counted_unbiased: bool = True
    length_nm: float | None = None
    smallest_diameter_nm: float | None = None
    n_branches: int | None = None
    membrane_distance_nm: float | None = None
    membrane_spacing_nm: float | None = None
    crista_volume_ratio: float | None = None
    n_crista_junctions: int | None = None
    n_matrix_granules: int | None = None
    matrix_granule_diameter_nm: float | None = None
    state: str | None = None
    state_probability: float | None = None
