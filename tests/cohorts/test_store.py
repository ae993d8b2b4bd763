import os
import subprocess
import sys
import threading
from dataclasses import replace

import pytest
from sqlalchemy import create_engine, inspect, text

from cohorts.records import Cohort, DonorRecord, TomogramRecord
from cohorts.store import ArtifactRow, open_store
from cohorts.store.heartbeat import heartbeat
from cohorts.store.ownership import Owner, is_dead, parse_owner, this_process
from cohorts.store.schema import Base
from engine.errors import BadInputError, OutputNotWritableError
from tests.cohorts.examples import fresh_store, measured, small_cohort

KEY = "a" * 64


@pytest.fixture
def store(tmp_path):
    opened = fresh_store(tmp_path)
    opened.add_cohort(small_cohort(tmp_path))
    yield opened
    opened.close()


def test_migrations_make_the_tables_of_the_schema(tmp_path):
    fresh_store(tmp_path).close()
    engine = create_engine(f"sqlite:///{tmp_path / 'store.sqlite'}")
    found = inspect(engine)
    for table in Base.metadata.sorted_tables:
        columns = {column["name"]: column["nullable"] for column in found.get_columns(table.name)}
        assert columns == {column.name: column.nullable for column in table.columns}
        wanted = {key.target_fullname for key in table.foreign_keys}
        keys = found.get_foreign_keys(table.name)
        assert {f"{k['referred_table']}.{k['referred_columns'][0]}" for k in keys} == wanted
    with engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
    engine.dispose()


