import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from app.context import Settings
from app.jobs import Tools, Worker, path_inside
from app.method import AnalysisMethod
from engine.errors import BadInputError, MissingFileError
from tests.app.fake_analysis import analyse, calls, method
from tests.cohorts.examples import fresh_store

ROOT = Path(__file__).parents[2]
WORK = """
import sys
from pathlib import Path
from tests.app.test_jobs import worker
from tests.cohorts.examples import fresh_store
folder = Path(sys.argv[1])
worker(fresh_store(folder), folder).run(once=True)
"""


def report(store, donor, out_folder, settings):
    out_folder.mkdir(parents=True)
    (out_folder / "report.json").write_text("{}")
    store.add_report(donor, out_folder, "0" * 64)


def worker(store, folder, chosen=method, write_report=report):
    settings = Settings(quiet=True, store=str(folder / "store.sqlite"))
    return Worker(store, settings, folder / "data", Tools(chosen, write_report))


@pytest.fixture
def store(tmp_path):
    (tmp_path / "data" / "new").mkdir(parents=True)
    (tmp_path / "data" / "new" / "cell 1.mrc").write_bytes(b"volume")
    opened = fresh_store(tmp_path)
    yield opened
    opened.close()


PAYLOAD = {
    "path": "new/cell 1.mrc",
    "donor": "P1",
    "group": "",
    "voxel_size_angst": 20,
    "tilt_min_deg": -60,
    "tilt_max_deg": "60",
    "contrast": "dark",
}


def test_a_new_tomogram_is_added_analysed_and_reported(tmp_path, store):
    number = store.enqueue_job("analyze", {**PAYLOAD, "report": True})
    assert worker(store, tmp_path).run(once=True) == 1
    job = store.job(number)
    assert (job.state, job.progress) == ("done", 1)
    assert "analysing P1_cell_1" in job.log
    donor = store.donor("P1")
    assert (donor.group, donor.state) == (None, "reported")
    row = store.tomograms("P1")[0]
    assert (row.voxel_size_angst, row.tilt_max_deg, row.contrast) == (20, 60, "dark")
    assert store.measurements("P1")[0].tomogram_id == "P1_cell_1"


def test_asking_again_skips_the_analysis(tmp_path, store):
    for payload in (PAYLOAD, PAYLOAD, {"tomogram_id": "P1_cell_1"}):
        store.enqueue_job("analyze", payload)
    assert worker(store, tmp_path).run(once=True) == 3
    assert [job.state for job in store.jobs()] == ["done"] * 3
    assert len(calls(tmp_path / "data" / "new", "began")) == 1


def test_a_second_file_of_the_same_name_gets_another_id(tmp_path, store):
    (tmp_path / "data" / "cell 1.mrc").write_bytes(b"another")
    store.enqueue_job("analyze", PAYLOAD)
    store.enqueue_job("analyze", {**PAYLOAD, "path": "cell 1.mrc"})
    worker(store, tmp_path).run(once=True)
    assert [row.tomogram_id for row in store.tomograms("P1")] == ["P1_cell_1", "P1_cell_1_2"]


@pytest.mark.parametrize(("change", "words"), [
    ({"path": "../store.sqlite"}, "inside the data folder"),
    ({"path": "/etc/hostname"}, "inside the data folder"),
    ({"path": ""}, "inside the data folder"),
    ({"path": "absent.mrc"}, "no such file"),
    ({"donor": "a/b"}, "pseudonym"),
    ({"donor": ""}, "donor"),
    ({"voxel_size_angst": "wide"}, "expected a number"),
    ({"tilt_max_deg": None}, "both ends"),
])  # fmt: skip
def test_unfit_payloads_fail_with_a_sentence_and_add_nothing(tmp_path, store, change, words):
    number = store.enqueue_job("analyze", {**PAYLOAD, **change})
    worker(store, tmp_path).run(once=True)
    job = store.job(number)
    assert job.state == "failed"
    assert words in job.log
    assert store.donors() == []


def test_reports_of_unknown_donors_and_bugs_fail_the_job_not_the_worker(tmp_path, store, caplog):
    def broken(store, donor, out_folder, settings):
        raise ZeroDivisionError("oops")

    store.enqueue_job("report", {"donor": "P9"})
    store.enqueue_job("analyze", {**PAYLOAD, "report": True})
    assert worker(store, tmp_path, write_report=broken).run(once=True) == 2
    newest, oldest = store.jobs()
    assert "not in the store" in oldest.log
    assert "unexpected ZeroDivisionError: oops" in newest.log
    assert store.tomograms("P1")[0].state == "analysed"


