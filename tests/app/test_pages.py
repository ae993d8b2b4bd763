"""Every page run by Streamlit's own test driver: what is said, what a click does."""

import sys
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from app import case_data
from app.context import Settings
from app.frame import PAGES
from app.server import MAIN_SCRIPT
from app.web_site import Site, current_store, site
from cohorts.store import open_store
from engine.errors import BadInputError
from tests.browser.fixture_store import make_store
from tests.diagnostics import synthetic

PATIENCE_S = 60


@pytest.fixture
def shipped(monkeypatch):
    """The reference cohort of the tests in place of the one installed."""
    monkeypatch.setattr(
        case_data, "load_reference", lambda: (synthetic.reference(), synthetic.model())
    )
    case_data.shipped_reference.cache_clear()
    yield
    case_data.shipped_reference.cache_clear()


@pytest.fixture
def unshipped(monkeypatch):
    def refuse():
        raise BadInputError("expected a reference cohort, found none")

    monkeypatch.setattr(case_data, "load_reference", refuse)
    case_data.shipped_reference.cache_clear()
    yield
    case_data.shipped_reference.cache_clear()


@pytest.fixture(scope="module")
def full_home(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("home") / "tomodx")


@pytest.fixture
def full(full_home):
    with site(Site(Settings(store=str(full_home.store_path)), full_home.data_root)):
        yield full_home
        current_store().close()


@pytest.fixture
def empty(tmp_path):
    open_store(f"sqlite:///{tmp_path / 'store.sqlite'}").close()
    (tmp_path / "data").mkdir()
    with site(Site(Settings(store=str(tmp_path / "store.sqlite")), tmp_path / "data")):
        yield tmp_path
        current_store().close()


def open_page(name: str, **query: str) -> AppTest:
    driver = AppTest.from_file(str(MAIN_SCRIPT), default_timeout=PATIENCE_S)
    for key, value in query.items():
        driver.query_params[key] = value
    driver.switch_page(name)
    return driver.run()


def said(driver: AppTest) -> str:
    """All HTML of a page."""
    assert not driver.exception, driver.exception
    return "\n".join(block.proto.body for block in driver.get("html"))


def test_the_worklist_lists_donors_and_links_to_them(full, shipped):
    text = said(open_page("worklist.py"))
    assert "Research use only" in text
    assert "Simulated data" in text
    assert 'href="/case?donor=P01"' in text
    assert "2 of 2" in text
    assert "0 of 2" in text


def test_the_worklist_hides_groups_until_asked(full, shipped):
    driver = open_page("worklist.py")
    assert '<th scope="col">Group</th>' not in said(driver)
    driver.toggle(key="show_group").set_value(True).run()
    assert '<th scope="col">Group</th>' in said(driver)


def test_the_worklist_finds_a_donor(full, shipped):
    driver = open_page("worklist.py")
    driver.text_input(key="find").set_value("p02").run()
    assert "donor=P02" in said(driver)
    assert "donor=P01" not in said(driver)
    driver.text_input(key="find").set_value("nobody").run()
    assert "No donor matches" in said(driver)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("worklist.py", "No donors yet"),
        ("case.py", "No donors yet"),
        ("new_analysis.py", "No tomogram in the data folder"),
    ],
)
def test_an_empty_store_says_what_to_do(empty, shipped, name, words):
    assert words in said(open_page(name))


def test_a_case_shows_result_measurements_and_flags(full, shipped):
    text = said(open_page("case.py", donor="P01"))
    assert "Case P01" in text
    assert "Simulated data" in text
    assert "tdx-headline" in text
    assert "Mitochondria per tomogram" in text
    assert "95 % interval" in text
    assert "specimen is thinner than 150 nm" in text
    assert "Dense granules per tomogram: no dense granule class" in text


def test_a_case_without_reference_cohort_says_so_and_still_opens(full, unshipped):
    text = said(open_page("case.py", donor="P01"))
    assert "No result" in text
    assert "expected a reference cohort, found none" in text


def test_a_case_not_yet_analysed_says_so(full, shipped):
    text = said(open_page("case.py", donor="P03"))
    assert "No tomogram of this donor has been analysed yet" in text
    assert "P03-t1: waiting" in text


def test_an_unknown_donor_in_the_address_is_escaped(full, shipped):
    text = said(open_page("case.py", donor="<script>alert(1)</script>"))
    assert "No such donor" in text
    assert "<script>" not in text


