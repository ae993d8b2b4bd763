"""Charts and cards: counts and curves known beforehand."""

from pathlib import Path

import numpy as np
import pytest

from app.cohort_charts import (
    Confusion,
    GroupValues,
    confusion,
    figure_text,
    roc_chart,
    roc_points,
    strip_chart,
)
from app.model_cards import diagnostic_card, network_card
from app.palette import group_colours, group_markers
from diagnostics.features.table import feature_named
from diagnostics.model_validation import LeftOutDonor, ValidationFigure
from diagnostics.panels import panel_named
from engine.data.labels import CLASS_NAMES
from engine.io.colours import CLASS_COLOURS
from models.registry import ModelCard
from tests.diagnostics import synthetic

DONORS = tuple(
    LeftOutDonor(f"d{index}", group, probability)
    for index, (group, probability) in enumerate(
        [("cancer", 0.9), ("cancer", 0.5), ("cancer", 0.2), ("benign", 0.6), ("healthy", 0.1)]
    )
)


def test_confusion_counts_the_threshold_as_positive():
    assert confusion(DONORS, "cancer", 0.5) == Confusion(2, 1, 1, 1)


def test_roc_curve_encloses_the_area_of_mann_whitney():
    false_rate, true_rate = roc_points(DONORS, "cancer")
    ill = [d.probability for d in DONORS if d.group == "cancer"]
    well = [d.probability for d in DONORS if d.group != "cancer"]
    wins = np.mean([[(a > b) + 0.5 * (a == b) for b in well] for a in ill])
    assert np.trapezoid(true_rate, false_rate) == pytest.approx(wins)
    assert (false_rate[-1], true_rate[-1]) == (1.0, 1.0)


def test_roc_curve_of_one_group_is_empty():
    assert roc_points(DONORS[:3], "cancer") == ([], [])


def test_the_roc_title_has_the_interval():
    summary = synthetic.model().validation
    assert "95 % interval" in roc_chart(summary, "cancer").layout.title.text


def test_a_figure_without_value_is_a_dash():
    assert figure_text(None) == "–"
    assert figure_text(ValidationFigure("auc", None, None, None, "")) == "–"
    assert figure_text(ValidationFigure("auc", 0.5, 0.25, 0.75, "")).startswith("0.50 (95 %")


def test_a_strip_chart_shows_every_donor_in_display_units():
    feature = feature_named("microtubule_length_total_nm")
    groups = [
        GroupValues("cancer", "Cancer", ("a", "b"), (1000.0, 3000.0)),
        GroupValues("healthy", "Healthy", ("c",), (5000.0,)),
        GroupValues("benign", "Benign", (), ()),
    ]
    chart = strip_chart(feature, groups)
    assert [list(trace.y) for trace in chart.data[::2]] == [[1.0, 3.0], [5.0], []]
    assert chart.data[1].y[0] == 2.0
    assert chart.data[1].error_y.array[0] == pytest.approx(12.706, abs=0.01)


def test_every_class_has_a_colour_of_its_own():
    named = set(CLASS_NAMES.values()) - {"background"}
    assert named <= set(CLASS_COLOURS)
    assert len(set(CLASS_COLOURS.values())) == len(CLASS_COLOURS)


def test_groups_differ_in_colour_and_known_ones_keep_theirs():
    names = ["cancer", "benign", "healthy", "site x"]
    assert len(set(group_colours(names).values())) == 4
    assert group_colours(["cancer"])["cancer"] == group_colours(names)["cancer"]
    assert set(group_markers(names)) == set(names)


def test_the_diagnostic_card_tells_use_limits_and_hash():
    model = synthetic.model()
    text = diagnostic_card(model, panel_named(model.panel))
    assert model.sha256 in text
    assert "Research use" in text
    assert "Simulated data" in text
    assert "[unverified]" in text


def test_a_network_card_tells_training_metrics_and_limits():
    card = ModelCard(
        name="coarse",
        task="coarse",
        folder=Path(),
        voxel_size_nm=6.0,
        outputs=("void", "mitochondrion"),
        n_parameters=1234567,
        training={"pool": {"n_tomograms": 40, "families": ["A", "B"]}, "steps": 10, "batch": 2},
        metrics={"dice_mitochondrion": 0.91},
        limits=("Never validated on <patients>.",),
        command="tomodx train coarse",
        sha256="ab" * 32,
        size_mb=5.01,
    )
    text = network_card(card)
    assert "1 234 567 weights, 5.0 MB" in text
    assert "40 simulated tomograms, families A and B" in text
    assert "0.910" in text
    assert "&lt;patients&gt;" in text
