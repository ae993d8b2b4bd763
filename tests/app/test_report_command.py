import json
import re
from functools import cache
from pathlib import Path

import pytest

from app import reporting
from app.cli import run
from cohorts.store import open_store
from diagnostics import report_document
from diagnostics.report_figures import strip_plot
from diagnostics.report_io import REPORT_FILES
from engine.errors import ModelFileError
from tests.browser.fixture_store import add_analysis, make_store
from tests.diagnostics import synthetic

PREFIX = "tomodx: error: "
# Most reports here are on the same case: draw each picture once.
drawn_once = cache(strip_plot)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("site") / "home")


@pytest.fixture
def site(made, monkeypatch):
    """A store with analyses, against the synthetic cohort instead of the shipped one."""
    shipped = (synthetic.reference(), synthetic.model())
    monkeypatch.setattr(reporting, "load_reference", lambda: shipped)
    monkeypatch.setattr(report_document, "strip_plot", drawn_once)
    return made


def report(site, *arguments):
    return run(["--json", "--store", str(site.store_path), "report", *map(str, arguments)])


def contents(folder):
    return {name: (Path(folder) / name).read_bytes() for name in REPORT_FILES}


def test_a_report_is_written_recorded_and_the_same_again(site, tmp_path, capsys):
    assert report(site, "P01", "--out", tmp_path / "a") == 0
    first = json.loads(capsys.readouterr().out)
    assert report(site, "P01", "--out", tmp_path / "deep" / "b") == 0
    second = json.loads(capsys.readouterr().out)
    assert contents(tmp_path / "a") == contents(tmp_path / "deep" / "b")
    assert first["sha256"] == second["sha256"]
    assert first["report_id"] == second["report_id"]
    assert first["simulated"] is True
    assert Path(first["files"]["report.html"]).is_file()
    rows = open_store(site.url).reports("P01")
    assert len(rows) == 1
    assert contents(rows[0].folder) == contents(tmp_path / "a")


def test_an_amended_report_supersedes_and_leaves_the_earlier_one_as_it_was(site, tmp_path, capsys):
    assert report(site, "P02", "--out", tmp_path / "out") == 0
    first = json.loads(capsys.readouterr().out)
    before = contents(tmp_path / "out")
    assert report(site, "P02", "--out", tmp_path / "out", "--date", "2026-01-02") == 0
    second = json.loads(capsys.readouterr().out)
    assert second["supersedes"] == first["report_id"]
    newest, oldest = open_store(site.url).reports("P02")
    assert contents(oldest.folder) == before
    assert contents(newest.folder) == contents(tmp_path / "out") != before


def test_the_report_shows_the_tomograms_and_their_objects(site, tmp_path, capsys):
    assert report(site, "P01", "--out", tmp_path / "out") == 0
    html = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    for words in ("P01-t1", "P01-t2", "instance 1", "filament 1", "data:image/jpeg", "2.5 nm"):
        assert words in html, words
    assert re.search(r"outlines of mitochondria 1, 2", html)
    assert "no dense granule class" in html
    assert str(site.home) not in html
    assert str(site.home) not in (tmp_path / "out" / "report.json").read_text(encoding="utf-8")
    capsys.readouterr()


def test_what_is_printed_for_people_ends_with_the_place_of_the_report(site, tmp_path, capsys):
    arguments = ["--store", str(site.store_path), "report", "P01", "--out", str(tmp_path / "o")]
    assert run(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("SIMULATED DATA")
    assert lines[-1] == f"Report: {tmp_path / 'o' / 'report.html'}"


@pytest.mark.parametrize(
    ("donor", "extra", "words"),
    [
        ("NOBODY", (), "NOBODY"),
        ("P03", (), "P03: expected at least one analysed tomogram, found none"),
        ("P01", ("--date", "yesterday"), "YYYY-MM-DD"),
    ],
)
def test_bad_input_is_one_line_with_status_2_and_leaves_nothing(
    site, tmp_path, capsys, donor, extra, words
):
    assert report(site, donor, "--out", tmp_path / "out", *extra) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(PREFIX)
    assert captured.err.count("\n") == 1
    assert words in captured.err
    assert list(tmp_path.iterdir()) == []


def test_an_out_folder_that_cannot_be_written_is_refused(site, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    assert report(site, "P01", "--out", tmp_path / "file") == 2
    assert report(site, "P01", "--out", tmp_path / "file" / "below") == 2
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("mine")
    assert report(site, "P01", "--out", tmp_path / "full") == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert all(line.startswith(PREFIX) for line in lines)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "full", "letter.txt"]


def test_an_altered_model_is_refused(site, tmp_path, capsys, monkeypatch):
    def load():
        raise ModelFileError("the locked model was altered")

    monkeypatch.setattr(reporting, "load_reference", load)
    assert report(site, "P01", "--out", tmp_path / "out") == 2
    assert "altered" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_new_analysis_amends_the_report(site, tmp_path, capsys):
    store = open_store(site.url)
    assert report(site, "P01", "--out", tmp_path / "a") == 0
    rows = store.tomograms("P01")
    add_analysis(store, site.home / "artifacts", rows[1], seed=7)
    assert report(site, "P01", "--out", tmp_path / "b") == 0
    outcomes = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert outcomes[1]["supersedes"] == outcomes[0]["report_id"]
    assert outcomes[1]["sha256"] != outcomes[0]["sha256"]
