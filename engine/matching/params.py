"""Parameters of a match, with the reason of each default."""

from dataclasses import dataclass
from typing import Literal

from engine.errors import BadInputError

SMALLEST_STEP_DEG, LARGEST_STEP_DEG = 1.0, 90.0
NullKind = Literal["scrambled", "generative", "both"]


@dataclass(frozen=True)
class MatchParams:
    """How a tomogram is searched and how results are judged.

    Attributes
    ----------
    angular_step_deg
        Of the finest grid; 16.3 degrees are 1,992 rotations. Candidates are refined beyond it.
    n_false_positives
        Picks of pure noise to be expected among the results.
    keep
        Norm of a rotated template in the basis: 0.992 so that also the worst rotation of a
        sharply masked one keeps 0.99.
    largest_basis
        Volumes at most; fewer where their transforms would not fit `tile_bytes` twice.
    tile_bytes
        Memory for the maps and spectra of a tile.
    edge_share
        Centres nearer to a face than this share of the radius are not searched: less than
        about a quarter of a particle is then missing.
    null
        What a pick must beat: scrambled templates (the same profile and strength in every degree;
        needs no further correlations), pseudo-structures drawn by a network, or the worse of both.
    n_nulls, null_rotations
        Null structures for p-values and the rotations each is tried in.
    block_share
        Side of a block in which a p-value is taken, in radii.
    control_vox
        Voxels of the control search in noise, beside its margin.
    largest_candidates
        Candidates a template at most.
    seed
        Of the sampled voxels, the control noise and the scrambled templates.

    Raises
    ------
    BadInputError
        An angular step outside 1 to 90 degrees, or no false positives allowed at all.
    """

    angular_step_deg: float = 16.3
    n_false_positives: float = 1.0
    keep: float = 0.992
    largest_basis: int = 2000
    tile_bytes: float = 5.5e8
    edge_share: float = 0.5
    null: NullKind = "scrambled"
    n_nulls: int = 49
    null_rotations: int = 600
    block_share: float = 0.5
    control_vox: int = 450_000
    largest_candidates: int = 5000
    seed: int = 0

    def __post_init__(self) -> None:
        if not SMALLEST_STEP_DEG <= self.angular_step_deg <= LARGEST_STEP_DEG:
            raise BadInputError(
                f"expected an angular step of {SMALLEST_STEP_DEG:g} to {LARGEST_STEP_DEG:g} "
                f"degrees, found {self.angular_step_deg:g}; give another --angular-step"
            )
        if not self.n_false_positives > 0:
            raise BadInputError(
                "expected a positive number of false positives, found "
                f"{self.n_false_positives:g}; give another --n-false-positives"
            )
