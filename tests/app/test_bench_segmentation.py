"""Rows of the segmentation benchmark from scores made by hand."""

import pytest

from app.bench.segmentation import RIVALS, rival_rows, rows_of
from app.bench.segmentation_scenes import Scored
from app.wiring import FINE_MODEL
from models.recipe import read_recipe


def scored(found_nm, missed_nm, false_nm, seconds):
    return Scored(
        family="A", true_count=2, found_count=2, true_length_nm=1000.0, found_length_nm=found_nm,
        membrane_dice=0.5, missed_nm=missed_nm, false_nm=false_nm, centreline_dice=0.8,
        bodies=(2, 2, 2), cpu_seconds=seconds,
    )  # fmt: skip


def test_rivals_are_scored_on_the_same_tomograms_and_their_time_is_a_ratio():
    both = {FINE_MODEL: scored(900.0, 100.0, 0.0, 4.0), RIVALS[0]: scored(600.0, 500.0, 100.0, 6.0)}
    rows = {row.metric: row for row in rival_rows([both, both])}
    assert rows[f"microtubule_length_missed_share_of_{RIVALS[0]}"].value == pytest.approx(0.5)
    assert rows[f"microtubule_length_missed_share_of_{FINE_MODEL}"].value == pytest.approx(0.1)
    assert rows[f"cpu_time_of_an_analysis_with_{RIVALS[0]}"].value == pytest.approx(1.5)
    assert not any("mitochondri" in name for name in rows)
    assert all(row.goal is None for row in rows.values())


def test_without_rivals_there_are_no_rows():
    assert rival_rows([]) == []


def test_bias_and_shares_are_of_the_whole_length():
    rows = {row.metric: row for row in rows_of("", [scored(900.0, 150.0, 50.0, 1.0)], goals=True)}
    assert rows["microtubule_length_bias"].value == pytest.approx(-0.1)
    assert rows["microtubule_length_missed_share"].value == pytest.approx(0.15)
    assert rows["microtubule_length_false_share"].value == pytest.approx(50.0 / 900.0)


def test_every_rival_has_a_recipe_of_the_same_pool():
    pool = read_recipe("fine").pool
    for name in RIVALS:
        recipe = read_recipe(name.rpartition("-")[0])
        assert recipe.name == name
        assert recipe.pool == pool
