"""`tomodx template`: files made, listed, shown; bad input in one line with nothing left behind."""

import json

import gemmi
import numpy as np
import pytest

from app.cli import run
from engine.io.mrc import write_volume
from engine.io.template_files import read_template
from tests.app.test_cli_bad_input import entries, error_line
from tests.engine.io.test_atomic_model import ball_positions_xyz, structure_of
from tests.engine.io.test_template_files import ball
from tests.faulty_files import FAULT_NAMES, FAULTS, write_mrc
from tests.real_data import real_data

FILES = ["thing.mask.mrc", "thing.mrc", "thing.png", "thing.yaml"]
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "thing.mrc"
    write_volume(path, ball((30, 32, 34), (16.3, 15.1, 18.2)), 10.0)
    return path


def make(source, out, *options, voxel_size="10"):
    return run(
        ["--json", "template", "make", str(source), "--out", str(out), "--voxel-size-angst",
         voxel_size, *options]
    )  # fmt: skip


def test_a_map_becomes_a_template_with_its_picture(tmp_path, capsys, source):
    assert make(source, tmp_path / "lib") == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert entries(tmp_path / "lib") == FILES
    assert sorted(result["files"]) == FILES
    assert (tmp_path / "lib" / "thing.png").read_bytes().startswith(PNG)
    assert result["radius_angst"] == pytest.approx(60.0, abs=6.0)
    assert (result["source_contrast"], result["symmetry"], result["mass_kda"]) == (
        "bright",
        "C1",
        None,
    )
    template = read_template(tmp_path / "lib" / "thing.mrc")
    assert template.radius_angst == result["radius_angst"]
    assert template.provenance.inputs[0].sha256 == result["source_sha256"]
    assert "100 %" in captured.err


def test_the_same_command_writes_the_same_bytes_and_replaces_them(tmp_path, source):
    for out in ("a", "b", "a"):
        assert make(source, tmp_path / out) == 0
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_every_option_reaches_the_template(tmp_path, capsys, source):
    status = make(
        source, tmp_path / "lib", "--name", "other", "--resolution-angst", "30", "--box", "40",
        "--symmetry", "C1", "--mask-radius-angst", "90", "--mirror", "--contrast", "bright",
        "--mass-kda", "440", "--no-centre", voxel_size="8",
    )  # fmt: skip
    assert status == 0
    result = json.loads(capsys.readouterr().out)
    template = read_template(tmp_path / "lib" / "other.mrc")
    expected = {
        "template_id": "other", "resolution_angst": 30.0, "box_vox": 40, "hand": "mirrored",
        "mass_kda": 440.0, "voxel_size_angst": 8.0,
    }  # fmt: skip
    for name, value in expected.items():
        assert result[name] == value
        assert getattr(template, name) == value
    # 1.3 of the source's voxels off along z (mirrored), -0.9 along y, 1.2 along x.
    places = np.argwhere(template.voxels > 0.5 * template.voxels.max()) - 20
    assert places.mean(axis=0) * 0.8 == pytest.approx([-1.3, -0.9, 1.2], abs=0.15)
    assert template.mask[20, 20, 20 + 11] == 1.0
    assert template.mask[20, 20, 20 + 15] == 0.0


def test_a_mask_from_the_density_is_smaller_than_the_sphere(tmp_path, capsys):
    voxels = ball((40, 40, 40), (20, 20, 12), 5.0) + ball((40, 40, 40), (20, 20, 28), 5.0)
    write_volume(tmp_path / "pair.mrc", voxels, 10.0)
    volumes = []
    for kind in ("sphere", "density"):
        assert make(tmp_path / "pair.mrc", tmp_path / kind, "--mask", kind) == 0
        volumes.append(json.loads(capsys.readouterr().out)["mask_volume_angst3"])
    assert volumes[1] < 0.6 * volumes[0]


def test_an_atomic_model_becomes_a_template_with_its_mass(tmp_path, capsys):
    path = tmp_path / "ball.pdb"
    structure_of(ball_positions_xyz(), "C" * 600, waters=10).write_pdb(str(path))
    assert make(path, tmp_path / "lib") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["mass_kda"] == pytest.approx(600 * gemmi.Element("C").weight / 1000)
    assert result["template_id"] == "ball"
    assert result["resolution_angst"] == 20.0
    assert result["radius_angst"] == pytest.approx(60.0, abs=8.0)
    assert make(path, tmp_path / "lib", "--mass-kda", "7.5", "--resolution-angst", "25") == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["mass_kda"], result["resolution_angst"]) == (7.5, 25.0)


