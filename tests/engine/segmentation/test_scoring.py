import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.data.filaments import Filament
from engine.segmentation.scoring import (
    centreline_dice,
    compare_lines,
    dice,
    flat_parts,
    match_bodies,
    match_points,
)


def line(start_nm, stop_nm, number=1):
    points = np.linspace(start_nm, stop_nm, 50) * 10.0
    return Filament(number, "microtubule", points, False, False, 1.0)


LONG = line((50, 50, 0), (50, 50, 200))


def test_a_line_found_whole_has_nothing_missed_and_nothing_false():
    result = compare_lines([line((53, 50, 0), (53, 50, 200))], [LONG])
    assert (result.missed_nm, result.false_nm) == (0.0, 0.0)
    assert result.is_found.all()


def test_half_a_line_is_missed_by_what_lies_beyond_its_end():
    result = compare_lines([line((50, 50, 0), (50, 50, 100))], [LONG])
    # The counterpart reaches 15 nm past its own end.
    assert result.missed_nm == pytest.approx(85.0, abs=2.5)
    assert result.false_nm == 0.0
    assert result.found_nm == pytest.approx(100.0)


def test_a_line_across_or_beside_is_false_and_finds_nothing():
    across = line((50, 0, 100), (50, 100, 100))
    beside = line((50, 70, 0), (50, 70, 200))
    for wrong in (across, beside):
        result = compare_lines([wrong], [LONG])
        assert result.missed_nm == pytest.approx(200.0)
        assert result.false_nm == pytest.approx(wrong.length_nm)


def test_without_truth_all_is_false_and_without_result_all_is_missed():
    assert compare_lines([LONG], []).false_nm == pytest.approx(200.0)
    assert compare_lines([], [LONG]).missed_nm == pytest.approx(200.0)
    assert compare_lines([], []).missed_nm == 0.0


def test_directions_of_the_samples_are_those_of_the_true_lines():
    steep = line((0, 0, 0), (100, 0, 100))
    result = compare_lines([], [steep])
    assert np.abs(result.samples @ np.array([1, 0, 1]) / np.sqrt(2)) == pytest.approx(1.0)


def test_bodies_match_from_half_overlap_on_and_give_their_volumes():
    truth, found = np.zeros((2, 10, 20), int), np.zeros((2, 10, 20), int)
    truth[:, :, :8], truth[:, :, 10:14] = 1, 2
    found[:, :, :6], found[:, :, 12:20] = 7, 3
    matches = match_bodies(found, truth)
    assert matches.pairs == ((7, 1),)
    assert (matches.n_found, matches.n_true) == (2, 2)
    assert matches.volume_ratio == pytest.approx([0.75])


def test_empty_bodies():
    empty = np.zeros((2, 3, 4), int)
    matches = match_bodies(empty, empty)
    assert (matches.n_found, matches.n_true, matches.pairs) == (0, 0, ())


def test_points_are_matched_one_to_one():
    truth = np.array([[0.0, 0, 0], [0, 0, 10]])
    found = np.array([[0.0, 0, 4], [0, 0, 5], [0, 0, 100]])
    matches = match_points(found, truth, 15.0)
    assert (matches.n_found, matches.n_true, matches.n_matched) == (3, 2, 2)
    assert matches.f1 == pytest.approx(0.8)
    assert match_points(np.empty((0, 3)), np.empty((0, 3)), 1.0).f1 == 1.0


@given(st.integers(0, 6), st.integers(0, 6), st.integers(0, 1000))
def test_the_score_of_points_is_symmetric_and_bounded(n, m, seed):
    rng = np.random.default_rng(seed)
    one, other = rng.uniform(0, 30, (n, 3)), rng.uniform(0, 30, (m, 3))
    forth, back = match_points(one, other, 12.0), match_points(other, one, 12.0)
    assert forth.f1 == back.f1
    assert forth.n_matched <= min(n, m)


def test_centreline_dice_of_a_perfect_and_a_halved_mask():
    mask = np.zeros((20, 20, 41), bool)
    mask[8:13, 8:13] = True
    half = mask.copy()
    half[:, :, 20:] = False
    assert centreline_dice(mask, [LONG], mask, [LONG], 5.0) == pytest.approx(1.0)
    found = [line((50, 50, 0), (50, 50, 97))]
    assert centreline_dice(half, found, mask, [LONG], 5.0) == pytest.approx(2 / 3, abs=0.02)
    assert centreline_dice(mask, [], mask, [], 5.0) is None
    assert centreline_dice(mask, [], mask, [LONG], 5.0) == 0.0


def test_dice():
    one, other = np.array([1, 1, 0], bool), np.array([1, 0, 0], bool)
    assert dice(one, other) == pytest.approx(2 / 3)
    assert dice(one & ~one, one & ~one) == 1.0


@pytest.mark.parametrize(("tilt_deg", "is_flat"), [(0, True), (20, True), (40, False), (90, False)])
def test_sheets_are_flat_where_their_normal_is_near_the_beam(tilt_deg, is_flat):
    z, y, _ = np.indices((60, 60, 40)) - 30.0
    tilt = np.radians(tilt_deg)
    sheet = np.abs(z * np.cos(tilt) + y * np.sin(tilt)) <= 1.6
    inner = (slice(10, 50),) * 2 + (slice(5, 35),)
    assert (flat_parts(sheet)[inner].sum() > 0.9 * sheet[inner].sum()) == is_flat
    assert not (flat_parts(sheet) & ~sheet).any()
