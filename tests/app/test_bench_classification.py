"""Parts of the classification benchmark whose answer is known beforehand."""

import math

import numpy as np
import pytest
import torch

from app.bench import classification_chapter, classification_few, classification_table
from app.bench.classification_few import prototype_row, spread_rows
from app.bench.classification_ideal import ideal_classes
from app.bench.classification_runs import Runs, accuracy_row, scored_if_at_hand
from app.bench.classification_sets import (
    BOX_VOX,
    PUBLISHED,
    TEST_DATA,
    TILT_SERIES,
    TILTED,
    TRAINING,
    made_set,
    material,
)
from app.bench.classification_states import NamedField, abnormal_row, balanced_accuracy
from app.bench.classification_strangers import with_strangers
from app.bench.classification_unseen import _cluster_row
from app.bench.kept_rows import KeptRows, digest_of_files
from app.bench.result import BenchRow
from engine.classification.feature_spread import (
    FeatureSpread,
    calibrated_spread,
    fitted_spread,
)
from engine.data.classification import NONE_OF_THESE, Classification
from engine.simulation.subtomogram_params import SubtomogramParams
from engine.simulation.subtomograms import SubtomogramMaker
from models.classifier_data import LabelledSubtomograms
from models.classifier_pool import assemblies
from models.classifier_training import FitParams
from models.example_averages import SortedStack
from tests.models.test_classifier_training import balls


@pytest.mark.parametrize(("snr", "least", "most"), [(0.3, 0.95, 1.0), (1e-5, 0.0, 0.7)])
def test_the_ideal_observer_names_what_can_be_seen_and_guesses_what_cannot(
    monkeypatch, snr, least, most
):
    monkeypatch.setattr("app.bench.classification_ideal.N_ORIENTATIONS", 500)
    known = assemblies(3, 2)
    params = SubtomogramParams(20, 15.0, snr, shift_vox=1.0)
    kinds = np.arange(45) % 3
    made = SubtomogramMaker(known, params).make(kinds, rng=np.random.default_rng(8))
    found = ideal_classes(known, params, made.images, seed=1)
    assert least <= (found == kinds).mean() <= most


def test_accuracy_is_the_mean_over_runs_within_its_interval():
    rng = np.random.default_rng(0)
    runs = [rng.random(400) < share for share in (0.7, 0.8)]
    row = accuracy_row("accuracy", runs, goal=0.9)
    assert row.value == pytest.approx(np.mean(runs))
    assert row.low < row.value < row.high
    assert "runs 0.6" in row.baseline or "runs 0.7" in row.baseline


def test_features_that_differ_give_perfect_clusters_and_few_shots_and_noise_gives_chance():
    rng = np.random.default_rng(0)
    kinds = np.repeat(np.arange(5), 40)
    far = np.eye(5)[kinds] + 0.01 * rng.normal(size=(200, 5))
    noise = rng.normal(size=(200, 5))
    names = tuple("abcde")
    assert _cluster_row("x", far, kinds, names).value == 1.0
    assert abs(_cluster_row("x", noise, kinds, names).value) < 0.1
    assert prototype_row("x", far, kinds, 1).value == 1.0
    assert abs(prototype_row("x", noise, kinds, 1).value - 0.2) < 0.05


def test_states_are_scored_by_the_mean_of_their_shares():
    fields = [
        NamedField("A", (("normal", "normal"), ("normal", "normal"), ("swollen", "normal"))),
        NamedField("C", (("swollen", "swollen"), ("round_crista_poor", None))),
    ]
    assert balanced_accuracy(fields) == pytest.approx((1.0 + 0.5 + 0.0) / 3)
    # Told of the first field: one third is abnormal, none was found so; of the second: all.
    assert abnormal_row(fields).value == pytest.approx((1 / 3 + 0.0) / 2)


