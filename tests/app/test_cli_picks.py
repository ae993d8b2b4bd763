"""`tomodx picks`: lists converted and checked; bad input in one line with nothing left behind."""

import json

import numpy as np
import pytest

from app.cli import run
from engine.io.dynamo_table import write_dynamo_table
from engine.io.em_motl import read_motl, write_motl
from engine.io.mrc import write_volume
from engine.io.star import read_star, write_star
from tests.app.test_cli_bad_input import entries, error_line
from tests.engine.io.particle_lists import apart_deg, particles
from tests.real_data import real_data

VOXEL_ANGST = 20.0
SHAPE = (20, 48, 64)


@pytest.fixture
def cell(tmp_path):
    path = tmp_path / "cell.mrc"
    voxels = np.random.default_rng(0).normal(0, 1, SHAPE).astype(np.float32)
    voxels[8:12, 20:28, 20:30] -= 4.0
    write_volume(path, voxels, VOXEL_ANGST)
    return path


def inside(n=25, *, factor=1.0, names=("cell",)):
    found = particles(n, names=names)
    places = np.random.default_rng(3).uniform(0, np.array(SHAPE) - 1, (n, 3)) * VOXEL_ANGST
    return type(found)(
        places * factor, found.rotations, found.tomogram_ids, found.class_names, found.figures
    )


@pytest.fixture
def picks(tmp_path):
    path = tmp_path / "picks.star"
    write_star(path, inside(), flavour="relion4", voxel_size_angst=VOXEL_ANGST)
    return path


def answer(capsys, *arguments):
    assert run(["--json", "picks", *map(str, arguments)]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("name", "to"),
    [("a.star", "relion4"), ("a.star", "relion31"), ("a.tbl", "dynamo"), ("a.em", "motl")],
)
def test_a_list_goes_out_and_comes_back(tmp_path, capsys, picks, name, to):
    result = answer(capsys, "convert", picks, tmp_path / name, "--to", to)
    assert (result["n_particles"], result["format"]) == (25, to)
    assert result["voxel_size_angst"] == VOXEL_ANGST
    back = tmp_path / "back.star"
    answer(capsys, "convert", tmp_path / name, back, "--voxel-size-angst", VOXEL_ANGST)
    before, after = read_star(picks), read_star(back)
    assert after.positions_angst == pytest.approx(before.positions_angst, abs=1e-5)
    assert apart_deg(before, after) < 1e-4


def test_relion_5_counts_from_the_centre_of_the_tomogram(tmp_path, capsys, picks, cell):
    out = tmp_path / "five.star"
    result = answer(capsys, "convert", picks, out, "--to", "relion5", "--tomogram", cell)
    assert result["tomograms"] == {"cell": 25}
    after = read_star(out, voxel_size_angst=VOXEL_ANGST, tomogram_shapes=SHAPE)
    assert after.positions_angst == pytest.approx(inside().positions_angst, abs=1e-6)
    assert run(["picks", "convert", str(picks), str(out), "--to", "relion5"]) == 2
    assert "expected the shape of tomogram 'cell'" in error_line(capsys.readouterr().err)


def test_the_output_counts_in_the_voxels_of_the_tomogram(tmp_path, capsys, cell):
    unbinned = tmp_path / "unbinned.star"
    write_star(unbinned, inside(), flavour="relion4", voxel_size_angst=5.0)
    result = answer(capsys, "convert", unbinned, tmp_path / "a.em", "--tomogram", cell)
    assert result["voxel_size_angst"] == VOXEL_ANGST
    found = read_motl(tmp_path / "a.em", voxel_size_angst=VOXEL_ANGST)
    assert found.positions_angst == pytest.approx(inside().positions_angst, abs=1e-5)


def test_numbers_stand_for_names_and_what_is_lost_is_said(tmp_path, capsys, picks):
    result = answer(capsys, "convert", picks, tmp_path / "a.tbl")
    assert result["tomogram_numbers"] == {"cell": 1}
    assert set(result["class_numbers"]) == {"ribosome", "proteasome"}
    assert result["figures_left_out"] == []
    assert run(["picks", "convert", str(picks), str(tmp_path / "a.tbl")]) == 0
    assert "tomogram 1 is 'cell'" in capsys.readouterr().out


def test_picks_that_land_inside_are_drawn(tmp_path, capsys, picks, cell):
    out = tmp_path / "out"
    result = answer(capsys, "check", picks, "--tomogram", cell, "--out", out, "--radius-nm", 8)
    assert (result["n_particles"], result["n_outside"]) == (25, 0)
    assert (result["hint"], result["fitting_binning"]) == (None, None)
    assert (out / "landing.png").read_bytes().startswith(b"\x89PNG")


