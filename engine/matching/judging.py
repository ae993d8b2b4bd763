"""From score volumes to picks: candidates refined, set against each other and against chance."""

from collections.abc import Callable, Mapping

import numpy as np
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from engine.data.arrays import Float32s, Float64s, Ints
from engine.data.particles import ParticleSet
from engine.data.template import Template
from engine.data.tomogram import Tomogram
from engine.matching.basis import TemplateBasis
from engine.matching.competition import Candidates, rivals_at, shape_agreement
from engine.matching.control import Control
from engine.matching.explained import QuietNoise, explained_share, local_variances
from engine.matching.generative_null import StructureSource, generative_null
from engine.matching.params import MatchParams
from engine.matching.peaks import score_peaks
from engine.matching.probability import Readouts, probabilities
from engine.matching.refinement import Refiner
from engine.matching.results import LARGEST_Q, MatchResult, TemplateSummary
from engine.matching.rotation_grid import rotations_for
from engine.matching.selection import Contender, Reach, select
from engine.matching.setup import Setup
from engine.matching.significance import (
    FalsePositives,
    NullTable,
    benjamini_hochberg,
    block_maxima,
    gaussian_threshold,
    monte_carlo_p_value,
    null_table,
)

# A candidate is refined unless another template's peak in its place is higher by more than what
# refinement and the truncated basis can change.
RIVAL_SHARE = 0.8


def judge(
    setup: Setup,
    tomogram: Tomogram,
    templates: tuple[Template, ...],
    scores: Float32s,
    control: Control,
    params: MatchParams,
    *,
    source: StructureSource | None,
    rng: np.random.Generator,
    on_progress: Callable[[float], None],
) -> MatchResult:
    """Picks from score volumes.

    Parameters
    ----------
    scores
        (n_templates, z, y, x).
    control
        Of the control search.
    source
        Draws pseudo-structures where `params.null` asks for them.
    """
    curves = control.curves
    sigmas = _comparable_sigmas(setup, [curve.sigma for curve in curves])
    refiners = [Refiner(setup.volume, masked) for masked in setup.basis.templates]
    places = _candidates(setup, templates, scores, curves, sigmas, params)
    found: list[Candidates] = []
    for number, (positions, heights) in enumerate(places):
        found.append(Candidates(number, positions, heights, refiners[number].refine(positions)))
        on_progress(0.4 * (number + 1) / len(templates))
    margins = rivals_at(found, refiners, sigmas, scores)
    on_progress(0.6)
    p_values, q_values = _p_values(setup, found, curves, params, source, rng)
    on_progress(0.9)
    parts = []
    for candidates, margin, p, q in zip(found, margins, p_values, q_values, strict=True):
        number = candidates.template
        shape = shape_agreement(refiners[number], candidates)
        expected = np.array([curves[number].expected(h) for h in candidates.scan_scores])
        explained = _explained(setup, candidates, control.quiet)
        readouts = Readouts(expected, p, shape, explained, margin)
        figures = {
            "p_value": p,
            "q_value": q,
            "probability": probabilities(readouts),
            "margin": margin,
            "peak_shape": shape,
            "explained_share": explained,
            "expected_noise_picks": expected,
        }
        parts.append(_particles(candidates, templates[number], tomogram, sigmas[number], figures))
    thresholds = [curve.threshold(params.n_false_positives) for curve in curves]
    particles = _winners(setup, parts, found, refiners, thresholds)
    on_progress(1.0)
    summaries = tuple(
        _summary(setup, template, curves[number], params, len(found[number].scan_scores),
                 particles, number)
        for number, template in enumerate(templates)
    )  # fmt: skip
    return MatchResult(particles, scores, summaries, setup.basis.size, setup.n_searched_vox)


def _explained(setup: Setup, candidates: Candidates, quiet: QuietNoise) -> Float64s:
    places = np.rint(candidates.refined.positions_vox).astype(np.int64)
    mask = setup.basis.mask_numbers[candidates.template]
    variances = local_variances(setup.volume, setup.basis, places)[mask]
    return explained_share(
        candidates.refined.scores, variances, float(quiet.variance[mask]), float(quiet.spread[mask])
    )


