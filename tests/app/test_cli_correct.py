import json

import pandas as pd
import pytest

from app.cli import run
from engine.io.analysis_files import write_analysis
from engine.io.digests import sha256_of
from engine.io.mrc import read_labels
from tests.analyses import analysis, tomogram
from tests.app.test_cli_bad_input import error_line

BAD_INPUT = 2


@pytest.fixture
def analysed(tmp_path):
    out = tmp_path / "case"
    write_analysis(analysis(), tomogram(), out)
    return out


def refused(capsys, *words):
    assert run(["correct", *words]) == BAD_INPUT
    return error_line(capsys.readouterr().err)


def corrected(capsys, *words):
    assert run(["--json", "--quiet", "correct", *words]) == 0
    return json.loads(capsys.readouterr().out)


def test_rejecting_counts_one_less_and_leaves_the_analysis_as_it_was(analysed, capsys):
    before = {path.name: sha256_of(path) for path in analysed.iterdir()}
    found = corrected(capsys, str(analysed), "reject", "1", "--reason", "a vesicle")
    assert found["counts"]["mitochondrion"] == {"automatic": 1, "corrected": 0}
    assert {path.name: sha256_of(path) for path in analysed.iterdir()} == before
    ids, _ = read_labels(analysed.with_name("case.corrected") / "instances.mrc")
    assert set(ids.reshape(-1).tolist()) == {0, 2}
    log = json.loads(analysed.with_name("case.corrections.json").read_text())
    assert log["corrections"][0]["reason"] == "a vesicle"
    assert log["corrections"][0]["when"]


def test_corrections_add_up_and_are_shown(analysed, capsys):
    place = ["--at", "25,35,30", "--at", "25,35,65"]
    corrected(capsys, str(analysed), "split", "1", *place, "--reason", "a neck")
    corrected(capsys, str(analysed), "accept", "2", "--reason", "clear")
    found = corrected(capsys, str(analysed), "show")
    assert found["n_corrections"] == 2
    assert found["counts"]["mitochondrion"] == {"automatic": 1, "corrected": 2}
    table = pd.read_csv(analysed.with_name("case.corrected") / "instances.csv")
    assert table["instance_id"].tolist() == [1, 2, 3]
    assert table.loc[table["instance_id"] == 2, "accepted"].tolist() == [True]
    counts = pd.read_csv(analysed.with_name("case.corrected") / "counts.csv", index_col="class")
    assert counts.loc["mitochondrion"].tolist() == [1, 2]


def test_what_was_measured_of_an_untouched_instance_is_kept_and_of_a_changed_one_is_not(
    analysed, capsys
):
    corrected(capsys, str(analysed), "accept", "1", "--reason", "clear")
    after = analysed.with_name("case.corrected") / "instances.csv"
    before = pd.read_csv(analysed / "instances.csv")
    pd.testing.assert_frame_equal(pd.read_csv(after)[before.columns], before)
    assert before["state"].tolist()[0] == "swollen"
    place = ["--at", "25,35,30", "--at", "25,35,65"]
    corrected(capsys, str(analysed), "split", "1", *place, "--reason", "a neck")
    parts = pd.read_csv(after)
    assert parts.loc[parts["class"] == "mitochondrion", "state"].isna().all()


def test_a_wrong_correction_is_one_line_and_changes_nothing(analysed, capsys):
    line = refused(capsys, str(analysed), "reject", "7", "--reason", "x")
    assert "no instance 7" in line
    assert not analysed.with_name("case.corrections.json").exists()
    assert not analysed.with_name("case.corrected").exists()
    assert "reason" in refused(capsys, str(analysed), "reject", "1")
    wrong = [str(analysed), "split", "1", "--at", "here", "--reason", "x"]
    assert "Z,Y,X" in refused(capsys, *wrong)


def test_a_log_of_another_analysis_is_refused(analysed, capsys):
    analysed.with_name("case.corrections.json").write_text(
        json.dumps({"instances_sha256": "0" * 64, "corrections": []})
    )
    assert "another analysis" in refused(capsys, str(analysed), "show")
    analysed.with_name("case.corrections.json").write_text("[]")
    assert "something else" in refused(capsys, str(analysed), "show")