def test_the_report_button_queues_one_job(full, shipped):
    driver = open_page("case.py", donor="P02")
    driver.button(key="report-P02").click().run()
    said(driver)
    jobs = [job for job in current_store().jobs() if job.kind == "report"]
    assert [dict(job.payload) for job in jobs] == [{"donor": "P02"}]
    keys = {button.key for button in driver.button}
    assert "report-P02" not in keys
    current_store().cancel_job(jobs[0].job_id)


def test_a_reader_rejects_an_instance_on_the_case_page(tmp_path, shipped):
    home = make_store(tmp_path / "tomodx")
    with site(Site(Settings(store=str(home.store_path)), home.data_root)):
        driver = open_page("case.py", donor="P01")
        assert "No corrections yet" in said(driver)
        key = next(one.key for one in driver.button if one.key and "correct-add" in one.key)
        name = key.removeprefix("correct-add-")
        driver.button(key=key).click().run()
        assert "give a pseudonym" in driver.error[0].value
        driver.text_input(key=f"correct-reader-{name}").set_value("reader-2").run()
        driver.button(key=key).click().run()
        assert "a correction needs a reason" in driver.error[0].value
        driver.selectbox(key=f"correct-kind-{name}").set_value("reject").run()
        driver.multiselect(key=f"correct-ids-{name}-reject").set_value([1]).run()
        driver.text_input(key=f"correct-reason-{name}").set_value("a <b>vesicle</b>").run()
        driver.button(key=key).click().run()
        text = said(driver)
        assert "<td>mitochondrion</td><td>2</td><td>1</td>" in text
        assert "a &lt;b&gt;vesicle&lt;/b&gt;" in text
        current_store().close()
    (log,) = home.home.rglob("*.corrections.json")
    assert '"kind": "reject"' in log.read_text()


def test_the_next_button_opens_the_next_case(full, shipped):
    driver = open_page("case.py", donor="P01")
    next(button for button in driver.button if button.label == "▶").click().run()
    assert "Case P02" in said(driver)


def test_the_cohort_page_shows_groups_and_validation(full, shipped):
    driver = open_page("cohort.py")
    text = said(driver)
    accuracy = synthetic.model().validation.accuracy
    assert f"{accuracy.correct} of {accuracy.n}" in text
    assert "95 % interval" in text
    assert "Simulated data" in text
    assert len(driver.get("plotly_chart")) == 4


def test_the_cohort_page_shows_the_stores_own_donors(full, shipped):
    driver = open_page("cohort.py")
    driver.segmented_control(key="cohort").set_value("store").run()
    assert len(driver.get("plotly_chart")) == 2
    assert "Model validation" not in said(driver)


def test_the_cohort_page_without_reference_says_so(full, unshipped):
    assert "No reference cohort" in said(open_page("cohort.py"))


def test_a_chosen_file_is_checked_and_queued(full, shipped):
    driver = open_page("new_analysis.py")
    driver.selectbox(key="file").set_value("fresh.mrc").run()
    text = said(driver)
    assert "120 × 96 × 40 voxels" in text
    assert "25.00 Å" in text
    driver.button(key="queue").click().run()
    assert "Donor: give a pseudonym" in said(driver)
    driver.text_input(key="new_donor").set_value("P09").run()
    driver.button(key="queue").click().run()
    job = current_store().jobs()[0]
    assert job.kind == "analyze"
    assert job.payload["path"] == "fresh.mrc"
    assert job.payload["donor"] == "P09"
    driver = open_page("new_analysis.py")
    driver.button(key=f"cancel-{job.job_id}").click().run()
    assert current_store().job(job.job_id).state == "cancelled"


def test_the_models_page_describes_the_diagnostic_model(full, shipped):
    text = said(open_page("model_cards.py"))
    assert synthetic.model().sha256 in text
    assert "Linear discriminant" in text


def test_no_page_is_called_like_a_module():
    pages = {path.stem for path in MAIN_SCRIPT.parent.glob("*.py")} - {"__init__"}
    ours = {"app", "cohorts", "diagnostics", "engine", "models", "tests"}
    assert not pages & (ours | sys.stdlib_module_names)
    assert {page.file for page in PAGES} == {f"{name}.py" for name in pages - {"main"}}


def test_no_page_opens_a_file_outside_the_artifacts_by_its_address(full, shipped):
    text = said(open_page("case.py", donor="P01", tomogram="../../etc/passwd"))
    assert "passwd" not in text
    assert Path("/etc/passwd").exists()
