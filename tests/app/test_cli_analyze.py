"""`tomodx analyze` from the file to the folder, with networks replaced by a known answer."""

import json

import numpy as np
import pytest

import app.analysis
from app.analysis import analyse_file, with_flags
from app.cli import run
from engine.data.labels import InstanceVolume, LabelVolume
from engine.data.measurements import QualityFlag, TomogramAnalysis
from engine.data.tomogram import TiltRange
from engine.errors import BadInputError, ModelFileError
from engine.io.analysis_files import ANALYSIS_FILES, read_measurements
from tests.analyses import SHAPE, VOXEL_ANGST, analysis, tomogram
from tests.faulty_files import image_stack, write_mrc


@pytest.fixture
def cell(tmp_path):
    return write_mrc(tmp_path / "cell.mrc", tomogram().voxels, voxel_size=VOXEL_ANGST)


@pytest.fixture
def seen(monkeypatch):
    """Tomograms that reached the analysis."""
    reached = []

    def known_answer(volume, networks, on_progress=None):
        reached.append(volume)
        if on_progress:
            on_progress(0.5)
            on_progress(1.0)
        known = analysis(simulated=False)
        shape = volume.voxels.shape
        if shape == SHAPE:
            return known
        labels = LabelVolume(np.zeros(shape, np.uint8), VOXEL_ANGST)
        ids = InstanceVolume(np.zeros(shape, np.uint16), VOXEL_ANGST, ())
        return TomogramAnalysis(labels, ids, (), known.measurements)

    monkeypatch.setattr(app.analysis, "shipped_networks", lambda device: None)
    monkeypatch.setattr(app.analysis, "analyse_tomogram", known_answer)
    return reached


def test_json_is_one_object_with_counts_lengths_and_paths(cell, seen, tmp_path, capsys):
    out = tmp_path / "out"
    arguments = ["--json", "analyze", str(cell), "--out", str(out), "--contrast", "dark"]
    assert run([*arguments, "--tilt-range", "-60", "57.5"]) == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert result["n_instances"] == {"alpha_granule": 1, "mitochondrion": 1}
    assert result["n_filaments"] == 1
    assert result["filament_lengths_nm"] == [150.0]
    assert result["measurements"]["mitochondria_count"]["value"] == 1.0
    assert result["flags"][0]["code"] == "thin"
    assert result["simulated"] is False
    assert result["out"] == str(out)
    assert all((out / name).is_file() for name in result["files"])
    assert "analysing cell.mrc: 100 %" in captured.err
    assert seen[0].tilt_range == TiltRange(-60.0, 57.5)
    assert seen[0].recorded_contrast == "dark"


def test_people_are_told_what_was_found_and_what_was_not_assessable(cell, seen, tmp_path, capsys):
    assert run(["analyze", str(cell), "--out", str(tmp_path / "out"), "--contrast", "dark"]) == 0
    text = capsys.readouterr().out
    assert "mitochondria_count: 1 (95 % interval 0.02532 to 5.572)" in text
    assert "not assessable: every mitochondrion is cut by the border" in text
    assert "Research use only." in text


def test_quiet_says_nothing(cell, seen, tmp_path, capsys):
    out = str(tmp_path / "out")
    assert run(["--quiet", "analyze", str(cell), "--out", out, "--contrast", "dark"]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == ""


def test_the_folder_holds_the_analysis_and_nothing_lies_beside_it(cell, seen, tmp_path):
    analyse_file(cell, tmp_path / "out", contrast="dark")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*ANALYSIS_FILES, ".tomodx"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cell.mrc", "out"]


def test_doubts_of_the_reader_are_kept_with_the_results(cell, seen, tmp_path):
    analyse_file(cell, tmp_path / "out", contrast="dark", voxel_size_angst=20.0)
    flags = read_measurements(tmp_path / "out").flags
    assert [flag.code for flag in flags] == ["voxel_size_differs", "thin"]


def test_a_flag_is_not_said_twice():
    known = analysis()
    again = with_flags(known, (QualityFlag("warning", "thin", "thin"),))
    assert again.measurements.flags == known.measurements.flags


def test_a_stack_is_analysed_when_the_user_gives_the_voxel_size(seen, tmp_path):
    path = image_stack(tmp_path)
    analyse_file(path, tmp_path / "out", voxel_size_angst=30.0, contrast="bright")
    assert seen[0].voxel_size_angst == 30.0


def test_nothing_is_computed_for_a_bad_file(seen, tmp_path):
    with pytest.raises(BadInputError):
        analyse_file(image_stack(tmp_path), tmp_path / "out")
    assert seen == []
    assert not (tmp_path / "out").exists()


def test_an_altered_network_ends_in_one_line(cell, seen, tmp_path, capsys, monkeypatch):
    def altered(device):
        raise ModelFileError("expected the hash of the manifest, found another; reinstall TomoDx")

    monkeypatch.setattr(app.analysis, "shipped_networks", altered)
    assert run(["--quiet", "analyze", str(cell), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.startswith("tomodx: error: expected the hash")
    assert not (tmp_path / "out").exists()


def test_a_failure_in_the_middle_leaves_nothing(cell, seen, tmp_path, monkeypatch):
    def no_room(path, shown, volume):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("engine.io.analysis_files.write_preview", no_room)
    assert run(["--quiet", "analyze", str(cell), "--out", str(tmp_path / "out")]) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["cell.mrc"]
