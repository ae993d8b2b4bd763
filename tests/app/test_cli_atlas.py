"""`tomodx atlas`: a match's copies put back; bad input in one line with nothing left behind."""

import csv
import json

import mrcfile
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from app.atlas import AtlasRequest, atlas_of_match
from app.cli import run
from engine.data.orientations import no_rotations
from engine.data.particles import ParticleSet
from engine.io.match_files import picks_csv
from engine.io.mrc import write_volume
from engine.io.star import read_star
from engine.io.template_files import write_template
from tests.app.test_cli_bad_input import entries, error_line
from tests.engine.io.test_gltf import parsed
from tests.engine.matching.scenes import RADIUS, VOXEL_SIZE_ANGST, structure, template

SHAPE = (40, 56, 64)
PLACES_VOX = np.array([(20.0, 18.4, 16.0), (18.0, 36.0, 45.5), (22.2, 40.0, 20.0)])
KINDS = ("first", "second", "first")
PROBABILITY = (0.99, 0.8, 0.3)
FILES = [
    "atlas.csv", "atlas.cxc", "atlas.glb", "atlas.png", "atlas_density.mrc",
    "atlas_instances.mrc", "atlas_labels.mrc", "labels.json", "points.star", "provenance.json",
]  # fmt: skip


def match_folder(folder, n=3):
    """The files of a match that an atlas reads."""
    folder.mkdir()
    figures = {name: np.linspace(0.3, 0.2, n) for name in ("score", "p_value", "q_value")}
    picks = ParticleSet(
        positions_angst=PLACES_VOX[:n] * VOXEL_SIZE_ANGST,
        rotations=Rotation.random(n, rng=np.random.default_rng(5)) if n else no_rotations(),
        tomogram_ids=("cell",) * n,
        class_names=KINDS[:n],
        figures={**figures, "probability": np.array(PROBABILITY[:n])},
    )
    (folder / "picks.csv").write_text(picks_csv(picks), encoding="utf-8")
    summary = {"tomogram": "cell", "n_searched_voxels": 50_000, "simulated": False}
    (folder / "match.json").write_text(json.dumps(summary), encoding="utf-8")
    record = {"inputs": [{"name": "cell.mrc", "sha256": "0"}], "simulated": False}
    (folder / "provenance.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


@pytest.fixture
def place(tmp_path):
    match_folder(tmp_path / "found")
    for seed, name in enumerate(("first", "second")):
        write_template(tmp_path, template(seed, name=name))
    noise = np.random.default_rng(0).standard_normal(SHAPE, dtype=np.float32)
    write_volume(tmp_path / "cell.mrc", noise, VOXEL_SIZE_ANGST)
    write_volume(tmp_path / "found" / "scores.mrc", noise, VOXEL_SIZE_ANGST)
    return tmp_path


def make(place, *options, match="found", out="out", templates=("first", "second")):
    named = [part for name in templates for part in ("--template", str(place / f"{name}.mrc"))]
    return run(
        ["--json", "atlas", str(place / match), *named, "--tomogram", str(place / "cell.mrc"),
         "--out", str(place / out), *options]
    )  # fmt: skip


def volume(path):
    with mrcfile.open(path) as opened:
        assert opened.voxel_size.x == pytest.approx(VOXEL_SIZE_ANGST)
        return opened.data.copy()


def test_an_atlas_holds_volumes_points_surfaces_table_and_picture(place, capsys):
    assert make(place) == 0
    result = json.loads(capsys.readouterr().out)
    out = place / "out"
    assert sorted(result["files"]) == FILES
    assert entries(out) == [".tomodx", *FILES]
    assert [found["placed"] for found in result["templates"]] == [1, 1]
    assert json.loads((out / "labels.json").read_text()) == {"1": "first", "2": "second"}
    labels, instances = volume(out / "atlas_labels.mrc"), volume(out / "atlas_instances.mrc")
    assert labels.shape == SHAPE
    assert labels.dtype == np.uint16
    assert set(np.unique(labels)) == set(np.unique(instances)) == {0, 1, 2}
    middles = [np.argwhere(labels == kind).mean(axis=0) for kind in (1, 2)]
    assert np.linalg.norm(middles - PLACES_VOX[:2], axis=1).max() < RADIUS / 2
    assert volume(out / "atlas_density.mrc").dtype == np.float32
    document, _ = parsed((out / "atlas.glb").read_bytes())
    assert document["extras"]["simulated"] is False
    assert [node["mesh"] for node in document["nodes"]] == [0, 1]
    assert document["nodes"][0]["translation"] == pytest.approx([16.0, 18.4, 20.0], abs=1e-3)
    assert (out / "atlas.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    script = (out / "atlas.cxc").read_text()
    assert "open atlas_density.mrc" in script
    assert "marker #11 position 160.00,184.00,200.00" in script
    assert "color zone #1 near #11,12" in script


def test_the_table_counts_every_pick_with_its_probability(place, capsys):
    assert make(place, "--minimum-probability", "0.2") == 0
    with (place / "out" / "atlas.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["template"] for row in rows] == ["first", "second"]
    assert [row["placed"] for row in rows] == ["2", "1"]
    assert float(rows[0]["copies"]) == pytest.approx(1.29)
    assert float(rows[0]["per_um3"]) == pytest.approx(1.29 / 50_000e-9, rel=1e-4)
    apart_nm = np.linalg.norm(PLACES_VOX[0] - PLACES_VOX[2])
    assert float(rows[0]["nearest_neighbour_median_nm"]) == pytest.approx(apart_nm, abs=0.01)
    assert rows[1]["nearest_neighbour_median_nm"] == ""


def test_label_ids_follow_the_order_of_the_templates(place, capsys):
    assert make(place, templates=("second", "first")) == 0
    assert json.loads((place / "out" / "labels.json").read_text()) == {"1": "second", "2": "first"}


def test_the_same_command_writes_the_same_bytes(place, capsys):
    assert make(place) == 0
    assert make(place, out="again") == 0
    for name in FILES:
        assert (place / "out" / name).read_bytes() == (place / "again" / name).read_bytes()


def test_no_picks_give_an_atlas_of_nothing(place, capsys):
    match_folder(place / "nothing", n=0)
    assert make(place, match="nothing") == 0
    assert not volume(place / "out" / "atlas_labels.mrc").any()
    document, _ = parsed((place / "out" / "atlas.glb").read_bytes())
    assert "nodes" not in document


def test_simulated_input_is_said_everywhere(place, capsys):
    noise = np.zeros(SHAPE, dtype=np.float32)
    noise[::2] = 1.0
    write_volume(place / "cell.mrc", noise, VOXEL_SIZE_ANGST, label="TomoDx simulated")
    assert make(place) == 0
    assert json.loads(capsys.readouterr().out)["simulated"] is True
    out = place / "out"
    assert json.loads((out / "provenance.json").read_text())["simulated"] is True
    assert parsed((out / "atlas.glb").read_bytes())[0]["extras"]["simulated"] is True
    assert "SIMULATED" in (out / "atlas.cxc").read_text()
    with mrcfile.open(out / "atlas_labels.mrc") as opened:
        assert any("TomoDx simulated" in str(label) for label in opened.header.label)


@pytest.mark.parametrize("sign", [1, -1])
def test_copies_are_shown_dark_whatever_the_files_contrast(place, capsys, sign):
    assert make(place) == 0
    density = volume(place / "out" / "atlas_density.mrc")
    write_volume(place / "cell.mrc", np.float32(sign) * density, VOXEL_SIZE_ANGST)
    request = AtlasRequest(
        place / "found", (place / "first.mrc", place / "second.mrc"), place / "cell.mrc"
    )
    shown = atlas_of_match(request, place / "again").scene.tomogram
    assert shown.recorded_contrast == ("bright" if sign > 0 else "dark")
    assert (shown.voxels * density).sum() > 0


def test_rows_of_the_star_file_are_the_instances(place, capsys):
    assert make(place, "--minimum-probability", "0") == 0
    points = read_star(place / "out" / "points.star", voxel_size_angst=VOXEL_SIZE_ANGST)
    assert points.positions_angst == pytest.approx(PLACES_VOX * VOXEL_SIZE_ANGST, abs=0.01)
    assert points.class_names == KINDS
    instances = volume(place / "out" / "atlas_instances.mrc")
    for row, place_angst in enumerate(points.positions_angst):
        middle_vox = np.argwhere(instances == row + 1).mean(axis=0)
        assert np.linalg.norm(middle_vox - place_angst / VOXEL_SIZE_ANGST) < RADIUS / 2


def test_a_file_that_was_not_matched_is_flagged(place, capsys):
    assert make(place) == 0
    (flag,) = json.loads(capsys.readouterr().out)["flags"]
    assert flag["code"] == "other_inputs"
    assert "cell.mrc, first.mrc, second.mrc" in flag["message"]


def write_table(place, text):
    (place / "found" / "picks.csv").write_text(text, encoding="utf-8")


def coarse_template(place):
    write_volume(place / "first.mrc", structure(0), 2 * VOXEL_SIZE_ANGST)
    (place / "first.yaml").unlink()
    (place / "first.mask.mrc").unlink()


BAD = {
    "no folder": (lambda p: None, {"match": "none"}, (), "found none at"),
    "no picks": (lambda p: (p / "found" / "picks.csv").unlink(), {}, (), "table of picks"),
    "no summary": (lambda p: (p / "found" / "match.json").unlink(), {}, (), "no match.json"),
    "summary": (
        lambda p: (p / "found" / "match.json").write_text("{"), {}, (), "found a damaged file"
    ),
    "table": (lambda p: write_table(p, "template,z_nm\n"), {}, (), "found no y_nm"),
    "other tomogram": (
        lambda p: write_volume(
            p / "cell.mrc", np.random.default_rng(0).random((9, 9, 9), dtype=np.float32), 10.0
        ), {}, (), "found (9, 9, 9) at 10",
    ),
    "outside": (
        lambda p: write_table(p, (p / "found" / "picks.csv").read_text().replace("20.0000", "99")),
        {}, (), "found 2 outside",
    ),
    "sampling of the match": (
        lambda p: None, {}, ("--voxel-size-angst", "10.1"), "(40, 56, 64) at 10 Å/voxel, found"
    ),
    "template missing": (lambda p: None, {"templates": ("first",)}, (), "found picks of second"),
    "template twice": (lambda p: None, {"templates": ("first", "first")}, (), "first twice"),
    "sampling": (coarse_template, {}, (), "found 20"),
    "probability": (lambda p: None, {}, ("--minimum-probability", "1.5"), "from 0 to 1"),
}  # fmt: skip


@pytest.mark.parametrize(("spoil", "given", "options", "words"), BAD.values(), ids=BAD)
def test_bad_input_is_refused_in_one_line_and_leaves_nothing(
    place, capsys, spoil, given, options, words
):
    spoil(place)
    before = entries(place)
    assert make(place, *options, out="deep/out", **given) == 2
    captured = capsys.readouterr()
    assert words in error_line(captured.err)
    assert captured.out == ""
    assert entries(place) == before


def test_the_folder_of_the_match_is_not_overwritten(place, capsys):
    (place / "found" / ".tomodx").write_text("match.json\npicks.csv\nprovenance.json\n")
    before = entries(place)
    assert make(place, out="found") != 0
    assert "another folder" in error_line(capsys.readouterr().err)
    assert entries(place) == before
