import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.context import Settings
from app.pipeline import analyse_stored_tomogram, content_key, run_cohort
from engine.errors import BadInputError
from tests.app.fake_analysis import calls, method
from tests.cohorts.examples import fresh_store, small_cohort

ROOT = Path(__file__).parents[2]
RUN = """
import sys
from pathlib import Path
from app.context import Settings
from app.pipeline import run_cohort
from cohorts.store import open_store
from tests.app.fake_analysis import method
settings = Settings(store=sys.argv[1])
print(run_cohort(open_store(settings.store_url), settings, lambda f: None, int(sys.argv[2]),
                 method=method()).to_json())
"""
NAMES = ["D00_t0", "D00_t1", "D01_t0", "D01_t1"]


@pytest.fixture
def store(tmp_path):
    opened = fresh_store(tmp_path)
    opened.add_cohort(small_cohort(tmp_path))
    yield opened
    opened.close()


@pytest.fixture
def settings(tmp_path):
    return Settings(quiet=True, store=str(tmp_path / "store.sqlite"))


def run(store, settings, **further):
    return run_cohort(store, settings, lambda fraction: None, method=method(**further))


def start(folder, workers=1, seconds=0.0):
    environment = {**os.environ, "FAKE_SECONDS": str(seconds), "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", RUN, str(folder / "store.sqlite"), str(workers)],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def wait_for(condition, seconds=120.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def whole(store):
    """Every tomogram analysed, its folder there and complete, nothing half-written beside it."""
    rows = store.tomograms()
    assert [row.state for row in rows] == ["analysed"] * len(rows)
    folders = [Path(row.analysis_folder) for row in rows]
    assert all((folder / "measurements.json").read_text() for folder in folders)
    return len(store.measurements()) == len(rows)


def test_every_tomogram_is_analysed_once(tmp_path, store, settings):
    seen = []
    outcome = run_cohort(store, settings, seen.append, method=method())
    assert (outcome.n_done, outcome.n_skipped, outcome.failed) == (4, 0, ())
    assert whole(store)
    assert seen[0] == 0
    assert seen[-1] == 1
    assert seen == sorted(seen)
    again = run(store, settings)
    assert (again.n_done, again.n_skipped) == (0, 4)
    assert calls(tmp_path, "began") == NAMES
    artifacts = store.artifacts(store.tomograms()[0].analysis_key)
    assert "measurements.json" in [file.name for file in artifacts]


@pytest.mark.parametrize("change", [{"parameters": {"a": 2}}, {"model": "1" * 64}])
def test_another_parameter_or_model_is_another_step(tmp_path, store, settings, change):
    run(store, settings)
    assert run(store, settings, **change).n_done == 4
    assert run(store, settings).n_skipped == 4


def test_the_key_depends_on_content_and_acquisition_not_on_the_place(store):
    row = store.tomograms()[0]
    key = content_key(row, "0" * 64, method())
    assert len(key) == 64
    moved = type(row)(**{**vars(row), "path": "/elsewhere/x.mrc", "tomogram_id": "other"})
    finer = type(row)(**{**vars(row), "voxel_size_angst": 10.0})
    assert content_key(moved, "0" * 64, method()) == key
    assert content_key(finer, "0" * 64, method()) != key
    assert content_key(row, "1" * 64, method()) != key


def test_a_changed_file_is_analysed_again(tmp_path, store, settings):
    run(store, settings)
    (tmp_path / "D00_t1.mrc").write_bytes(b"other content")
    outcome = run(store, settings)
    assert (outcome.n_done, outcome.n_skipped) == (1, 3)


def test_a_failure_stops_no_other_and_is_tried_again(tmp_path, store, settings):
    (tmp_path / "D00_t1.mrc").write_bytes(b"bad")
    (tmp_path / "D01_t0.mrc").unlink()
    outcome = run(store, settings)
    assert outcome.n_done == 2
    assert dict(outcome.failed) == {
        "D00_t1": "D00_t1.mrc: not a volume",
        "D01_t0": "D01_t0: D01_t0.mrc is not there any more",
    }
    assert store.tomogram("D00_t1").state == "failed"
    (tmp_path / "D00_t1.mrc").write_bytes(b"good")
    (tmp_path / "D01_t0.mrc").write_bytes(b"good, too")
    assert run(store, settings).n_done == 2


def test_lost_files_are_made_again(tmp_path, store, settings):
    run(store, settings)
    folder = Path(store.tomogram("D00_t0").analysis_folder)
    (folder / "measurements.json").unlink()
    (folder / ".tomodx").unlink()
    folder.rmdir()
    assert run(store, settings).n_done == 1
    assert whole(store)


def test_an_interrupted_step_is_handed_back(tmp_path, store):
    def interrupt(fraction):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        analyse_stored_tomogram(
            store, "D00_t0", method(), tmp_path / "artifacts", on_progress=interrupt
        )
    assert [step.state for step in store.steps()] == ["queued"]
    assert not (tmp_path / "artifacts").exists() or not list((tmp_path / "artifacts").iterdir())


def test_an_unknown_tomogram_is_refused(tmp_path, store):
    with pytest.raises(BadInputError, match="not in the store"):
        analyse_stored_tomogram(store, "D99", method(), tmp_path)


def test_a_killed_run_goes_on_without_redoing_finished_steps(tmp_path, store, settings):
    process = start(tmp_path, seconds=0.5)
    wait_for(lambda: len(calls(tmp_path, "ended")) >= 2 and len(calls(tmp_path, "began")) >= 3)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done = [step.tomogram_id for step in store.steps() if step.state == "done"]
    assert 1 <= len(done) < 4
    began = time.monotonic()
    outcome = run(store, settings)
    assert time.monotonic() - began < 45, "the dead runner's lease was waited for"
    assert outcome.n_skipped == len(done)
    assert outcome.n_done == 4 - len(done)
    assert whole(store)
    started = calls(tmp_path, "began")
    assert all(started.count(name) == 1 for name in done)


def test_two_runs_at_once_share_the_work(tmp_path, store):
    both = [start(tmp_path, seconds=0.4) for _ in range(2)]
    outputs = [process.communicate(timeout=180) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert calls(tmp_path, "ended") == NAMES
    assert whole(store)
    assert all("'n_failed': 0" in output for output, _ in outputs)


def test_several_processes_do_what_one_does(tmp_path, store):
    process = start(tmp_path, workers=2, seconds=0.3)
    output, errors = process.communicate(timeout=180)
    assert process.returncode == 0, errors
    assert "'n_analysed': 4" in output
    assert calls(tmp_path, "ended") == NAMES
    workers = {line.split()[2] for line in (tmp_path / "calls.txt").read_text().splitlines()}
    assert len(workers) == 2
    assert whole(store)


def test_processes_of_a_killed_run_end_too(tmp_path, store, settings):
    process = start(tmp_path, workers=2, seconds=3.0)
    wait_for(lambda: len(calls(tmp_path, "began")) == 2)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    children = {int(line.split()[2]) for line in (tmp_path / "calls.txt").read_text().splitlines()}
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children))
    assert run(store, settings).n_done == 4
    assert whole(store)
