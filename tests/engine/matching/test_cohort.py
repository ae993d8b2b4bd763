"""Matches of several tomograms taken together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from engine.data.orientations import no_rotations
from engine.data.particles import ParticleSet
from engine.errors import BadInputError
from engine.matching.cohort import SearchedTomogram, cohort_q_values, match_cohort
from engine.matching.significance import benjamini_hochberg

NO_NOISE = 1e-9


def tomogram(name, p_values, *, expected=NO_NOISE, templates=("ribosome",), volume_um3=0.01):
    n = len(p_values)
    picks = ParticleSet(
        np.zeros((n, 3)),
        Rotation.identity(n) if n else no_rotations(),
        (name,) * n,
        ("ribosome",) * n,
        {
            "p_value": np.array(p_values, dtype=np.float64),
            "q_value": benjamini_hochberg(np.array(p_values, dtype=np.float64)),
            "probability": 1.0 - np.array(p_values, dtype=np.float64),
            "expected_noise_picks": np.full(n, expected),
        },
    )
    return SearchedTomogram(picks, name, dict.fromkeys(templates, volume_um3))


def test_one_tomogram_alone_keeps_its_q_values():
    found = match_cohort((tomogram("a", [0.001, 0.02, 0.3]),))
    assert found.picks.figures["cohort_q_value"] == pytest.approx([0.003, 0.03, 0.3])


def test_rich_tomograms_help_and_poor_ones_hurt():
    weak = tomogram("weak", [0.04, 0.9])
    rich = tomogram("rich", [0.0001] * 40)
    poor = tomogram("poor", np.linspace(0.1, 1.0, 40))

    def q_of_weak(*others):
        picks = match_cohort((weak, *others)).picks
        own = [name == "weak" for name in picks.tomogram_ids]
        return picks.figures["cohort_q_value"][own].min()

    alone = q_of_weak()
    assert q_of_weak(rich) < alone < q_of_weak(poor)


def test_noise_counts_once_for_every_tomogram_searched():
    q = cohort_q_values(np.full(4, 1e-6), np.array([0.1, 0.1, 0.2, 0.2]), n_tomograms=2)
    # Two tomograms with 0.1 and 0.2 noise picks each: 0.2 of the best 2, 0.4 of all 4.
    assert q == pytest.approx([0.1, 0.1, 0.1, 0.1])
    more = cohort_q_values(np.full(4, 1e-6), np.array([0.1, 0.1, 0.2, 0.2]), n_tomograms=20)
    assert more == pytest.approx([1.0] * 4)


@given(
    p=st.lists(st.floats(1e-6, 1.0), min_size=1, max_size=30),
    expected=st.floats(1e-6, 2.0),
    n=st.integers(1, 20),
)
def test_q_values_are_rates_and_never_below_those_of_p_alone(p, expected, n):
    p = np.array(p)
    q = cohort_q_values(p, np.full(len(p), expected), n)
    assert (q <= 1.0).all()
    assert (q >= benjamini_hochberg(p) - 1e-12).all()


def test_false_discoveries_stay_at_their_rate():
    """Truth known: half of the tomograms hold nothing, p-values of false picks are uniform."""
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(200):
        tomograms = []
        for number in range(6):
            false = rng.random(10)
            true = rng.random(12) * 1e-3 if number % 2 else np.empty(0)
            tomograms.append(tomogram(f"{number}", np.concatenate([true, false])))
        picks = match_cohort(tuple(tomograms)).picks
        called = picks.figures["cohort_q_value"] <= 0.05
        is_false = picks.figures["p_value"] > 1e-3
        shares.append((called & is_false).sum() / max(1, called.sum()))
    assert np.mean(shares) <= 0.05


def test_abundance_is_copies_over_all_volume_searched():
    found = match_cohort(
        (tomogram("a", [0.0] * 6), tomogram("b", [], volume_um3=0.02), tomogram("c", [0.5, 0.5]))
    )
    total = found.totals[0]
    assert total.abundance.volume_um3 == pytest.approx(0.04)
    assert total.abundance.copies == pytest.approx(7.0)
    assert [row.n_picks for row in found.rows] == [6, 0, 2]
    assert found.rows[1].abundance.per_um3 == 0.0


def test_a_template_counts_where_it_was_searched():
    found = match_cohort(
        (
            tomogram("a", [0.01], templates=("ribosome", "proteasome")),
            tomogram("b", [0.01], templates=("ribosome",)),
        )
    )
    by_name = {row.template_id: row for row in found.totals}
    assert by_name["ribosome"].abundance.volume_um3 == pytest.approx(0.02)
    assert by_name["proteasome"].abundance.volume_um3 == pytest.approx(0.01)


def test_the_same_tomogram_twice_and_old_tables_are_refused():
    one = tomogram("a", [0.1])
    with pytest.raises(BadInputError, match="'a' twice"):
        match_cohort((one, one))
    figures = {name: v for name, v in one.picks.figures.items() if name != "expected_noise_picks"}
    old = ParticleSet(
        one.picks.positions_angst, one.picks.rotations, ("a",), ("ribosome",), figures
    )
    with pytest.raises(BadInputError, match="expected_noise_picks"):
        match_cohort((SearchedTomogram(old, "a", {"ribosome": 0.01}),))
    with pytest.raises(BadInputError, match="volume searched"):
        match_cohort((SearchedTomogram(one.picks, "a", {}),))
