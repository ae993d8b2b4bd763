"""`tomodx classify`, as a user runs it."""

import csv
import json

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from typer.testing import CliRunner

from app.cli import build_cli
from engine.data.particles import ParticleSet
from engine.data.provenance import Provenance
from engine.data.subtomograms import SubtomogramStack
from engine.io.mrc import write_volume
from engine.io.star import write_star
from engine.io.subtomogram_files import write_subtomograms
from models.architectures.compact import Compact
from models.classifier_training import FitParams, fit
from models.classifier_writing import deployment_of, write_classifier
from tests.models.test_classifier_training import NAMES, balls

VOXEL_ANGST = 12.0


def run(*arguments):
    arguments = [str(one) for one in arguments]
    return CliRunner().invoke(build_cli(arguments), arguments)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(1)
    data, params = balls(), FitParams(epochs=15, batch=16, learning_rate=0.01)
    fitted = fit(Compact(3, (8, 8, 16, 16), 16), data, params)
    folder = tmp_path_factory.mktemp("models") / "balls-1"
    write_classifier(
        fitted.network, deployment_of(fitted, VOXEL_ANGST / 10), params, folder, "train"
    )
    return folder


def rows_of(folder):
    with (folder / "classes.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_a_stack_comes_back_named(model, tmp_path):
    data = balls(seed=1)
    labels = tuple(NAMES[kind] for kind in data.kinds)
    stack = SubtomogramStack(
        data.images[:, 0].numpy(), VOXEL_ANGST, tuple(f"p{i}" for i in range(90)), labels,
        Provenance("0", "0", simulated=True),
    )  # fmt: skip
    write_subtomograms(tmp_path / "stack.h5", stack)
    out = tmp_path / "out"
    result = run(
        "--json", "--quiet", "classify", tmp_path / "stack.h5", "--model", model, "--out", out
    )
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    rows = rows_of(out)
    assert said["n"] == len(rows) == 90
    assert sum(said["counts"].values()) == 90
    assert said["simulated"]
    named = [row for row in rows if row["class"] != "none_of_these"]
    right = [row["class"] == row["label"] for row in named]
    assert np.mean(right) > 0.8
    for row in rows:
        shares = [float(row[f"p_{name}"]) for name in NAMES]
        assert sum(shares) == pytest.approx(1.0, abs=2e-3)
        assert (row["probability"] == "") == (row["class"] == "none_of_these")
    assert np.load(out / "embeddings.npy").shape == (90, 16)
    assert json.loads((out / "provenance.json").read_text())["models"][0]["name"].startswith(
        "balls"
    )
    assert (out / "classes.png").stat().st_size > 5000


def test_particles_of_a_tomogram_keep_their_places(model, tmp_path):
    rng = np.random.default_rng(3)
    voxels = rng.normal(0.0, 0.3, size=(40, 60, 60)).astype(np.float32)
    places = np.array([[20, 15, 15], [20, 40, 40], [20, 15, 45], [20, 20, 500]])
    voxels[16:25, 36:45, 36:45] += 1.0
    write_volume(tmp_path / "field.mrc", voxels, VOXEL_ANGST)
    particles = ParticleSet(
        places * VOXEL_ANGST, Rotation.identity(4), ("field",) * 4, ("x",) * 4,
        {"score": np.arange(4.0)},
    )  # fmt: skip
    write_star(tmp_path / "p.star", particles, flavour="relion4", voxel_size_angst=VOXEL_ANGST)
    out = tmp_path / "out"
    result = run(
        "classify", tmp_path / "field.mrc", "--picks", tmp_path / "p.star", "--model", model,
        "--out", out, "--contrast", "bright",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "left out: 1 particles" in result.stdout
    rows = rows_of(out)
    assert [row["name"] for row in rows] == ["field:1", "field:2", "field:3"]
    assert [float(row["z_nm"]) for row in rows] == [24.0] * 3
    assert [float(row["x_nm"]) for row in rows] == [18.0, 48.0, 54.0]
    assert "rlnTomoName" in (out / "particles.star").read_text()


def test_bad_input_is_one_line_and_leaves_nothing(model, tmp_path):
    small = SubtomogramStack(
        np.random.default_rng(1).normal(size=(2, 6, 6, 6)), VOXEL_ANGST, ("a", "b"), ("", ""),
        Provenance("0", "0"),
    )  # fmt: skip
    write_subtomograms(tmp_path / "small.h5", small)
    (tmp_path / "text.h5").write_text("no")
    out = tmp_path / "out"
    for source, name, message in (
        ("small.h5", model, "too small"),
        ("text.h5", model, "not readable as HDF5"),
        ("absent.h5", model, "no file"),
        ("small.h5", "fine-8", "expected a classifier of subtomograms"),
        ("small.h5", "nobody-1", "no model 'nobody-1'"),
    ):
        result = run("--quiet", "classify", tmp_path / source, "--model", name, "--out", out)
        assert result.exit_code != 0
        assert message in str(result.exception) + result.output
        assert not out.exists()
