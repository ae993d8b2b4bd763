import json
from dataclasses import replace

import numpy as np
import pytest
import yaml

from app.bench import inference
from app.bench.result import BenchResult, BenchRow, bootstrap_mean
from app.bench.segmentation import granule_rows, rows_of
from app.bench.segmentation_scenes import FAMILIES, Scored, bench_params, score
from app.cli import run
from app.reference_cohort import draw_donors, field_params, read_cohort_recipe
from engine.data.labels import CLASS_IDS, InstanceVolume, LabelVolume
from engine.data.measurements import Measurement, OrganelleMeasurements, TomogramAnalysis
from engine.data.organelles import Organelle
from engine.data.provenance import Provenance
from engine.io.mrc import read_tomogram
from engine.simulation.case import simulate_tomogram

SMALL = {
    "family": "A",
    "shape": [32, 64, 64],
    "voxel_size_nm": 2.8,
    "mean_mitochondria": 1.0,
    "mean_microtubules": 3.0,
    "seed": 3,
}


def test_simulate_writes_volume_and_truth_and_says_so(tmp_path, capsys):
    recipe = tmp_path / "small.yaml"
    recipe.write_text(yaml.safe_dump(SMALL))
    out = tmp_path / "out"
    assert run(["--json", "--quiet", "simulate", str(recipe), "--out", str(out)]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["simulated"] is True
    tomogram = read_tomogram(out / "tomogram_001.mrc")
    assert tomogram.voxels.shape == (32, 64, 64)
    assert tomogram.voxel_size_angst == pytest.approx(28.0, rel=1e-5)
    assert tomogram.provenance.simulated
    for name in ("instances.csv", "filament_points.csv", "membrane.mrc", "parameters.json"):
        assert (out / "tomogram_001_truth" / name).is_file()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({**SMALL, "family": "Z"}, "family"),
        ({**SMALL, "colour": 1}, "colour"),
        ({**SMALL, "snr_range": [0.2, 0.1]}, "snr_range"),
        ({**SMALL, "shape": [4, 64, 64]}, "sides"),
    ],
)
def test_a_faulty_recipe_is_one_line_and_leaves_nothing(tmp_path, capsys, content, words):
    recipe = tmp_path / "bad.yaml"
    recipe.write_text(yaml.safe_dump(content))
    out = tmp_path / "out"
    assert run(["--quiet", "simulate", str(recipe), "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("tomodx: error: ")
    assert error.count("\n") == 1
    assert words in error
    assert not out.exists()


def test_an_unknown_recipe_names_the_shipped_ones(tmp_path, capsys):
    assert run(["simulate", "nothing", "--out", str(tmp_path / "out")]) == 2
    assert "platelet" in capsys.readouterr().err


def test_models_are_listed_and_verified(capsys):
    assert run(["--json", "models", "list"]) == 0
    cards = json.loads(capsys.readouterr().out)["models"]
    names = {card["name"] for card in cards}
    classes = {card["name"]: card["class_names"] for card in cards}
    assert classes["mitochondrion-states-3"] == ["normal", "round_crista_poor", "swollen"]
    assert classes["fine-8"] == []
    assert run(["models", "list"]) == 0
    text = capsys.readouterr().out
    assert "names normal, round_crista_poor, swollen" in text
    assert "names 400 classes, assembly-0 to assembly-399" in text
    assert run(["--json", "models", "verify"]) == 0
    assert set(json.loads(capsys.readouterr().out)["models"]) == names


def test_bench_inference_gives_rows_with_goal_and_baseline(capsys, monkeypatch):
    small = {"": (30, 60, 60), "_small_tomogram": (20, 40, 40)}
    monkeypatch.setattr(inference, "TOMOGRAMS", small)
    assert run(["--json", "--quiet", "bench", "inference", "--tier", "quick"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert set(answer) == {"name", "tier", "machine", "rows"}
    keys = {"metric", "value", "low", "high", "unit", "goal", "better", "baseline"}
    assert all(set(row) == keys for row in answer["rows"])
    ratios = [row for row in answer["rows"] if "speed_up_over_torch_eager" in row["metric"]]
    assert [row["goal"] for row in ratios] == [1.8] * 6
    both = [row for row in ratios if row["metric"].startswith("both")]
    for whole, parts in zip(both, (ratios[1:3], ratios[4:6]), strict=True):
        assert min(part["low"] for part in parts) <= whole["value"]
        assert whole["value"] <= max(part["high"] for part in parts)


def test_bench_rows_of_perfect_and_of_constant_answers():
    perfect = [Scored("A", n, n, 100.0 * n, 100.0 * n, 1.0) for n in (2, 4, 4, 6)]
    rows = {row.metric: row for row in rows_of("", perfect, goals=True)}
    assert rows["mitochondria_count_exact_share"].value == 1.0
    assert rows["mitochondria_count_exact_share"].baseline == "best constant answer (4): 0.500"
    assert rows["microtubule_length_mean_absolute_error"].value == 0.0
    constant = [Scored("A", n, 4, 100.0 * n, 400.0, 0.0) for n in (2, 4, 4, 6)]
    rows = {row.metric: row for row in rows_of("", constant, goals=True)}
    assert rows["mitochondria_count_exact_share"].value == 0.5
    assert rows["microtubule_length_mean_absolute_error"].value == pytest.approx(0.25)


def test_bench_rows_of_lengths_say_what_is_missed_false_and_where():
    found = Scored(
        "A", 2, 2, 1000.0, 900.0, 0.8, perfect_length_nm=1005.0, missed_nm=150.0, false_nm=45.0,
        centreline_dice=0.9, bodies=(2, 2, 1), volume_ratios=(1.1,), ribosomes=(10, 8, 6),
        by_rise=((300, 400), (50, 100), (0, 0)), by_turn=((350, 500), (0, 0), (0, 0)),
    )  # fmt: skip
    rows = {row.metric: row.value for row in rows_of("_x", [found, found], goals=True)}
    assert rows["microtubule_length_missed_share_x"] == pytest.approx(0.15)
    assert rows["microtubule_length_false_share_x"] == pytest.approx(0.05)
    assert rows["microtubule_length_bias_x"] == pytest.approx(-0.1)
    assert rows["microtubule_length_bias_of_the_tracer_on_true_cores_x"] == pytest.approx(0.005)
    assert rows["microtubule_recall_rise_0_to_15_deg_x"] == pytest.approx(0.75)
    assert "microtubule_recall_rise_30_to_90_deg_x" not in rows
    assert rows["mitochondria_f1_at_iou_0.5_x"] == pytest.approx(0.5)
    assert rows["mitochondrion_volume_error_median_x"] == pytest.approx(0.1)
    assert rows["ribosome_f1_within_15_nm_x"] == pytest.approx(12 / 18)


def test_bench_rows_of_matrix_granules():
    rows = {row.metric: row for row in granule_rows([(2, 2), (0, 1), (5, 3), (0, 0)])}
    assert rows["matrix_granules_mean_absolute_error"].value == pytest.approx(0.75)
    assert (
        "best constant answer (1.5): 1.00" in rows["matrix_granules_mean_absolute_error"].baseline
    )
    assert rows["matrix_granules_bias"].value == pytest.approx(7 / 6 - 1)
    assert granule_rows([]) == []


def test_an_analysis_that_is_the_truth_scores_full_marks():
    params, seed = bench_params("A", 3)
    small = replace(params, scene=replace(params.scene, shape=(40, 96, 96), n_free=4))
    simulated = simulate_tomogram(small, seed=seed)
    truth = simulated.truth
    ids = truth.instances.astype(np.uint16)
    order = {one.instance_id: number for number, one in enumerate(truth.organelles, start=1)}
    table = np.zeros(int(ids.max()) + 1, np.uint16)
    for old, new in order.items():
        table[old] = new
    organelles = tuple(
        Organelle(
            order[one.instance_id], one.organelle_class, one.volume_um3, 1.0, 0.9,
            one.centroid_angst, one.touches_border, 1.0,
        )
        for one in truth.organelles
    )  # fmt: skip
    labels = np.zeros(ids.shape, np.uint8)
    labels[truth.membrane] = CLASS_IDS["membrane"]
    labels[truth.microtubule_core] = CLASS_IDS["microtubule"]
    voxel_angst = simulated.tomogram.voxel_size_angst
    none = Measurement(None, "1", None, None, 0, "not asked")
    analysis = TomogramAnalysis(
        LabelVolume(labels, voxel_angst),
        InstanceVolume(table[ids], voxel_angst, organelles),
        truth.filaments,
        OrganelleMeasurements("x", {"crista_volume_ratio_mean": none}, (), Provenance("", "")),
        truth.ribosomes_angst,
    )
    scored = score("A", simulated.tomogram, truth, analysis)
    assert scored.found_count == scored.true_count
    assert scored.bodies[2] == scored.true_count
    assert (scored.missed_nm, scored.false_nm) == (0.0, 0.0)
    assert scored.ribosomes[2] == len(truth.ribosomes_angst)
    assert scored.membrane_dice > 0.97
    assert scored.centreline_dice == pytest.approx(1.0, abs=0.02)
    if scored.true_length_nm > 0:
        assert scored.perfect_length_nm == pytest.approx(scored.true_length_nm, rel=0.08)


def test_benchmark_seeds_are_their_own_and_families_are_equally_many():
    params = [bench_params(FAMILIES[index % 3], index) for index in range(6)]
    assert len({seed for _, seed in params}) == 6
    assert [one.acquisition.family for one, _ in params] == ["A", "B", "C"] * 2


def test_bootstrap_interval_holds_the_mean_of_a_constant():
    assert bootstrap_mean([2.0, 2.0, 2.0]) == (2.0, 2.0)


def test_bench_result_prints_goal_and_baseline():
    row = BenchRow("a", 0.5, "1", "higher", 0.4, 0.6, 0.75, "guess: 0.1")
    text = BenchResult("segmentation", "quick", (row,)).to_text()
    assert "goal 0.75" in text
    assert "guess: 0.1" in text


def test_reference_cohort_has_the_shape_of_the_study_and_is_reproducible():
    recipe = read_cohort_recipe()
    donors = draw_donors(recipe)
    groups = [donor.group for donor in donors]
    assert [groups.count(name) for name in ("cancer", "benign", "healthy")] == [12, 5, 6]
    assert draw_donors(recipe) == donors
    assert len({seed for donor in donors for seed in donor.seeds}) == 23 * 5
    first = field_params(recipe, 4.0, 8.0, donors[0].seeds[0])
    assert first == field_params(recipe, 4.0, 8.0, donors[0].seeds[0])
    assert first.scene.shape == recipe.shape
    rates = np.array([donor.mean_mitochondria for donor in donors])
    assert rates[:12].mean() > rates[12:].mean()
