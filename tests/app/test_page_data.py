"""What the worklist and the case page gather from a store."""

import json

import pytest

from app import case_data, drawings, markup
from app.case_data import case_view, shown_tomogram, voxel_wanted
from app.page_data import worklist
from cohorts.store import open_store
from engine.errors import BadInputError
from tests.browser.fixture_store import make_store
from tests.diagnostics import synthetic


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("home") / "tomodx")


@pytest.fixture
def store(made):
    opened = open_store(made.url)
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def shipped(monkeypatch):
    monkeypatch.setattr(
        case_data, "load_reference", lambda: (synthetic.reference(), synthetic.model())
    )
    case_data.shipped_reference.cache_clear()
    yield
    case_data.shipped_reference.cache_clear()


def put_report(store, folder, content):
    folder.mkdir(parents=True)
    (folder / "report.json").write_text(content, encoding="utf-8")
    return store.add_report("P01", folder, "0" * 64)


def test_the_worklist_counts_doubts_and_knows_simulated_donors(store):
    rows = {row.donor: row for row in worklist(store)}
    assert list(rows) == ["P01", "P02", "P03"]
    assert (rows["P01"].n_doubts, rows["P01"].simulated, rows["P01"].result) == (2, True, None)
    assert (rows["P03"].n_analysed, rows["P03"].simulated) == (0, False)


def test_the_newest_report_gives_the_probability(store, tmp_path):
    def content(probability):
        return json.dumps(
            {
                "headline": {"title": "T", "verdict": "positive"},
                "prediction": {"probability": probability, "low": 0.1, "high": 0.9},
            }
        )

    put_report(store, tmp_path / "one", content(0.3))
    put_report(store, tmp_path / "two", content(0.7))
    row = worklist(store)[0]
    assert row.result is not None
    assert row.result.probability == 0.7
    assert "0.70 (0.10 to 0.90)" in markup.probability_bar(row.result)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"headline": 3, "prediction": 4}'])
def test_a_report_that_cannot_be_read_gives_no_result(store, tmp_path, content):
    put_report(store, tmp_path / "bad", content)
    assert worklist(store)[0].result is None


def test_a_report_of_fewer_tomograms_is_outdated(store, tmp_path):
    put_report(store, tmp_path / "old", json.dumps({"versions": {"tomograms": {"ball-1": {}}}}))
    assert case_view(store, "P01").is_outdated
    both = {"versions": {"tomograms": {"P01-t1": {}, "P01-t2": {}}}}
    put_report(store, tmp_path / "new", json.dumps(both))
    assert not case_view(store, "P01").is_outdated


def test_a_case_is_set_against_the_reference(store):
    view = case_view(store, "P01")
    assert view.report is not None
    assert view.simulated
    assert [row.feature.name for row in view.report.rows("model")] == [
        "mitochondria_count",
        "microtubule_length_total_nm",
    ]


def test_an_unknown_donor_is_refused(store):
    with pytest.raises(BadInputError, match="nobody"):
        case_view(store, "nobody")


def test_the_tomogram_wanted_is_opened_else_the_first(store):
    view = case_view(store, "P02")
    assert shown_tomogram(view, "P02-t2").tomogram_id == "P02-t2"
    assert shown_tomogram(view, "P01-t1").tomogram_id == "P02-t1"
    assert shown_tomogram(view, None).tomogram_id == "P02-t1"


@pytest.mark.parametrize(
    ("text", "voxel"),
    [("1,2,3", (1, 2, 3)), (None, None), ("1,2", None), ("1,2,x", None), ("-1,2,3", None)],
)
def test_a_voxel_in_an_address_is_read_or_ignored(text, voxel):
    assert voxel_wanted(text) == voxel


def test_drawings_name_the_case_and_keep_points_inside(store):
    report = synthetic.report()
    strip = drawings.strip_drawing(report.rows("model")[0], report.panel)
    assert strip.startswith('<img src="data:image/svg+xml;base64,')
    assert "This case: " in strip
    assert "threshold 0.5" in drawings.probability_drawing(report)
    scale = drawings.Scale(0.0, 2.0, 10.0, 30.0)
    assert [scale.at(value) for value in (-1.0, 1.0, 5.0)] == [10.0, 20.0, 30.0]


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [(0.0, 1.0, [0.0, 0.5, 1.0]), (0.0, 8.2, [0.0, 5.0]), (-0.3, 0.9, [0.0, 0.5])],
)
def test_ticks_are_round(low, high, ticks):
    assert drawings.nice_ticks(low, high) == ticks


def test_names_from_outside_are_escaped(store):
    rows = [worklist(store)[0]]
    hostile = type(rows[0])(**{**vars(rows[0]), "donor": "<b>x</b>", "site": '"><script>'})
    text = markup.worklist_table([hostile], show_group=True)
    assert "<b>x" not in text
    assert "<script>" not in text
