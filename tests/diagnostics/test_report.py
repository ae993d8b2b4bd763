import json
import re

import numpy as np
import pytest

from diagnostics.features.table import feature_named
from diagnostics.report import build_report
from diagnostics.report_document import document
from diagnostics.report_html import report_html
from diagnostics.report_io import REPORT_FILES, report_files, write_report
from diagnostics.report_json import report_json
from diagnostics.report_pdf import report_pdf
from diagnostics.report_text import remark
from diagnostics.single_case import ReferenceInterval
from engine.errors import BadInputError
from tests.diagnostics import synthetic

HOSTILE = "<script>alert(1)</script>&\"'"
PARTS = (
    "What was measured",
    "Where this case lies",
    "What it looks like",
    "What to keep in mind",
    "What the model's result rests on",
    "This case against the control donors",
    "Further measurements",
    "The recording against the cohort's",
    "Quality, and what could not be assessed",
    "Tomogram by tomogram",
    "Evidence",
    "Reference cohort",
    "Clinical background",
    "Methods",
    "Limits",
    "Versions and hashes (SHA-256)",
)


def build(case=None, **changes):
    evidence = [synthetic.evidence(name) for name in ("T-1", "T-2", "T-3")]
    return build_report(
        case or synthetic.case(**changes), synthetic.reference(), synthetic.model(), evidence
    )


def html_of(report):
    return report_html(document(report))


@pytest.fixture(scope="module")
def html():
    return html_of(synthetic.report())


def text_of(html):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html.split("<body>")[1]))


def test_the_same_report_gives_the_same_bytes(tmp_path):
    evidence = [synthetic.evidence("T-1"), synthetic.evidence("T-2")]
    again = build_report(synthetic.case(), synthetic.reference(), synthetic.model(), evidence)
    first = report_files(synthetic.report())
    assert report_files(again) == first
    write_report(again, tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in REPORT_FILES} == first


def test_no_clock_gets_in_and_a_date_only_where_given(html):
    assert synthetic.report().date is None
    assert not re.search(r"\b20[2-9]\d-\d\d-\d\d", text_of(html))
    dated = build_report(
        synthetic.case(), synthetic.reference(), synthetic.model(), (), date="2026-01-02"
    )
    assert "2026-01-02" in html_of(dated)


@pytest.mark.parametrize("title", PARTS)
def test_every_part_is_there(html, title):
    assert title.replace("'", "&#39;") in html


def test_what_a_reader_must_know_stands_in_the_page(html):
    text = text_of(html)
    accuracy = synthetic.model().validation.accuracy
    for words in (
        "SIMULATED DATA",
        "Research use only",
        f"{accuracy.correct} of 23 simulated donors",
        "385",
        "10.1073/pnas.1518628112",
        "unverified",
        "n = 11",
        synthetic.model().sha256,
        synthetic.reference().sha256,
        "instance 1",
        "filament 1",
        "the 12 longest listed",
    ):
        assert words in text, words


def test_pdf_and_html_are_printed_from_the_same_parts():
    printed = document(synthetic.report())
    assert [part.title for part in (*printed.summary, *printed.details)] == list(PARTS)
    pdf = report_pdf(printed)
    assert pdf.startswith(b"%PDF-")
    assert b"/FontFile2" in pdf
    assert b"D:20000101000000" in pdf


def test_the_probability_shown_is_the_locked_models(html):
    report = synthetic.report()
    case = synthetic.case()
    values = np.array([case.values[name].value for name in report.panel.features])
    probability = synthetic.model().probability(values)
    assert report.prediction.probability == probability
    assert json.loads(report_json(report))["prediction"]["probability"] == probability
    shown = f"{probability:.2f}" if 0.01 <= probability <= 0.99 else "0.99"
    assert shown in text_of(html)


