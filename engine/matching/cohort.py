"""Matches of several tomograms taken together: one false discovery rate, one abundance."""

from dataclasses import dataclass

import numpy as np

from engine.data.arrays import Bools, Float64s
from engine.data.particles import ParticleSet
from engine.errors import BadInputError
from engine.matching.abundance import Abundance, abundance_in
from engine.matching.results import LARGEST_Q
from engine.matching.significance import benjamini_hochberg

TOMOGRAM_Q, COHORT_Q = "q_value", "cohort_q_value"
NEEDED_FIGURES = ("p_value", TOMOGRAM_Q, "probability", "expected_noise_picks")


@dataclass(frozen=True)
class SearchedTomogram:
    """Picks of one tomogram and the volume searched for each template, um^3."""

    picks: ParticleSet
    tomogram_id: str
    volumes_um3: dict[str, float]


@dataclass(frozen=True)
class CohortRow:
    """One template in one tomogram, or in all of them where `tomogram_id` is None.

    Attributes
    ----------
    n_significant
        With a q-value over the cohort of at most `LARGEST_Q`.
    """

    template_id: str
    tomogram_id: str | None
    n_picks: int
    n_significant: int
    abundance: Abundance


@dataclass(frozen=True)
class MatchCohort:
    """Picks of all tomograms, surest first, with `cohort_q_value`; rows by template."""

    picks: ParticleSet
    rows: tuple[CohortRow, ...]
    totals: tuple[CohortRow, ...]


def match_cohort(tomograms: tuple[SearchedTomogram, ...]) -> MatchCohort:
    """Pool matches.

    The q-value of a pick is the larger of Benjamini-Hochberg over the p-values of all picks of its
    template (1995, doi:10.1111/j.2517-6161.1995.tb02031.x) and of the share of noise among the
    picks that are as unlikely to be noise as it is. Tomograms without a copy add false picks and
    make it larger than the q-value within one rich tomogram, and the other way round.

    Raises
    ------
    BadInputError
        A tomogram given twice, or picks without the figures that are needed.
    """
    _require_usable(tomograms)
    picks = _together([one.picks for one in tomograms])
    templates = list(dict.fromkeys(name for one in tomograms for name in one.volumes_um3))
    names = np.array(picks.class_names, dtype=object)
    places = np.array(picks.tomogram_ids, dtype=object)
    q = np.ones(len(picks))
    for template in templates:
        own = names == template
        n_tomograms = sum(template in one.volumes_um3 for one in tomograms)
        q[own] = cohort_q_values(
            picks.figures["p_value"][own],
            picks.figures["expected_noise_picks"][own],
            n_tomograms,
        )
    probability = picks.figures["probability"]
    rows, totals = [], []
    for template in templates:
        volumes = {
            one.tomogram_id: one.volumes_um3[template]
            for one in tomograms
            if template in one.volumes_um3
        }
        own = names == template
        for tomogram_id, volume in volumes.items():
            here = own & (places == tomogram_id)
            rows.append(_row(template, tomogram_id, here, q, probability, volume))
        totals.append(_row(template, None, own, q, probability, sum(volumes.values())))
    pooled = ParticleSet(
        picks.positions_angst, picks.rotations, picks.tomogram_ids, picks.class_names,
        {**picks.figures, COHORT_Q: q},
    )  # fmt: skip
    order = np.lexsort((-probability, q))
    return MatchCohort(pooled.take(order), tuple(rows), tuple(totals))


def cohort_q_values(
    p_values: Float64s, expected_noise_picks: Float64s, n_tomograms: int
) -> Float64s:
    """q-values (n,) of one template's picks in a cohort.

    Parameters
    ----------
    expected_noise_picks
        (n,), at or above each pick's score in its own tomogram.
    """
    order = np.argsort(expected_noise_picks, kind="stable")
    expected = n_tomograms * expected_noise_picks[order]
    share = np.minimum(1.0, expected / np.arange(1, len(order) + 1))
    share = np.minimum.accumulate(share[::-1])[::-1]
    noise = np.empty(len(order))
    noise[order] = share
    return np.maximum(benjamini_hochberg(p_values), noise)


def _row(
    template: str,
    tomogram_id: str | None,
    here: Bools,
    q: Float64s,
    probability: Float64s,
    volume_um3: float,
) -> CohortRow:
    return CohortRow(
        template,
        tomogram_id,
        int(here.sum()),
        int((q[here] <= LARGEST_Q).sum()),
        abundance_in(probability[here], volume_um3),
    )


def _require_usable(tomograms: tuple[SearchedTomogram, ...]) -> None:
    names = [one.tomogram_id for one in tomograms]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadInputError(
            f"expected matches of different tomograms, found {twice[0]!r} twice; give each once"
        )
    for one in tomograms:
        missing = [name for name in NEEDED_FIGURES if name not in one.picks.figures]
        if missing:
            raise BadInputError(
                f"{one.tomogram_id}: expected picks with {missing[0]}, found none; run the match "
                "again with this version",
                tomogram=one.tomogram_id,
            )
        unknown = sorted(set(one.picks.class_names) - set(one.volumes_um3))
        if unknown or not one.volumes_um3:
            raise BadInputError(
                f"{one.tomogram_id}: expected the volume searched for each template, found none "
                f"for {unknown[0] if unknown else 'any'}; run the match again with this version",
                tomogram=one.tomogram_id,
            )


def _together(parts: list[ParticleSet]) -> ParticleSet:
    shared = set.intersection(*(set(part.figures) for part in parts))
    filled = [part for part in parts if len(part)]
    rotations = parts[0].rotations
    if filled:
        rotations = type(rotations).concatenate([part.rotations for part in filled])
    return ParticleSet(
        positions_angst=np.concatenate([part.positions_angst for part in parts]),
        rotations=rotations,
        tomogram_ids=tuple(name for part in parts for name in part.tomogram_ids),
        class_names=tuple(name for part in parts for name in part.class_names),
        figures={
            name: np.concatenate([part.figures[name] for part in parts])
            for name in parts[0].figures
            if name in shared
        },
    )
