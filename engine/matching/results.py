"""What a match returns."""

from dataclasses import dataclass

from engine.data.arrays import Float32s
from engine.data.particles import ParticleSet
from engine.matching.significance import FalsePositives

# False discovery rate at which picks are called significant.
LARGEST_Q = 0.05


@dataclass(frozen=True)
class TemplateSummary:
    """What the search of one template rests on.

    Attributes
    ----------
    sigma
        Root mean square of its score over rotations and voxels.
    threshold
        Score at the expected number of false positives, from the control search.
    gaussian_threshold
        The same by Rickgauer's formula.
    expected_noise_picks
        At `threshold`.
    kept_correlation
        Of the basis.
    n_rotations
        Of the finest grid.
    n_candidates, n_picks
        Peaks above the threshold; those left after other templates took theirs.
    n_significant
        Picks with a q-value of `LARGEST_Q` at most: neither noise nor just any structure.
    false_positives
        The curve behind the threshold.
    """

    template_id: str
    radius_angst: float
    sigma: float
    threshold: float
    gaussian_threshold: float
    expected_noise_picks: float
    kept_correlation: float
    n_rotations: int
    n_candidates: int
    n_picks: int
    n_significant: int
    false_positives: FalsePositives


@dataclass(frozen=True)
class MatchResult:
    """Picks of all templates, best first, and the score volumes.

    Attributes
    ----------
    particles
        Figures: `score`, `scan_score`, `sigmas`, `p_value`, `q_value`, `probability`, `margin`
        (sigmas above the best other template, NaN without one), `peak_shape`, `explained_share`.
    scores
        float32 (n_templates, z, y, x).
    summaries
        One a template.
    basis_size
        Volumes correlated with.
    n_searched_vox
        Voxels searched.
    """

    particles: ParticleSet
    scores: Float32s
    summaries: tuple[TemplateSummary, ...]
    basis_size: int
    n_searched_vox: int
