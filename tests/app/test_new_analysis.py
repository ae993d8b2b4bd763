"""Choosing files below the data root and queueing them."""

import numpy as np
import pytest

from app.new_analysis import (
    Wish,
    check_file,
    list_data_files,
    queue_analysis,
    resolve_below,
    wish_faults,
)
from cohorts.store import open_store
from engine.errors import BadInputError, MissingFileError
from engine.io.mrc import write_volume


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "data"
    (folder / "grid1").mkdir(parents=True)
    noise = np.random.default_rng(1).normal(size=(16, 20, 24)).astype(np.float32)
    write_volume(folder / "grid1" / "a.mrc", noise, 20.0)
    (folder / "b.REC").write_bytes(b"x")
    (folder / "notes.txt").write_text("no tomogram", encoding="utf-8")
    (folder / ".hidden.mrc").write_bytes(b"x")
    (tmp_path / "secret.mrc").write_bytes(b"x")
    (folder / "way_out.mrc").symlink_to(tmp_path / "secret.mrc")
    return folder


def test_tomograms_below_the_root_are_listed_and_links_out_are_not(root):
    assert [file.name for file in list_data_files(root)] == ["b.REC", "grid1/a.mrc"]


@pytest.mark.parametrize("name", ["../secret.mrc", "/etc/passwd", "way_out.mrc"])
def test_a_name_that_leads_out_is_refused(root, name):
    with pytest.raises(BadInputError, match="outside"):
        resolve_below(root, name)


def test_a_file_that_has_gone_is_reported(root):
    with pytest.raises(MissingFileError, match="no longer"):
        resolve_below(root, "gone.mrc")


def test_a_good_file_is_checked_with_the_settings_given(root):
    found = check_file(root, Wish("grid1/a.mrc", "", voxel_size_angst=21.5, contrast="dark"))
    assert found.voxel_size_angst == 21.5
    assert found.contrast == "dark"


def test_a_bad_file_yields_a_fault(root):
    assert not check_file(root, Wish("b.REC", "")).ok


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"donor": ""}, "Donor"),
        ({"donor": "a/b"}, "Donor"),
        ({"voxel_size_angst": 0.0}, "Voxel size"),
        ({"tilt_min_deg": -60.0}, "both ends"),
        ({"tilt_min_deg": 60.0, "tilt_max_deg": -60.0}, "Tilt range"),
    ],
)
def test_faults_of_a_wish_are_named(changes, words):
    faults = wish_faults(Wish(**{"name": "a.mrc", "donor": "P1", **changes}))
    assert len(faults) == 1
    assert words in faults[0]


def test_a_wish_without_fault_becomes_a_job_with_what_was_given(root, tmp_path):
    store = open_store(f"sqlite:///{tmp_path / 'store.sqlite'}")
    wish = Wish("grid1/a.mrc", "P1", voxel_size_angst=20.0, report=False)
    job = store.job(queue_analysis(store, root, wish))
    assert dict(job.payload) == {
        "path": "grid1/a.mrc",
        "donor": "P1",
        "voxel_size_angst": 20.0,
        "contrast": "auto",
        "report": False,
    }
    with pytest.raises(BadInputError, match="outside"):
        queue_analysis(store, root, Wish("../secret.mrc", "P1"))
    store.close()