def test_a_bad_file_fails_the_job(tmp_path, store):
    (tmp_path / "data" / "bad.mrc").write_bytes(b"bad")
    number = store.enqueue_job("analyze", {**PAYLOAD, "path": "bad.mrc"})
    worker(store, tmp_path).run(once=True)
    assert "bad.mrc: not a volume" in store.job(number).log


def test_cancelling_stops_the_analysis_and_hands_the_step_back(tmp_path, store, monkeypatch):
    monkeypatch.setattr("app.jobs.PROGRESS_INTERVAL_S", 0.0)

    def cancelled(path, out_folder, *, on_progress, **further):
        store.cancel_job(number)
        return analyse(path, out_folder, on_progress=on_progress)

    number = store.enqueue_job("analyze", PAYLOAD)
    runner = worker(store, tmp_path, lambda: AnalysisMethod(cancelled, {}))
    assert runner.run(once=True) == 1
    assert store.job(number).state == "cancelled"
    assert [step.state for step in store.steps()] == ["queued"]
    assert store.tomograms("P1")[0].analysis_folder is None


def test_a_job_that_went_to_another_worker_is_left_to_it(tmp_path, store, monkeypatch, caplog):
    monkeypatch.setattr("app.jobs.PROGRESS_INTERVAL_S", 0.0)

    def overtaken(path, out_folder, *, on_progress, **further):
        store.requeue_job(number, "handed on")
        return analyse(path, out_folder, on_progress=on_progress)

    number = store.enqueue_job("analyze", PAYLOAD)
    worker(store, tmp_path, lambda: AnalysisMethod(overtaken, {})).run_one()
    assert store.job(number).state == "queued"
    assert "taken over" in caplog.text


def test_progress_reaches_the_store(tmp_path, store, monkeypatch):
    monkeypatch.setattr("app.jobs.PROGRESS_INTERVAL_S", 0.0)
    seen = []

    def watched(path, out_folder, *, on_progress, **further):
        for fraction in (0.2, 0.6):
            on_progress(fraction)
            seen.append(store.job(number).progress)
        return analyse(path, out_folder)

    number = store.enqueue_job("analyze", PAYLOAD)
    worker(store, tmp_path, lambda: AnalysisMethod(watched, {})).run(once=True)
    assert seen == [0.2, 0.6]


def test_a_job_waits_for_a_run_that_has_the_tomogram_in_hand(tmp_path, store, monkeypatch):
    monkeypatch.setattr("app.jobs.BUSY_POLL_S", 0.05)
    first = store.enqueue_job("analyze", PAYLOAD)
    worker(store, tmp_path).run(once=True)
    key = store.tomograms("P1")[0].analysis_key
    store.reopen_step(key)
    claim = store.claim_step(key, "analyze", "P1_cell_1")
    threading.Timer(0.5, lambda: store.finish_step(claim, "done")).start()
    second = store.enqueue_job("analyze", PAYLOAD)
    worker(store, tmp_path).run(once=True)
    assert store.job(first).state == store.job(second).state == "done"
    assert "waiting" in store.job(second).log
    assert len(calls(tmp_path / "data" / "new", "began")) == 1


def test_a_job_lost_to_a_kill_is_claimed_again(tmp_path, store):
    number = store.enqueue_job("analyze", PAYLOAD)
    environment = {**os.environ, "FAKE_SECONDS": "200", "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", WORK, str(tmp_path)], env=environment)
    end = time.monotonic() + 120
    while not calls(tmp_path / "data" / "new", "began"):
        assert time.monotonic() < end
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert store.job(number).state == "running"
    assert worker(store, tmp_path).run(once=True) == 1
    job = store.job(number)
    assert (job.state, job.attempts) == ("done", 2)
    assert "its worker is lost" in job.log


def test_an_interrupted_worker_hands_its_job_back(tmp_path, store):
    def interrupted(path, out_folder, **further):
        raise KeyboardInterrupt

    number = store.enqueue_job("analyze", PAYLOAD)
    with pytest.raises(KeyboardInterrupt):
        worker(store, tmp_path, lambda: AnalysisMethod(interrupted, {})).run(once=True)
    assert store.job(number).state == "queued"
    worker(store, tmp_path).run(once=True)
    assert store.job(number).state == "done"


def test_links_do_not_lead_out_of_the_data_folder(tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    (tmp_path / "secret").write_text("x")
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "file").write_text("x")
    with pytest.raises(BadInputError):
        path_inside(root, "link")
    with pytest.raises(MissingFileError):
        path_inside(root, ".")
    assert path_inside(root, "file") == path_inside(root, str(root / "file"))
