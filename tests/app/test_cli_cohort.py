import json

import numpy as np
import pytest

from app.cli import run
from app.pipeline import CohortRun
from cohorts.store import open_store
from tests.cohorts.examples import manifest_rows, measured, write_manifest


def features(folder, n=(12, 11), rows=4, shift=2.0, seed=0):
    """Names and labels that look like numbers, text, gaps, a constant, an identifier."""
    rng = np.random.default_rng(seed)
    lines = ["patient,status,note,count,length_nm,constant,grid_id,site"]
    for i, label in enumerate(np.repeat(["1", "0"], n)):
        donor = rng.normal(size=2) * 0.5 + shift * (label == "1")
        for k in range(rows):
            count, length = donor + rng.normal(size=2)
            shown = "" if k == 1 and i % 3 == 0 else f"{length:.4f}"
            lines.append(f"{i:03d},{label},seen,{count:.4f},{shown},7,{rng.integers(99)},S{i % 3}")
    path = folder / "features.csv"
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def called(capsys, *arguments):
    status = run(list(arguments))
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def refused(capsys, *arguments):
    status, out, err = called(capsys, *arguments)
    assert status == 2
    assert out == ""
    assert err.startswith("tomodx: error: ")
    assert err.count("\n") == 1
    return err


def columns(path):
    return ("--features", path, "--label", "status", "--donor", "patient")


def test_validate_prints_the_figures_as_json(tmp_path, capsys):
    path = features(tmp_path)
    arguments = ("cohort", "validate", *columns(path), "--positive", "1", "--permutations", "199")
    status, out, _ = called(capsys, "--json", *arguments)
    assert status == 0
    content = json.loads(out)
    assert content["n_donors"] == 23
    assert content["features"] == ["count", "length_nm", "constant"]
    assert content["accuracy"]["n"] == 23
    assert content["permutation_p"] == pytest.approx(0.005)
    for figure in (content["auc"], *content["calibration"].values(), content["specificity"]):
        assert set(figure) >= {"value", "low", "high", "method"}
    assert set(content["predictions"][0]) >= {"donor", "label", "probability", "predicted"}
    assert content["predictions"][0]["donor"] == "000"


@pytest.mark.parametrize("further", [
    ("--model", "firth"),
    ("--folds", "site"),
    ("--feature", "count"),
    ("--feature", "count", "--feature", "length_nm", "--model", "firth", "--folds", "site"),
])  # fmt: skip
def test_validate_takes_model_folds_and_features(tmp_path, capsys, further):
    arguments = ("cohort", "validate", *columns(features(tmp_path)), "--positive", "1")
    status, out, _ = called(capsys, "--json", *arguments, "--permutations", "99", *further)
    assert status == 0
    assert json.loads(out)["accuracy"]["correct"] > 15


def test_compare_prints_a_row_a_feature(tmp_path, capsys):
    status, out, _ = called(capsys, "--json", "cohort", "compare", *columns(features(tmp_path)))
    rows = {row["feature"]: row for row in json.loads(out)["features"]}
    assert status == 0
    assert list(rows) == ["count", "length_nm", "constant"]
    wanted = {"feature", "test", "n", "statistic", "p_value", "q_value", "effect", "low", "high"}
    assert set(rows["count"]) >= wanted | {"icc"}
    assert rows["count"]["n"] == 23
    assert rows["count"]["p_value"] < 0.001
    assert rows["constant"]["p_value"] is None


def test_text_and_files_are_for_people(tmp_path, capsys):
    path, out_folder = features(tmp_path), tmp_path / "out"
    status, out, _ = called(
        capsys, "cohort", "compare", *columns(path), "--test", "rank", "--out", str(out_folder)
    )
    assert status == 0
    assert "Mann-Whitney" in out
    assert "constant: not tested" in out
    names = {file.name for file in out_folder.iterdir()}
    assert names >= {"comparison.csv", "comparison.json", "comparison.png", "donor_means.csv"}
    arguments = ("cohort", "validate", *columns(path), "--positive", "1", "--permutations", "99")
    status, out, _ = called(capsys, *arguments, "--out", str(tmp_path / "val"))
    assert status == 0
    assert "Permutation p" in out
    assert (tmp_path / "val" / "validation.png").stat().st_size > 10_000
    table = (tmp_path / "val" / "predictions.csv").read_text().splitlines()
    assert table[0] == "donor,label,probability,predicted,correct"
    assert len(table) == 24


def test_figures_of_simulated_data_say_so(tmp_path, capsys):
    path = tmp_path / "t.csv"
    rows = [f"D{i},{'a' if i < 4 else 'b'},true,{i}" for i in range(8)]
    path.write_text("\n".join(["patient,status,simulated,x", *rows]) + "\n")
    for command, further in (("compare", ()), ("validate", ("--positive", "a"))):
        arguments = ("cohort", command, *columns(str(path)), *further)
        assert "SIMULATED DATA" in called(capsys, *arguments)[1]
        assert json.loads(called(capsys, "--json", *arguments)[1])["simulated"] is True