def test_processes_that_open_a_new_store_at_once_take_turns(tmp_path):
    code = "import sys; from cohorts.store import open_store; open_store(sys.argv[1]).close()"
    url = f"sqlite:///{tmp_path / 'new' / 'store.sqlite'}"
    started = [
        subprocess.Popen([sys.executable, "-c", code, url], stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    errors = [process.communicate()[1] for process in started]
    assert [process.returncode for process in started] == [0] * 4, errors
    assert open_store(url).donors() == []


@pytest.mark.parametrize("url", ["nonsense", "sqlite://", "sqlite:///:memory:", "oracul://x/y"])
def test_what_is_no_url_of_a_store_is_refused(url):
    with pytest.raises(BadInputError, match="store: "):
        open_store(url)


def test_a_file_that_is_no_store_and_a_folder_are_refused(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("this is not a database, and it is long enough to be read as a header" * 20)
    with pytest.raises(BadInputError, match="is not a store"):
        open_store(f"sqlite:///{path}")
    with pytest.raises(BadInputError, match="found the folder"):
        open_store(f"sqlite:///{tmp_path}")
    with pytest.raises(OutputNotWritableError):
        open_store(f"sqlite:///{path}/under/store.sqlite")


def test_a_store_of_a_newer_release_is_refused_and_left_alone(tmp_path, store):
    engine = create_engine(store.url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(BadInputError, match="newer TomoDx"):
        open_store(store.url)
    engine.dispose()


def test_importing_twice_adds_nothing(tmp_path, store):
    assert store.add_cohort(small_cohort(tmp_path)) == 0
    assert [(row.donor, row.n_tomograms, row.state) for row in store.donors()] == [
        ("D00", 2, "waiting"),
        ("D01", 2, "waiting"),
    ]


def test_other_data_for_a_known_donor_are_refused_unless_asked_for(tmp_path, store):
    known = small_cohort(tmp_path)
    changed = Cohort(
        (replace(known.donors[0], group="cancer"), known.donors[1]),
        (*known.tomograms[:3], replace(known.tomograms[3], voxel_size_angst=25.0)),
    )
    with pytest.raises(BadInputError, match=r"D00 differs in group; .*D01_t1 differs in voxel"):
        store.add_cohort(changed)
    assert store.donor("D00").group == "healthy"
    assert store.add_cohort(changed, update=True) == 0
    assert store.donor("D00").group == "cancer"
    assert store.tomogram("D01_t1").voxel_size_angst == 25.0


def test_an_id_belongs_to_one_file(tmp_path, store):
    other = TomogramRecord("D00_t0", "D00", tmp_path / "elsewhere.mrc")
    with pytest.raises(BadInputError, match="is another file"):
        store.add_cohort(Cohort((small_cohort(tmp_path).donors[0],), (other,)))


def test_a_refused_cohort_leaves_nothing(tmp_path, store):
    new = DonorRecord("D99")
    clash = TomogramRecord("D00_t0", "D99", tmp_path / "z.mrc")
    with pytest.raises(BadInputError):
        store.add_cohort(Cohort((new,), (clash,)))
    assert "D99" not in [row.donor for row in store.donors()]


def test_measurements_come_back_as_they_went_in(tmp_path, store):
    files = [ArtifactRow("labels.mrc", "0" * 64, 12)]
    assert store.record_analysis("D00_t0", KEY, tmp_path / "a", measured("D00_t0"), files=files)
    assert store.measurements("D00") == [measured("D00_t0")]
    assert store.measurements("D01") == []
    assert store.artifacts(KEY) == files
    row = store.tomogram("D00_t0")
    assert (row.state, row.analysis_key) == ("analysed", KEY)
    assert row.analysis_folder == str(tmp_path / "a")
    assert store.donor("D00").n_analysed == 1


def test_a_new_analysis_takes_the_place_of_the_old_one(tmp_path, store):
    store.record_analysis("D00_t0", KEY, tmp_path / "a", measured("D00_t0", count=3))
    store.record_analysis("D00_t0", "b" * 64, tmp_path / "b", measured("D00_t0", count=4))
    assert store.measurements("D00")[0].values["mitochondria_count"].value == 4
    store.attach_analysis("D00_t0", KEY)
    assert store.measurements("D00")[0].values["mitochondria_count"].value == 3


def test_a_store_can_be_moved_with_its_files(tmp_path):
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    store = fresh_store(before)
    store.add_cohort(small_cohort(before, 1, 1))
    store.record_analysis("D00_t0", KEY, before / "artifacts" / KEY, measured("D00_t0"))
    store.close()
    before.rename(after)
    row = fresh_store(after).tomogram("D00_t0")
    assert row.path == str(after / "D00_t0.mrc")
    assert row.analysis_folder == str(after / "artifacts" / KEY)


def test_unknown_donors_and_tomograms_are_refused(tmp_path, store):
    with pytest.raises(BadInputError, match="not in the store"):
        store.record_analysis("D77", KEY, tmp_path, measured("D77"))
    with pytest.raises(BadInputError, match="not in the store"):
        store.add_report("D77", tmp_path, KEY)
    with pytest.raises(BadInputError, match="not in the store"):
        store.donor("D77")
    with pytest.raises(BadInputError, match="not in the store"):
        store.job(5)


def test_reports_are_amended_not_overwritten(tmp_path, store):
    first = store.add_report("D00", tmp_path / "r1", KEY)
    second = store.add_report("D00", tmp_path / "r2", KEY, supersedes=first)
    assert [row.report_id for row in store.reports("D00")] == [second, first]
    assert store.reports()[0].supersedes == first
    with pytest.raises(BadInputError, match="not one of donor"):
        store.add_report("D01", tmp_path / "r3", KEY, supersedes=first)


def test_a_donor_is_reported_once_all_tomograms_are_analysed(tmp_path, store):
    store.add_report("D00", tmp_path / "r", KEY)
    assert store.donor("D00").state == "waiting"
    for i, row in enumerate(store.tomograms("D00")):
        store.record_analysis(row.tomogram_id, f"{i}" * 64, tmp_path, measured(row.tomogram_id))
    assert store.donor("D00").state == "reported"


def test_a_step_is_claimed_once(store):
    claim = store.claim_step(KEY, "analyze", "D00_t0")
    assert (claim.outcome, claim.attempt) == ("claimed", 1)
    assert store.claim_step(KEY, "analyze").outcome == "busy"
    assert store.tomogram("D00_t0").state == "running"
    assert store.finish_step(claim, "done", "fine")
    assert store.claim_step(KEY, "analyze").outcome == "done"
    assert store.step(KEY).log == "attempt 1: fine\n"


def test_a_failed_step_may_be_tried_again(store):
    store.finish_step(store.claim_step(KEY, "analyze", "D00_t0"), "failed", "bad file")
    assert store.tomogram("D00_t0").state == "failed"
    assert store.donor("D00").state == "failed"
    again = store.claim_step(KEY, "analyze", "D00_t0")
    assert (again.outcome, again.attempt) == ("claimed", 2)


def test_a_lease_that_ran_out_frees_the_step_and_shuts_the_first_runner_out(tmp_path, store):
    first = store.claim_step(KEY, "analyze", "D00_t0", lease_s=-1)
    second = store.claim_step(KEY, "analyze", "D00_t0")
    assert (second.outcome, second.attempt) == ("claimed", 2)
    assert not store.renew_step(first)
    assert not store.finish_step(first, "done")
    late = store.record_analysis("D00_t0", KEY, tmp_path, measured("D00_t0"), claim=first)
    assert not late
    assert store.measurements() == []
    assert store.renew_step(second)
    assert store.record_analysis("D00_t0", KEY, tmp_path, measured("D00_t0"), claim=second)


def test_a_step_of_a_dead_process_is_free_at_once(store):
    code = (
        "import sys; from cohorts.store import open_store;"
        f"open_store(sys.argv[1]).claim_step('{KEY}', 'analyze', 'D00_t0')"
    )
    subprocess.run([sys.executable, "-c", code, store.url], check=True)
    assert store.step(KEY).state == "running"
    assert store.claim_step(KEY, "analyze", "D00_t0").attempt == 2
    assert "lost with its process" in store.step(KEY).log


def test_reopening_makes_a_done_step_claimable(store):
    store.finish_step(store.claim_step(KEY, "analyze"), "done")
    store.reopen_step(KEY)
    assert store.claim_step(KEY, "analyze").outcome == "claimed"


def test_owners_are_told_apart_from_later_processes_of_the_same_number():
    me = this_process()
    assert parse_owner(me.text()) == me
    assert parse_owner("x") is None
    assert not is_dead(me)
    assert is_dead(replace(me, started=me.started + 1))
    assert is_dead(replace(me, pid=2**22 + 1))
    assert not is_dead(Owner("elsewhere", os.getpid(), 1))


def test_threads_that_claim_at_once_get_one_step_each(store):
    keys = [f"{i:064d}" for i in range(8)]
    won: list[str] = []
    barrier = threading.Barrier(4)

    def take():
        barrier.wait()
        won.extend(k for k in keys if store.claim_step(k, "analyze").outcome == "claimed")

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == keys


def test_jobs_are_claimed_in_order_and_report_progress(store):
    first = store.enqueue_job("analyze", {"donor": "D00"})
    second = store.enqueue_job("report", {"donor": "D01"})
    job = store.claim_job("here")
    assert (job.job_id, job.state, job.attempts) == (first, "running", 1)
    assert store.claim_job().job_id == second
    assert store.claim_job() is None
    assert store.update_job(first, progress=0.5, log_line="half\nway", attempt=1)
    assert store.job(first).progress == 0.5
    assert store.job(first).log.endswith("half way\n")
    assert store.finish_job(first, "done", attempt=1)
    assert store.job(first).progress == 1
    assert not store.update_job(first, progress=0.1)
    assert [job.job_id for job in store.jobs()] == [second, first]


def test_cancelling_ends_a_waiting_job_and_asks_a_running_one(store):
    waiting = store.enqueue_job("report", {})
    assert store.cancel_job(waiting)
    assert store.job(waiting).state == "cancelled"
    assert not store.cancel_job(waiting)
    running = store.enqueue_job("report", {})
    store.claim_job()
    assert store.cancel_job(running)
    assert store.is_cancelled(running)
    assert store.job(running).state == "running"


def test_a_job_whose_worker_is_lost_is_taken_over_three_times_at_most(store):
    number = store.enqueue_job("report", {})
    for attempt in (1, 2, 3):
        assert store.claim_job(lease_s=-1).attempts == attempt
    assert not store.update_job(number, progress=0.3, attempt=1)
    assert store.claim_job() is None
    assert store.job(number).state == "failed"
    assert "given up" in store.job(number).log


def test_a_job_handed_back_does_not_count_as_lost(store):
    number = store.enqueue_job("report", {})
    store.claim_job()
    assert store.requeue_job(number, "interrupted", attempt=1)
    assert store.claim_job().attempts == 1


def test_the_heart_beats_until_it_is_told_to_stop():
    beats = []
    with heartbeat(lambda: beats.append(1) or len(beats) < 3, interval_s=0.01):
        threading.Event().wait(0.2)
    assert len(beats) == 3