def _summary(
    setup: Setup,
    template: Template,
    curve: FalsePositives,
    params: MatchParams,
    n_candidates: int,
    particles: ParticleSet,
    number: int,
) -> TemplateSummary:
    own = np.array([name == template.template_id for name in particles.class_names], dtype=bool)
    n_rotations = rotations_for(params.angular_step_deg)
    n = params.n_false_positives
    return TemplateSummary(
        template_id=template.template_id,
        radius_angst=template.radius_angst,
        sigma=curve.sigma,
        threshold=curve.threshold(n),
        gaussian_threshold=gaussian_threshold(curve.sigma, setup.n_searched_vox, n_rotations, n),
        expected_noise_picks=n,
        kept_correlation=setup.basis.kept_correlation[number],
        n_rotations=n_rotations,
        n_candidates=n_candidates,
        n_picks=int(own.sum()),
        n_significant=int((particles.figures["q_value"][own] <= LARGEST_Q).sum()),
        false_positives=curve,
    )


def _candidates(
    setup: Setup,
    templates: tuple[Template, ...],
    scores: Float32s,
    curves: tuple[FalsePositives, ...],
    sigmas: list[float],
    params: MatchParams,
) -> list[tuple[Ints, Float64s]]:
    """Peaks above each template's threshold that no other template clearly owns."""
    places, owners, strengths, heights = [], [], [], []
    for number, (template, curve) in enumerate(zip(templates, curves, strict=True)):
        radius_vox = template.radius_angst / template.voxel_size_angst
        found, values = score_peaks(scores[number], curve.sigma, radius_vox)
        above = values >= curve.threshold(params.n_false_positives)
        found, values = (
            found[above][: params.largest_candidates], values[above][: params.largest_candidates]
        )  # fmt: skip
        places.append(found)
        heights.append(values)
        strengths.append(values / sigmas[number])
        owners.append(np.full(len(found), number))
    everywhere, owner = np.concatenate(places), np.concatenate(owners)
    strength = np.concatenate(strengths)
    radii = np.array([t.radius_angst / t.voxel_size_angst for t in templates])
    keep = np.ones(len(owner), dtype=bool)
    if len(templates) > 1 and len(owner):
        near = cKDTree(everywhere).query_ball_point(everywhere, radii[owner])
        for index, others in enumerate(near):
            rival = max(strength[j] for j in others)
            keep[index] = strength[index] >= RIVAL_SHARE * rival
    result, start = [], 0
    for found, values in zip(places, heights, strict=True):
        mine = keep[start : start + len(found)]
        result.append((found[mine], values[mine]))
        start += len(found)
    return result


def _comparable_sigmas(setup: Setup, sigmas: list[float]) -> list[float]:
    """Sigmas in the ratio that white noise gives, of the size that the control search found.

    Those of the control search itself favour the template that looks least like the specimen.
    """
    white = np.array([masked.white_sigma for masked in setup.basis.templates])
    scale = float(np.median(np.array(sigmas) / white))
    return [float(value) for value in white * scale]


def _p_values(
    setup: Setup,
    found: list[Candidates],
    curves: tuple[FalsePositives, ...],
    params: MatchParams,
    source: StructureSource | None,
    rng: np.random.Generator,
) -> tuple[list[Float64s], list[Float64s]]:
    """One p-value a pick, from the block it lies in, and q-values over all picks."""
    p_values, q_values = [], []
    for candidates in found:
        p = np.zeros(len(candidates.scan_scores))
        for basis, nulls in _nulls(setup, candidates.template, params, source, rng):
            radius = setup.basis.templates[candidates.template].support_radius_vox
            side = max(4, round(params.block_share * radius))
            own = _block_p_values(setup, basis, candidates.positions_vox, nulls, side)
            p = np.maximum(p, own)
        p_values.append(p)
        # Two ways to be false: noise above the threshold, or another structure.
        noise = curves[candidates.template].rates(candidates.scan_scores)
        q_values.append(np.maximum(benjamini_hochberg(p), noise))
    return p_values, q_values