def test_picks_of_an_unbinned_tomogram_are_told_the_binning(tmp_path, capsys, cell):
    path = tmp_path / "unbinned.em"
    write_motl(path, inside(200, factor=4.0), voxel_size_angst=VOXEL_ANGST)
    result = answer(capsys, "check", path, "--tomogram", cell, "--out", tmp_path / "out")
    assert result["n_outside"] > 100
    assert result["fitting_binning"] == 4
    assert "4 times smaller" in result["hint"]
    mended = ["--voxel-size-angst", VOXEL_ANGST / 4]
    result = answer(capsys, "check", path, "--tomogram", cell, "--out", tmp_path / "out", *mended)
    assert result["n_outside"] == 0


def test_the_picks_of_this_tomogram_are_taken_by_name(tmp_path, capsys, cell):
    path = tmp_path / "both.star"
    both = inside(names=("cell", "other"))
    write_star(path, both, flavour="relion4", voxel_size_angst=VOXEL_ANGST)
    check = ["check", path, "--tomogram", cell, "--out", tmp_path / "out"]
    n_here = both.tomogram_ids.count("cell")
    result = answer(capsys, *check)
    assert (result["n_particles"], result["n_other_tomograms"]) == (n_here, 25 - n_here)
    assert answer(capsys, *check, "--tomogram-name", "other")["n_particles"] == 25 - n_here
    assert run(["picks", *map(str, check), "--tomogram-name", "third"]) == 2
    assert "'third', found" in error_line(capsys.readouterr().err)


def test_no_picks_are_no_error(tmp_path, capsys, cell):
    path = tmp_path / "none.star"
    write_star(path, particles(0), flavour="relion4", voxel_size_angst=VOXEL_ANGST)
    for name in ("a.tbl", "a.em", "a.star"):
        result = answer(capsys, "convert", path, tmp_path / name, "--voxel-size-angst", 20)
        assert result["n_particles"] == 0
        assert (
            answer(capsys, "check", tmp_path / name, "--tomogram", cell, "--out", tmp_path / "out")[
                "n_particles"
            ]
            == 0
        )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("picks.star", "a.csv"), "ending in .star, .tbl or .em, found '.csv'"),
        (("picks.star", "a.em", "--to", "dynamo"), "ending in .tbl for dynamo, found .em"),
        (("none.star", "a.em"), "found none"),
        (("table.tbl", "a.star"), "found 0 throughout"),
        (("cell.mrc", "a.star"), "found '.mrc'"),
        (("picks.star", "a.em", "--voxel-size-angst", "-1"), "positive voxel size"),
        (("picks.star", "a.em", "--tomogram", "stack.mrc"), "one volume with cubic voxels"),
    ],
)
def test_bad_conversions_leave_nothing_behind(
    tmp_path, capsys, monkeypatch, picks, cell, arguments, words
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "table.tbl").write_text(" ".join(["0"] * 35) + "\n")
    write_volume(tmp_path / "stack.mrc", np.zeros((4, 4, 4), np.float32), 1.0)
    data = bytearray((tmp_path / "stack.mrc").read_bytes())
    data[40:44] = np.float32(9.0).tobytes()
    (tmp_path / "stack.mrc").write_bytes(data)
    before = entries(tmp_path)
    assert run(["picks", "convert", *arguments]) == 2
    assert words in error_line(capsys.readouterr().err)
    assert entries(tmp_path) == before


def test_a_bad_radius_is_refused(tmp_path, capsys, picks, cell):
    check = ["picks", "check", str(picks), "--tomogram", str(cell), "--out", str(tmp_path / "o")]
    assert run([*check, "--radius-nm", "0"]) == 2
    assert "positive radius" in error_line(capsys.readouterr().err)
    assert not (tmp_path / "o").exists()


def test_several_voxel_sizes_need_one_for_the_output(tmp_path, capsys):
    path = tmp_path / "two.tbl"
    write_dynamo_table(path, particles(2), voxel_size_angst=10.0)
    first, second = path.read_text().splitlines()
    path.write_text(f"{first}\n{second.removesuffix('10')}20\n")
    assert run(["picks", "convert", str(path), str(tmp_path / "a.em")]) == 2
    assert "expected one voxel size for the output, found 2" in error_line(capsys.readouterr().err)


def test_a_public_table_without_angles_is_converted(tmp_path, capsys):
    path = real_data("ribosome/empiar_10064_picked_b8.tbl")
    given = ("--voxel-size-angst", 20.96, "--allow-missing-angles")
    result = answer(capsys, "convert", path, tmp_path / "a.star", *given)
    assert (result["n_particles"], result["oriented"]) == (4427, False)
    found = read_star(tmp_path / "a.star", allow_missing_angles=True)
    assert found.positions_angst[0] / 20.96 == pytest.approx([80.0, 16.087, 66.75])