def test_a_finished_network_is_not_trained_again(tmp_path):
    runs = Runs("quick", "cpu", tmp_path)
    data, params = balls(), FitParams(epochs=2, batch=16)
    heard = []
    runs.on_training = heard.append
    first = runs.trained("compact_small", 0, params, key="balls", data=data)
    assert runs.is_finished("balls")
    n_heard = len(heard)
    again = runs.trained("compact_small", 0, params, key="balls", data=data)
    assert len(heard) == n_heard
    for one, other in zip(
        first.network.state_dict().values(), again.network.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(one, other)


def test_without_validation_data_the_classes_are_random_complexes(monkeypatch):
    monkeypatch.delenv(TEST_DATA, raising=False)
    found = material()
    assert len(found.known) == 10
    assert len(found.unseen) == 5
    assert "random complexes" in found.origin


def test_strangers_are_one_more_class(monkeypatch):
    monkeypatch.setattr("app.bench.classification_strangers.N_COMPLEXES", 3)
    known = balls()
    images = torch.zeros(len(known), 1, BOX_VOX, BOX_VOX, BOX_VOX)
    data = with_strangers(LabelledSubtomograms(images, known.kinds, known.class_names), PUBLISHED)
    assert data.class_names == (*known.class_names, NONE_OF_THESE)
    assert data.counts.tolist() == [30, 30, 30, 6]


def test_the_table_has_a_row_for_every_network_and_cell_that_the_tier_trains(tmp_path, monkeypatch):
    monkeypatch.delenv(TEST_DATA, raising=False)
    small = {
        "N_CLASSES": 3, "BOX_VOX": 16, "VOXEL_ANGST": 20.0, "TEST_EACH": 4,
        "SNRS": (math.inf, 0.1), "TILT_LIMITS_DEG": (60.0,), "TRAIN_EACH": 24, "EPOCHS": 2,
        "NETWORKS": ("compact_small", "multi_reference"),
    }  # fmt: skip
    for name, value in small.items():
        monkeypatch.setattr(classification_table, name, value)
    assert classification_table.table_rows(Runs("quick", "cpu", tmp_path)) == []
    rows = classification_table.table_rows(Runs("full", "cpu", tmp_path))
    assert [row.metric for row in rows] == [
        f"accuracy_of_{name}_of_3_classes_snr_{snr}_tilt_60"
        for snr in ("inf", "0.1")
        for name in ("compact_small", "multi_reference")
    ]
    assert all(0.0 <= row.value <= 1.0 for row in rows)
    # Without a GPU the full tier trains on half of it, and says so.
    assert "12 a class to train for 1 epochs" in rows[0].baseline
    # The quick tier scores what is at hand.
    again = classification_table.table_rows(Runs("quick", "cpu", tmp_path))
    assert [row.value for row in again] == [row.value for row in rows]


def test_deep_networks_of_the_chapter_begin_with_clear_subtomograms(tmp_path, monkeypatch):
    monkeypatch.delenv(TEST_DATA, raising=False)
    for name, value in {"CLEAR_EPOCHS": 1, "EPOCHS_AFTER": 1, "TRAIN_EACH": 4}.items():
        monkeypatch.setattr(classification_chapter, name, value)
    runs = Runs("quick", "cpu", tmp_path)
    few = made_set(runs.material.known, TILT_SERIES, 4, (TRAINING, 0))
    monkeypatch.setattr(runs, "training", lambda seed, view: few)
    found = classification_chapter.chapter_network(runs, "dsrf3d", TILTED)
    assert len(found.losses) == 1
    assert runs.is_finished("dsrf3d-clear_on_tilt_series-0")
    assert runs.is_finished(classification_chapter.key_of("dsrf3d", TILTED))


def test_a_measured_part_is_not_measured_again_but_where_something_changed(tmp_path):
    row = BenchRow("share", 0.5, "1", "higher", goal=0.9)
    asked = []

    def measure():
        asked.append(1)
        return [row]

    for key in ("one", "one", "other"):
        assert KeptRows(tmp_path, key).measured("part", measure) == [row]
    assert len(asked) == 2


def test_rows_are_measured_anew_where_a_large_network_is_finished(tmp_path):
    (tmp_path / "a.py").write_text("1")
    before = digest_of_files([tmp_path / "a.py"], scored_if_at_hand(tmp_path))
    for name in ("rb3d-0", "compact-0", "table-compact-100"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "finished").touch()
    assert scored_if_at_hand(tmp_path) == ["rb3d-0", "table-compact-100"]
    assert digest_of_files([tmp_path / "a.py"], scored_if_at_hand(tmp_path)) != before
    (tmp_path / "a.py").write_text("2")
    assert digest_of_files([tmp_path / "a.py"]) != before


def test_few_examples_by_spreads_are_right_where_features_differ_and_sure_as_they_are():
    rng = np.random.default_rng(0)

    def drawn(n_structures, of_each, noise):
        means = np.eye(8)[0] + 0.2 * rng.normal(size=(n_structures, 8))
        kinds = np.tile(np.arange(n_structures), of_each)
        return means[kinds] + noise * rng.normal(size=(len(kinds), 8)), kinds

    spread = fitted_spread(*drawn(300, 8, 0.1))
    spread = calibrated_spread(spread, *drawn(100, 16, 0.1), rng)
    accuracy, error = spread_rows("x", *drawn(5, 40, 0.1), 1, (spread,))
    assert accuracy.metric == "few_shot_accuracy_5_way_1_shot_in_x"
    assert 0.6 < accuracy.value < 1.0
    assert error.value < 0.1
    apart, _ = spread_rows("x", *drawn(5, 40, 0.001), 1, (spread,))
    assert apart.value == 1.0


def test_a_stack_without_its_examples_is_sorted_and_strangers_stand_last(monkeypatch):
    """Kinds are those of the drawn order: what has examples first."""
    rng = np.random.default_rng(0)
    data = LabelledSubtomograms(
        torch.randn((50, 1, 12, 12, 12)), torch.arange(50) % 5, tuple("abcde")
    )
    means = np.eye(5)[data.kinds.numpy()] + 0.01 * rng.normal(size=(50, 5))
    spread = FeatureSpread(np.full(5, 0.2), 0.2 * np.eye(5), 0.01 * np.eye(5), limit=0.0)
    monkeypatch.setattr(classification_few, "_spreads", lambda: (spread,))
    monkeypatch.setattr(
        classification_few,
        "sorted_by_averages",
        lambda images, examples, start, on_progress: SortedStack(start, np.zeros(0), ()),
    )
    found, kinds = classification_few.sorted_stack(
        data, means.astype(np.float32), 3, 1, np.random.default_rng(5), lambda fraction: None
    )
    assert len(kinds) == 47
    known = kinds < 3
    assert known.sum() == 27
    assert (found.kinds[known] == kinds[known]).all()
    assert found.is_none[~known].all()
    assert not found.is_none[known].any()


def test_a_stack_with_strangers_is_scored_by_its_known_and_its_unseen_part():
    unseen = LabelledSubtomograms(
        torch.zeros((4, 1, 2, 2, 2)), torch.tensor([0, 1, 0, 1]), ("x", "y")
    )
    probabilities = np.eye(2)[[0, 1, 1, 0, 0, 0, 0, 0]]
    distances = np.array([0.0, 1.0, 2.0, 3.0, 5.0, 1.5, 6.0, -1.0])
    found = Classification(
        ("a", "b"), probabilities, np.zeros((8, 1), dtype=np.float32), distances, distances > 4.0
    )
    accuracy, area = classification_few.told_rows(found, np.array([0, 1, 0, 0]), unseen, "")
    assert accuracy.value == 0.75
    # Of x all lie beyond every known one; of y one beyond two of four, one beyond none.
    assert area.value == pytest.approx((1.0 + 0.25) / 2)
    assert "x 1.00 (1.00), y 0.25 (0.00)" in area.baseline