@pytest.mark.parametrize(("change", "words"), [
    (("--label", "colour"), "expected the column colour"),
    (("--positive", "cancer"), "one of the labels 0, 1"),
    (("--model", "forest"), "lda, firth"),
    (("--feature", "note"), "expected numbers in note"),
    (("--folds", "grid_id"), "grid_id: the donor is the unit"),
    (("--folds", "status"), "only one class"),
    (("--features", "nowhere.csv"), "no such file"),
    (("--permutations", "5"), "permutations"),
])  # fmt: skip
def test_validate_refuses_in_one_line(tmp_path, capsys, change, words):
    path = features(tmp_path)
    arguments = ("cohort", "validate", *columns(path), "--positive", "1", *change)
    assert words in refused(capsys, *arguments, "--out", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_donor_with_two_labels_is_refused(tmp_path, capsys):
    path = tmp_path / "t.csv"
    path.write_text("patient,status,x\nA,1,1\nA,0,2\nB,1,1\nC,0,3\n")
    for command, further in (("compare", ()), ("validate", ("--positive", "1"))):
        assert "A (0, 1)" in refused(capsys, "cohort", command, *columns(str(path)), *further)


def test_compare_refuses_an_unknown_test_and_an_output_that_is_a_file(tmp_path, capsys):
    path = features(tmp_path)
    assert "welch, rank" in refused(capsys, "cohort", "compare", *columns(path), "--test", "z")
    arguments = ("cohort", "compare", *columns(path), "--out", f"{path}/under")
    assert "output" in refused(capsys, *arguments)


def test_a_cohort_goes_from_manifest_to_table(tmp_path, capsys, monkeypatch):
    manifest = write_manifest(tmp_path, manifest_rows(tmp_path))
    store = ("--store", str(tmp_path / "s" / "store.sqlite"))
    status, out, _ = called(capsys, "--json", *store, "cohort", "import", str(manifest))
    assert status == 0
    assert json.loads(out)["n_new_tomograms"] == 4
    assert json.loads(called(capsys, "--json", *store, "cohort", "import", str(manifest))[1]) == {
        "n_donors": 2, "n_tomograms": 4, "n_new_tomograms": 0, "donors": ["D0", "D1"]
    }  # fmt: skip
    assert "no analysed tomogram" in refused(
        capsys, *store, "cohort", "features", "--out", str(tmp_path / "f.csv")
    )
    assert not (tmp_path / "f.csv").exists()
    opened = open_store(f"sqlite:///{tmp_path / 's' / 'store.sqlite'}")
    opened.record_analysis("D0_t0", "a" * 64, tmp_path / "a", measured("D0_t0"))
    status, out, _ = called(capsys, *store, "cohort", "features", "--out", str(tmp_path / "f.csv"))
    assert status == 0
    assert (tmp_path / "f.csv").read_text().splitlines()[1].startswith("D0,cancer,A,D0_t0,false,")
    status, out, _ = called(capsys, *store, "cohort", "list")
    assert "D1" in out
    assert "waiting" in out
    opened.close()


def test_cohort_run_says_what_failed(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        "app.commands.cohort.run_cohort",
        lambda store, settings, on_progress, workers: CohortRun(3, 1, (("D1_t0", "bad file"),)),
    )
    store = ("--store", str(tmp_path / "store.sqlite"))
    status, out, _ = called(capsys, "--json", *store, "cohort", "run", "--workers", "2")
    assert status == 1
    assert json.loads(out)["failed"] == [{"tomogram": "D1_t0", "reason": "bad file"}]
    assert "D1_t0: bad file" in called(capsys, *store, "cohort", "run")[1]


@pytest.mark.parametrize("fault", ["missing column", "duplicate", "outside", "no file"])
def test_a_faulty_manifest_is_one_line_and_leaves_no_store(tmp_path, capsys, fault):
    rows = manifest_rows(tmp_path)
    if fault == "missing column":
        for row in rows:
            del row["site"]
    elif fault == "duplicate":
        rows.append(rows[0])
    elif fault == "outside":
        rows[0]["tomogram"] = "../../x.mrc"
    manifest = write_manifest(tmp_path, rows)
    if fault == "no file":
        manifest.unlink()
    store = tmp_path / "store" / "store.sqlite"
    refused(capsys, "--store", str(store), "cohort", "import", str(manifest))
    assert not store.parent.exists()


def test_a_store_that_is_none_is_refused(tmp_path, capsys):
    path = tmp_path / "store.sqlite"
    path.write_text("not a database " * 100)
    assert "is not a store" in refused(capsys, "--store", str(path), "cohort", "list")


def test_worker_runs_what_is_queued_and_ends(tmp_path, capsys):
    store = ("--store", str(tmp_path / "store.sqlite"))
    opened = open_store(f"sqlite:///{tmp_path / 'store.sqlite'}")
    number = opened.enqueue_job("report", {"donor": "nobody"})
    status, out, _ = called(capsys, "--json", *store, "worker", "--once")
    assert status == 0
    assert json.loads(out) == {"n_jobs": 1}
    assert opened.job(number).state == "failed"
    assert "expected a folder" in refused(capsys, *store, "worker", "--data-root", "/nowhere")
    opened.close()
