"""Parts of the classification benchmark whose answer is known beforehand."""

import math

import numpy as np
import pytest
import torch

from app.bench import classification_table
from app.bench.classification_ideal import ideal_classes
from app.bench.classification_runs import Runs, accuracy_row
from app.bench.classification_sets import BOX_VOX, PUBLISHED, TEST_DATA, material
from app.bench.classification_states import NamedField, abnormal_row, balanced_accuracy
from app.bench.classification_strangers import with_strangers
from app.bench.classification_unseen import _cluster_row, _few_shot_row
from engine.data.classification import NONE_OF_THESE
from engine.simulation.subtomogram_params import SubtomogramParams
from engine.simulation.subtomograms import SubtomogramMaker
from models.classifier_data import LabelledSubtomograms
from models.classifier_pool import assemblies
from models.classifier_training import FitParams
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
    assert _few_shot_row("x", far, kinds, 1).value == 1.0
    assert abs(_few_shot_row("x", noise, kinds, 1).value - 0.2) < 0.05


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
        "SNRS": (math.inf, 0.1), "TILT_LIMITS_DEG": (60.0,), "NETWORKS": ("compact_small",),
        "TRAIN_EACH": {"quick": 6, "full": 8}, "EPOCHS": {"quick": 1, "full": 2},
    }  # fmt: skip
    for name, value in small.items():
        monkeypatch.setattr(classification_table, name, value)
    assert classification_table.table_rows(Runs("quick", "cpu", tmp_path)) == []
    rows = classification_table.table_rows(Runs("full", "cpu", tmp_path))
    assert [row.metric for row in rows] == [
        "accuracy_of_compact_small_of_3_classes_snr_inf_tilt_60",
        "accuracy_of_compact_small_of_3_classes_snr_0.1_tilt_60",
    ]
    assert all(0.0 <= row.value <= 1.0 for row in rows)
