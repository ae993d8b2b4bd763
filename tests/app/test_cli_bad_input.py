"""Bad input on the command line: one line, status 2, nothing left behind."""

import json
import subprocess
import sys

import pytest

from app.cli import run
from tests.faulty_files import FAULT_NAMES, FAULTS, image_stack, specimen, write_mrc

PREFIX = "tomodx: error: "


def error_line(stderr):
    """The one line that starts with `tomodx: error:`; fails on a traceback or a second one."""
    assert "Traceback" not in stderr
    lines = [line for line in stderr.splitlines() if line.startswith(PREFIX)]
    assert len(lines) == 1
    assert stderr.splitlines()[-1] == lines[0]
    return lines[0]


def entries(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.mark.parametrize(("make", "code", "words"), FAULTS, ids=FAULT_NAMES)
def test_analyze_refuses_in_one_line_and_leaves_nothing(tmp_path, capsys, make, code, words):
    path = make(tmp_path)
    before = entries(tmp_path)
    status = run(["--quiet", "analyze", str(path), "--out", str(tmp_path / "deep" / "out")])
    captured = capsys.readouterr()
    assert status == 2
    assert captured.err.count("\n") == 1
    assert words in error_line(captured.err)
    assert captured.out == ""
    assert entries(tmp_path) == before


@pytest.mark.parametrize(("make", "code", "words"), FAULTS, ids=FAULT_NAMES)
def test_doctor_reports_the_fault_as_json_and_as_a_line(tmp_path, capsys, make, code, words):
    status = run(["--json", "doctor", str(make(tmp_path))])
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert status == 2
    assert words in error_line(captured.err)
    assert set(result) == {
        "ok", "shape", "voxel_size_angst", "contrast", "tilt_range_deg", "memory_gb", "time_s",
        "findings",
    }  # fmt: skip
    assert result["ok"] is False
    assert code in [finding["code"] for finding in result["findings"]]
    assert all(set(finding) == {"level", "code", "message"} for finding in result["findings"])


def test_doctor_passes_a_sound_file(tmp_path, capsys):
    path = write_mrc(tmp_path / "cell.mrc", specimen((40, 60, 80)))
    assert run(["--json", "doctor", str(path), "--tilt-range", "-60", "57.5"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["ok"] is True
    assert result["shape"] == [40, 60, 80]
    assert result["voxel_size_angst"] == 13.3
    assert result["contrast"] == "bright"
    assert result["tilt_range_deg"] == [-60.0, 57.5]


def test_doctor_speaks_to_people_too(tmp_path, capsys):
    path = write_mrc(tmp_path / "cell.mrc", specimen((40, 60, 80)))
    assert run(["doctor", str(path)]) == 0
    text = capsys.readouterr().out
    assert "fit for analysis" in text
    assert "protein bright" in text


def test_doctor_accepts_a_flagged_stack_with_a_given_voxel_size(tmp_path, capsys):
    path = image_stack(tmp_path)
    assert run(["--json", "doctor", str(path), "--voxel-size-angst", "30"]) == 0
    assert json.loads(capsys.readouterr().out)["voxel_size_angst"] == 30.0


@pytest.mark.parametrize("place", ["file", "file/x", "file/x/y", "dev"])
def test_an_unwritable_output_folder_is_refused_before_anything_is_computed(
    tmp_path, capsys, place
):
    path = write_mrc(tmp_path / "cell.mrc", specimen())
    (tmp_path / "file").write_text("in the way")
    out = "/dev/null/out" if place == "dev" else str(tmp_path / place)
    before = entries(tmp_path)
    assert run(["analyze", str(path), "--out", out]) == 2
    assert "expected an output" in error_line(capsys.readouterr().err)
    assert entries(tmp_path) == before


def test_an_output_folder_with_other_files_is_refused_and_untouched(tmp_path, capsys):
    path = write_mrc(tmp_path / "cell.mrc", specimen())
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    before = entries(tmp_path)
    assert run(["analyze", str(path), "--out", str(tmp_path / "out")]) == 2
    assert "thesis.txt" in error_line(capsys.readouterr().err)
    assert entries(tmp_path) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["--voxel-size-angst", "0"],
        ["--voxel-size-angst", "-3"],
        ["--voxel-size-angst", "nan"],
        ["--voxel-size-angst", "ten"],
        ["--contrast", "grey"],
        ["--tilt-range", "60", "-60"],
        ["--tilt-range", "-120", "60"],
        ["--tilt-range", "60"],
        ["--no-such-option"],
    ],
)
@pytest.mark.parametrize("command", ["analyze", "doctor"])
def test_senseless_arguments_are_refused(tmp_path, capsys, command, arguments):
    path = write_mrc(tmp_path / "cell.mrc", specimen())
    out = ["--out", str(tmp_path / "out")] if command == "analyze" else []
    before = entries(tmp_path)
    assert run([command, str(path), *out, *arguments]) == 2
    assert error_line(capsys.readouterr().err)
    assert entries(tmp_path) == before


def test_a_real_process_exits_with_2_and_one_line(tmp_path):
    path = tmp_path / "note.mrc"
    path.write_text("not a tomogram\n" * 200)
    out = tmp_path / "out"
    command = [sys.executable, "-c", "from app.cli import main; main()", "--json"]
    done = subprocess.run(
        [*command, "analyze", str(path), "--out", str(out)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert "expected an MRC tomogram" in error_line(done.stderr)
    assert not out.exists()
