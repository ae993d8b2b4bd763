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
    """

    instance_id: int
    organelle_class: str
    volume_um3: float
    surface_um2: float
    sphericity: float
    centroid_angst: tuple[float, float, float]
    touches_border: bool
    confidence: float