def test_list_and_show_tell_what_make_wrote(tmp_path, capsys, source):
    for name in ("b", "a"):
        assert make(source, tmp_path / "lib", "--name", name) == 0
    capsys.readouterr()
    assert run(["--json", "template", "list", str(tmp_path / "lib")]) == 0
    listed = json.loads(capsys.readouterr().out)["templates"]
    assert [row["file"] for row in listed] == ["a.mrc", "b.mrc"]
    for name in ("a.mrc", "a.yaml"):
        assert run(["--json", "template", "show", str(tmp_path / "lib" / name)]) == 0
        shown = json.loads(capsys.readouterr().out)
        assert shown["in_library"] is True
        assert all(shown[key] == value for key, value in listed[0].items() if key != "file")
    assert run(["template", "show", str(tmp_path / "lib" / "a.mrc")]) == 0
    assert "symmetry  C1" in capsys.readouterr().out
    assert run(["template", "list", str(tmp_path)]) == 0
    assert "no templates in" in capsys.readouterr().out


def test_show_tells_what_a_bare_map_would_be_taken_for(capsys, source):
    assert run(["--json", "template", "show", str(source)]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["in_library"] is False
    assert shown["box_vox"] == 34
    assert "map_sha256" not in shown


def test_an_altered_template_is_refused_by_show(tmp_path, capsys, source):
    assert make(source, tmp_path / "lib") == 0
    path = tmp_path / "lib" / "thing.mrc"
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\0")
    capsys.readouterr()
    assert run(["template", "show", str(path)]) == 2
    assert "was altered" in error_line(capsys.readouterr().err)


@pytest.mark.parametrize(("fault", "code", "words"), FAULTS, ids=FAULT_NAMES)
def test_make_and_show_refuse_a_faulty_file_in_one_line(tmp_path, capsys, fault, code, words):
    path = fault(tmp_path)
    before = entries(tmp_path)
    out = tmp_path / "deep" / "lib"
    status = run(
        ["--quiet", "template", "make", str(path), "--out", str(out), "--voxel-size-angst", "10"]
    )
    assert status == 2
    error_line(capsys.readouterr().err)
    assert run(["--quiet", "template", "show", str(path)]) == 2
    error_line(capsys.readouterr().err)
    assert entries(tmp_path) == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--resolution-angst", "12"], "at least two voxels, 20 Å, found 12 Å"),
        (["--box", "8"], "expected a box of at least 14 voxels"),
        (["--symmetry", "X3"], "symmetry C1, Cn or Dn, found 'X3'"),
        (["--mask-radius-angst", "-4"], "positive --mask-radius-angst"),
        (["--contrast", "dark"], "stands out of its surroundings, found none"),
        (["--assembly", "1"], "expected an atomic model with --assembly"),
        (["--name", "a/b"], "can be a file name, found 'a/b'"),
        (["--mask", "cube"], "mask"),
        (["--source-voxel-size-angst", "0"], "correct --source-voxel-size-angst"),
    ],
)
def test_options_that_do_not_fit_are_refused_and_leave_nothing(
    tmp_path, capsys, source, options, words
):
    before = entries(tmp_path)
    arguments = ["--out", str(tmp_path / "lib"), "--voxel-size-angst", "10", *options]
    assert run(["--quiet", "template", "make", str(source), *arguments]) == 2
    assert words in error_line(capsys.readouterr().err)
    assert entries(tmp_path) == before


def test_the_source_and_other_peoples_files_are_never_overwritten(tmp_path, capsys, source):
    before = source.read_bytes()
    assert make(source, tmp_path) == 2
    assert "give another --name or --out" in error_line(capsys.readouterr().err.splitlines()[-1])
    assert source.read_bytes() == before
    assert entries(tmp_path) == ["thing.mrc"]


def test_a_header_without_a_voxel_size_asks_for_the_sources(tmp_path, capsys):
    path = write_mrc(tmp_path / "plain.mrc", ball((30, 30, 30)), 0.0, ispg=1)
    assert make(path, tmp_path / "lib") == 2
    assert "with --source-voxel-size-angst" in capsys.readouterr().err
    assert make(path, tmp_path / "lib", "--source-voxel-size-angst", "10") == 0


def test_the_real_ribosome_is_inverted_and_drawn(tmp_path, capsys):
    path = real_data("ribosome/emd_3420_b4.mrc.gz")
    assert make(path, tmp_path / "lib", "--resolution-angst", "30", "--mask", "density") == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["template_id"], result["source_contrast"]) == ("emd_3420_b4", "dark")
    assert 125.0 < result["radius_angst"] < 175.0
