"""`tomodx picks pool`: matches of several tomograms in one folder."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from app.cli import run
from engine.io.mrc import write_volume
from tests.app.test_cli_bad_input import error_line
from tests.engine.matching.scenes import planted, structure

VOXEL_ANGST = 10.0
QUICK = ["--tilt-range", "-60", "60", "--contrast", "bright", "--angular-step", "30"]


@pytest.fixture(scope="module")
def matches(tmp_path_factory):
    """A tomogram with copies and one of noise."""
    folder = tmp_path_factory.mktemp("cohort")
    write_volume(folder / "template.mrc", structure(), VOXEL_ANGST)
    write_volume(folder / "rich.mrc", planted().voxels, VOXEL_ANGST)
    noise = np.random.default_rng(0).normal(size=(56, 64, 72)).astype(np.float32)
    write_volume(folder / "empty.mrc", noise, VOXEL_ANGST)
    for name in ("rich", "empty"):
        words = [str(folder / f"{name}.mrc"), "--template", str(folder / "template.mrc")]
        assert run(["--quiet", "match", *words, "--out", str(folder / name), *QUICK]) == 0
    return folder


def test_picks_and_abundance_of_both_are_in_one_folder(matches, tmp_path, capsys):
    out = tmp_path / "pooled"
    words = [str(matches / "rich"), str(matches / "empty")]
    assert run(["--json", "picks", "pool", *words, "--out", str(out)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert sorted(printed["files"]) == sorted(path.name for path in out.glob("[!.]*"))
    picks = pd.read_csv(out / "cohort_picks.csv")
    parts = [pd.read_csv(matches / name / "picks.csv") for name in ("rich", "empty")]
    assert len(picks) == sum(len(part) for part in parts) == printed["templates"][0]["n_picks"]
    assert (picks["tomogram"] == "rich").sum() == len(parts[0])
    assert picks["cohort_q_value"].between(0, 1).all()
    assert picks["cohort_q_value"].is_monotonic_increasing
    table = pd.read_csv(out / "abundance.csv").set_index("tomogram")
    assert list(table.index) == ["rich", "empty", "all"]
    assert table.loc["rich", "copies"] > table.loc["empty", "copies"]
    assert table.loc["all", "copies"] == pytest.approx(table["copies"].iloc[:2].sum(), rel=1e-4)
    with Image.open(out / "cohort.png") as picture:
        assert picture.width > 1000


def test_the_same_match_twice_is_refused_in_one_line(matches, tmp_path, capsys):
    out = tmp_path / "pooled"
    words = [str(matches / "rich"), str(matches / "rich")]
    assert run(["picks", "pool", *words, "--out", str(out)]) == 2
    assert "twice" in error_line(capsys.readouterr().err)
    assert not out.exists()


def test_a_folder_of_something_else_is_refused_in_one_line(matches, tmp_path, capsys):
    assert run(["picks", "pool", str(tmp_path), "--out", str(tmp_path / "pooled")]) == 2
    assert "tomodx match" in error_line(capsys.readouterr().err)