def test_not_assessable_is_shown_with_its_reason_and_never_as_zero():
    missing = (("dense_granule_count", "no dense granule class"),)
    report = build(missing=missing)
    text = text_of(html_of(report))
    assert "Dense granules per tomogram no dense granule class" in text
    assert "dense granules per tomogram; the reasons are listed" in text
    found = json.loads(report_json(report))
    assert found["features"]["dense_granule_count"]["value"] is None
    assert found["not_assessable"] == {"Dense granules per tomogram": "no dense granule class"}
    assert "dense_granule_count" not in [row.feature.name for row in report.rows("supporting")]


def test_a_withheld_result_says_why_and_shows_no_probability():
    report = build(missing=(("mitochondria_count", "no cytoplasm"),))
    assert report.headline.verdict == "withheld"
    text = text_of(html_of(report))
    assert "No model result" in text
    assert "no cytoplasm" in text
    assert "A probability of" not in text
    assert report_pdf(document(report)).startswith(b"%PDF-")


def test_hostile_names_are_escaped_in_html_and_printed_in_pdf():
    case = synthetic.case_features(
        HOSTILE,
        [
            synthetic.measurements(n, flags=(type(synthetic.WARNING)("warning", "x", HOSTILE),))
            for n in (1, 2, 3)
        ],
    )
    evidence = [synthetic.evidence(HOSTILE)]
    report = build_report(case, synthetic.reference(), synthetic.model(), evidence, date=HOSTILE)
    html = html_of(report)
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert report_pdf(document(report)).startswith(b"%PDF-")
    assert json.loads(report_json(report))["donor"] == HOSTILE


def test_nothing_is_fetched(html):
    addresses = re.findall(r"(?:src|href|url)\s*[=(]\s*[\"']?([^\"')\s>]+)", html)
    assert addresses
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert "default-src 'none'" in html
    assert "@import" not in html
    assert "<script" not in html


def test_every_picture_has_words(html):
    images = re.findall(r"<img\b[^>]*>", html)
    assert len(images) > 15
    assert all(re.search(r'alt="[^"]{15,}"', image) for image in images)
    assert '<html lang="en">' in html


def test_the_case_and_its_interval_are_in_the_words_of_its_picture(html):
    assert re.search(r'alt="Mitochondria per tomogram\. This case: 7\.0 \(4\.5–9\.5\)', html)


def test_a_model_of_another_cohort_is_refused():
    frame = synthetic.table().frame.copy()
    frame.loc[0, "vesicle_count"] += 1.0
    table = type(synthetic.table())(frame, synthetic.table().features)
    other = synthetic.reference_from_table("other", table, description="", simulated=True)
    with pytest.raises(BadInputError, match="locked on a cohort other than"):
        build_report(synthetic.case(), other, synthetic.model(), ())


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("mitochondria_count", 9.0, "above the range"),
        ("mitochondria_count", 1.0, "below the range; not the side looked for"),
        ("microtubule_length_total_nm", 1.0, "below the range"),
        ("vesicle_count", 1.0, "below the range"),
        ("vesicle_count", 3.0, "within the range"),
    ],
)
def test_the_remark_tells_the_side_looked_for(name, value, words):
    interval = ReferenceInterval(2.0, 4.0, 11, "parametric prediction interval")
    feature = feature_named(name)
    assert remark(feature, synthetic.measured(value, feature.unit, 0.5), interval) == words


def test_few_tomograms_are_flagged():
    case = synthetic.case_features("D", [synthetic.measurements(n) for n in (1, 2)])
    flags = [flag.code for flag in build(case).flags]
    assert "few_tomograms" in flags


def test_the_json_is_strict_and_complete():
    found = json.loads(report_json(synthetic.report()), parse_constant=pytest.fail)
    assert set(found["features"]) == {row.feature.name for row in synthetic.report().features}
    row = found["features"]["mitochondria_count"]
    assert row["low"] < row["value"] < row["high"]
    assert row["reference_range"]["n"] == 11
    assert found["versions"]["tomograms"]["T-1"]["inputs"][0]["sha256"] == "b" * 64
    assert found["simulated"] == {"case": True, "reference": True}