def _nulls(
    setup: Setup,
    number: int,
    params: MatchParams,
    source: StructureSource | None,
    rng: np.random.Generator,
) -> list[tuple[TemplateBasis, NullTable]]:
    """The nulls that the parameters ask for, each with the basis of its coefficients."""
    tables = []
    if params.null in ("scrambled", "both"):
        table = null_table(
            setup.table, number, setup.basis.mask_numbers[number],
            n_nulls=params.n_nulls, n_rotations=params.null_rotations, rng=rng,
        )  # fmt: skip
        tables.append((setup.basis, table))
    if params.null in ("generative", "both"):
        assert source is not None
        drawn = generative_null(
            setup.basis.templates[number].template, setup.volume.filter, source,
            n_nulls=params.n_nulls, n_rotations=params.null_rotations, rng=rng,
        )  # fmt: skip
        tables.append((drawn.basis, drawn.table))
    return tables


def _block_p_values(
    setup: Setup, basis: TemplateBasis, positions_vox: Ints, nulls: NullTable, side_vox: int
) -> Float64s:
    p = np.empty(len(positions_vox))
    origin = np.array(setup.region.start)
    blocks = (positions_vox - origin) // side_vox
    for block in np.unique(blocks, axis=0):
        inside = np.flatnonzero((blocks == block).all(axis=1))
        maxima = block_maxima(setup.volume, basis, nulls, origin + block * side_vox, side_vox)
        for index in inside:
            distance = np.abs(maxima.points_vox - positions_vox[index]).max(axis=1)
            near = distance <= 2
            p[index] = monte_carlo_p_value(float(maxima.own[near].max()), maxima.nulls)
    return p


def _particles(
    candidates: Candidates,
    template: Template,
    tomogram: Tomogram,
    sigma: float,
    figures: Mapping[str, Float64s],
) -> ParticleSet:
    n = len(candidates.scan_scores)
    return ParticleSet(
        positions_angst=candidates.refined.positions_vox * tomogram.voxel_size_angst,
        rotations=candidates.refined.rotations,
        tomogram_ids=(tomogram.tomogram_id,) * n,
        class_names=(template.template_id,) * n,
        figures={
            "score": candidates.refined.scores,
            "scan_score": candidates.scan_scores,
            "sigmas": candidates.refined.scores / sigma,
            **figures,
        },
    )


def _winners(
    setup: Setup,
    parts: list[ParticleSet],
    found: list[Candidates],
    refiners: list[Refiner],
    thresholds: list[float],
) -> ParticleSet:
    """All picks, likeliest first, none inside a better one or explained by it."""
    names = [name for part in parts for name in part.class_names]
    if not names:
        return parts[0]
    everything = ParticleSet(
        positions_angst=np.concatenate([part.positions_angst for part in parts]),
        rotations=Rotation.concatenate([part.rotations for part in parts if len(part)]),
        tomogram_ids=tuple(name for part in parts for name in part.tomogram_ids),
        class_names=tuple(names),
        figures={
            key: np.concatenate([part.figures[key] for part in parts]) for key in parts[0].figures
        },
    )
    contenders = [
        Contender(
            candidates.template,
            np.rint(candidates.refined.positions_vox[index]).astype(np.int64),
            candidates.refined.rotations[index],
            float(part.figures["sigmas"][index]),
            float(part.figures["expected_noise_picks"][index]),
        )
        for candidates, part in zip(found, parts, strict=True)
        for index in range(len(part))
    ]
    reaches = [
        Reach(
            masked.template.radius_angst / masked.template.voxel_size_angst,
            masked.support_radius_vox,
            threshold,
        )
        for masked, threshold in zip(setup.basis.templates, thresholds, strict=True)
    ]
    rotators = [refiner.rotator for refiner in refiners]
    winners = everything.take(select(setup.volume, rotators, reaches, contenders))
    return winners.take(np.argsort(-winners.figures["probability"], kind="stable"))
