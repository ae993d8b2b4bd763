"""`tomodx match`: a run, one taken up again, and bad input in one line with nothing left behind."""

import json

import numpy as np
import pandas as pd
import pytest

from app import score_store
from app.cli import run
from engine.io.mrc import write_volume
from engine.io.star import read_star
from engine.matching import match
from tests.app.test_cli_bad_input import entries, error_line
from tests.engine.matching.scenes import planted, structure

VOXEL_ANGST = 10.0
# Coarse: these tests look at the command, not at the figures.
QUICK = ["--tilt-range", "-60", "60", "--contrast", "bright", "--angular-step", "30"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("match")
    write_volume(made / "cell.mrc", planted().voxels, VOXEL_ANGST)
    write_volume(made / "template.mrc", structure(), VOXEL_ANGST)
    write_volume(made / "rival.mrc", structure(1), VOXEL_ANGST)
    return made


def command(folder, out, *options, templates=("template.mrc",)):
    given = [word for name in templates for word in ("--template", str(folder / name))]
    return ["--quiet", "match", str(folder / "cell.mrc"), *given, "--out", str(out), *options]


@pytest.fixture(scope="module")
def finished(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("finished") / "out"
    assert run(command(folder, out, *QUICK)) == 0
    return out


def near_copies(places_angst, tolerance_angst=20.0):
    truth = planted().positions_vox * VOXEL_ANGST
    distance = np.linalg.norm(places_angst[:, None] - truth[None], axis=2)
    return (distance.min(axis=0) < tolerance_angst).sum()


def test_the_copies_are_in_every_list(finished):
    table = pd.read_csv(finished / "picks.csv")
    places = table[["z_nm", "y_nm", "x_nm"]].to_numpy() * 10.0
    assert near_copies(places) == len(table) == len(planted().positions_vox)
    star = read_star(finished / "picks.star")
    assert near_copies(star.positions_angst) == len(star)
    summary = json.loads((finished / "match.json").read_text())
    assert summary["n_picks"] == len(table)
    assert summary["templates"][0]["n_significant"] == (table["q_value"] <= 0.05).sum()


def test_nothing_but_results_is_left(finished):
    assert entries(finished.parent) == sorted(
        ["out", *(f"out/{name}" for name in (
            ".tomodx", "match.json", "picks.csv", "picks.star", "preview.png", "provenance.json",
            "scores.mrc",
        ))]
    )  # fmt: skip


def test_an_interrupted_match_goes_on_and_gives_the_same(
    folder, finished, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(match, "largest_tile_vox", lambda table, params: 60_000)
    done = score_store.ScoresOnDisk.done
    counts = []

    def stop_after_two(self, tile):
        done(self, tile)
        counts.append(tile)
        if len(counts) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(score_store.ScoresOnDisk, "done", stop_after_two)
        assert run(command(folder, tmp_path / "out", *QUICK)) == 1
    assert "run the command again to go on" in error_line(capsys.readouterr().err)
    assert not (tmp_path / "out").exists()
    again = command(folder, tmp_path / "out", *QUICK)
    again.remove("--quiet")
    assert run(again) == 0
    assert "2 tiles were done" in capsys.readouterr().out
    once, twice = (pd.read_csv(out / "picks.csv") for out in (finished, tmp_path / "out"))
    np.testing.assert_allclose(
        once.sort_values("x_nm")[["z_nm", "y_nm", "x_nm"]],
        twice.sort_values("x_nm")[["z_nm", "y_nm", "x_nm"]],
        atol=0.5,
    )
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_two_templates_compete_and_each_has_its_summary(folder, tmp_path, capsys):
    words = command(folder, tmp_path / "out", *QUICK, templates=("template.mrc", "rival.mrc"))
    assert run(["--json", *words]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [one["template_id"] for one in result["templates"]] == ["template", "rival"]
    assert result["templates"][0]["n_picks"] > result["templates"][1]["n_picks"]


def flat(folder):
    write_volume(folder / "flat.mrc", np.full((24, 24, 24), 2.0, np.float32), VOXEL_ANGST)
    return ["--template", str(folder / "flat.mrc")]


def too_large(folder):
    voxels = np.zeros((96, 96, 96), np.float32)
    voxels[8:88, 40:56, 40:56] = 1.0
    write_volume(folder / "large.mrc", voxels, VOXEL_ANGST)
    return ["--template", str(folder / "large.mrc")]


def other_sampling(folder):
    write_volume(folder / "finer.mrc", structure(), 8.0)
    return ["--template", str(folder / "finer.mrc")]


def empty_mask(folder):
    write_volume(folder / "mask.mrc", np.zeros(planted().voxels.shape, np.float32), VOXEL_ANGST)
    return ["--mask", str(folder / "mask.mrc")]


def mask_of_nothing_inside(folder):
    voxels = np.zeros(planted().voxels.shape, np.float32)
    voxels[0, :2] = 1.0
    write_volume(folder / "mask.mrc", voxels, VOXEL_ANGST)
    return ["--mask", str(folder / "mask.mrc")]


def mask_of_other_shape(folder):
    write_volume(folder / "mask.mrc", np.ones((8, 8, 8), np.float32), VOXEL_ANGST)
    return ["--mask", str(folder / "mask.mrc")]


def angles_missing(folder):
    lines = "[ZValue = 0]\nTiltAngle = -60\nExposureDose = 3\n[ZValue = 1]\nExposureDose = 3\n"
    (folder / "series.mdoc").write_text(lines)
    return ["--tilts", str(folder / "series.mdoc")]


def no_file(folder):
    return ["--template", str(folder / "missing.mrc")]


def symmetry_unknown(folder):
    return ["--symmetry", "Q7"]


def step_absurd(folder):
    return ["--angular-step", "0.01"]


FAULTY = [
    (too_large, "smaller than the tomogram"),
    (other_sampling, "8.000 Å"),
    (flat, "flat"),
    (empty_mask, "expected a mask with voxels above 0.5"),
    (mask_of_nothing_inside, "faces of the tomogram"),
    (mask_of_other_shape, "shape 56x64x72"),
    (angles_missing, "TiltAngle"),
    (no_file, "missing.mrc"),
    (symmetry_unknown, "Q7"),
    (step_absurd, "0.01"),
]


@pytest.mark.parametrize(("make", "words"), FAULTY, ids=[make.__name__ for make, _ in FAULTY])
def test_bad_input_is_one_line_and_leaves_nothing(folder, tmp_path, capsys, make, words):
    options = make(tmp_path)
    names = () if "--template" in options else ("template.mrc",)
    before = entries(tmp_path)
    settings = ["--tilt-range", "-60", "60"] if make is not angles_missing else []
    status = run(
        command(
            folder, tmp_path / "out", "--contrast", "bright", *settings, *options, templates=names
        )
    )
    captured = capsys.readouterr()
    assert status == 2
    assert words in error_line(captured.err)
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    assert entries(tmp_path) == before
