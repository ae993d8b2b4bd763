"""`tomodx classify`, as a user runs it."""

import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from typer.testing import CliRunner

from app.cli import build_cli
from engine.classification.feature_spread import fitted_spread
from engine.data.particles import ParticleSet
from engine.data.provenance import Provenance
from engine.data.subtomograms import SubtomogramStack
from engine.io.mrc import read_tomogram, write_volume
from engine.io.spread_file import SPREADS_FILE, write_spreads
from engine.io.star import write_star
from engine.io.subtomogram_files import write_subtomograms
from engine.segmentation.network_files import read_card
from models.architectures.compact import Compact
from models.classifier_start import outputs_of
from models.classifier_training import FitParams, fit
from models.classifier_writing import deployment_of, write_classifier
from models.example_averages import ExampleAverageParams
from models.writing import write_card
from tests.models.test_classifier_training import NAMES, balls

VOXEL_ANGST = 12.0
OWN_NAMES = ("small", "middle", "large")


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


@pytest.fixture(scope="module")
def teaching(model, tmp_path_factory):
    """The same network with what it says of unseen structures: here, of these."""
    folder = tmp_path_factory.mktemp("models") / "teaching-1"
    shutil.copytree(model, folder)
    data = balls(seed=5)
    features = outputs_of(folder, data.images)["embedding"].numpy()
    spread = fitted_spread(features, data.kinds.numpy())
    write_spreads(folder / SPREADS_FILE, [replace(spread, limit=0.0)])
    write_card(folder, read_card(folder), SPREADS_FILE)
    return folder


def stack_of_balls(seed, labels):
    data = balls(seed=seed)
    return SubtomogramStack(
        data.images[:, 0].numpy(), VOXEL_ANGST, tuple(f"p{i}" for i in range(90)), labels,
        Provenance("0", "0", simulated=True),
    )  # fmt: skip


def few_of(seed, each):
    """Labels of a few of every class, in other words than those of training; of the rest none."""
    kinds = balls(seed=seed).kinds.numpy()
    shown = {int(one) for kind in range(3) for one in np.flatnonzero(kinds == kind)[:each]}
    return tuple(OWN_NAMES[kind] if i in shown else "" for i, kind in enumerate(kinds))


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


@pytest.mark.parametrize("averaged", [(), ("--averaged",)])
def test_a_stack_is_named_after_a_few_examples(teaching, tmp_path, averaged, monkeypatch):
    monkeypatch.setattr(ExampleAverageParams, "__init__", quick_params)
    kinds = balls(seed=6).kinds.numpy()
    labels = tuple(OWN_NAMES[kind] for kind in kinds)
    write_subtomograms(tmp_path / "stack.h5", stack_of_balls(6, labels))
    write_subtomograms(tmp_path / "few.h5", stack_of_balls(7, few_of(7, 3)))
    out = tmp_path / "out"
    result = run(
        "--json", "--quiet", "classify", tmp_path / "stack.h5", "--model", teaching, "--out", out,
        "--examples", tmp_path / "few.h5", *averaged,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert set(said["counts"]) == {*OWN_NAMES, "none_of_these"}
    rows = rows_of(out)
    right = [row["class"] == row["label"] for row in rows if row["class"] != "none_of_these"]
    assert len(right) > 60
    assert np.mean(right) > 0.8
    for row in rows:
        assert sum(float(row[f"p_{name}"]) for name in OWN_NAMES) == pytest.approx(1.0, abs=2e-3)
    provenance = json.loads((out / "provenance.json").read_text())
    assert {one["name"] for one in provenance["inputs"]} == {"stack.h5", "few.h5"}
    assert (out / "averages.png").exists() == bool(averaged)
    if averaged:
        large, small = (
            half_density_radius(read_tomogram(out / name, contrast="bright").voxels)
            for name in ("average_1_large.mrc", "average_3_small.mrc")
        )
        assert large == pytest.approx(4.2, abs=1.0)
        assert small == pytest.approx(1.5, abs=1.0)


def half_density_radius(voxels):
    """Where the mean over shells falls to half of the innermost, in voxels."""
    shells = np.linalg.norm(np.indices(voxels.shape) - 6, axis=0).round().astype(int).ravel()
    means = np.bincount(shells, voxels.ravel()) / np.bincount(shells)
    return int(np.flatnonzero(means < 0.5 * means[:2].mean())[0]) - 0.5


def quick_params(self):
    """One round, one iteration."""
    for name, value in (("shares", (0.9,)), ("iterations", (1,)), ("n_others", 2), ("seed", 0)):
        object.__setattr__(self, name, value)


def test_examples_may_be_picks_of_the_same_tomogram(teaching, tmp_path):
    rng = np.random.default_rng(3)
    voxels = rng.normal(0.0, 0.3, size=(20, 60, 60)).astype(np.float32)
    z, y, x = np.ogrid[:20, :60, :60]
    places = [(10, row, column) for row in (10, 30, 50) for column in (10, 30, 50)]
    radii = [1.5, 4.2] * 4 + [1.5]
    for place, radius in zip(places, radii, strict=True):
        voxels += sum((a - b) ** 2 for a, b in zip((z, y, x), place, strict=True)) < radius**2
    write_volume(tmp_path / "field.mrc", voxels, VOXEL_ANGST)

    def written(name, chosen, classes):
        particles = ParticleSet(
            np.array(places)[chosen] * VOXEL_ANGST, Rotation.identity(len(chosen)),
            ("field",) * len(chosen), classes, {"score": np.arange(float(len(chosen)))},
        )  # fmt: skip
        write_star(tmp_path / name, particles, flavour="relion4", voxel_size_angst=VOXEL_ANGST)

    written("all.star", list(range(9)), ("x",) * 9)
    written("few.star", [0, 1], ("small", "large"))
    out = tmp_path / "out"
    result = run(
        "classify", tmp_path / "field.mrc", "--picks", tmp_path / "all.star", "--model", teaching,
        "--out", out, "--contrast", "bright", "--examples", tmp_path / "few.star",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    found = [float(row["p_large"]) > 0.5 for row in rows_of(out)]
    assert found == [radius > 3 for radius in radii]


def test_bad_examples_are_one_line(model, teaching, tmp_path):
    write_subtomograms(tmp_path / "stack.h5", stack_of_balls(6, ("",) * 90))
    write_subtomograms(tmp_path / "one.h5", stack_of_balls(7, ("small",) * 90))
    write_subtomograms(tmp_path / "few.h5", stack_of_balls(7, few_of(7, 3)))
    write_subtomograms(tmp_path / "short.h5", stack_of_balls(7, ("",) * 90).take(slice(0, 9)))
    out = tmp_path / "out"
    for name, source, options, message in (
        (teaching, "stack.h5", ("--examples", "stack.h5"), "at least two classes, found none"),
        (teaching, "stack.h5", ("--examples", "one.h5"), "at least two classes, found small"),
        (model, "stack.h5", ("--examples", "few.h5"), "from few examples; use embedding-1"),
        (teaching, "stack.h5", ("--averaged",), "--averaged needs --examples"),
        (teaching, "short.h5", ("--examples", "few.h5", "--averaged"), "at least 36 subtomograms"),
    ):
        paths = [tmp_path / one if one.endswith(".h5") else one for one in options]
        result = run("classify", tmp_path / source, "--model", name, "--out", out, *paths)
        assert result.exit_code != 0
        assert message in str(result.exception) + result.output
        assert not out.exists()
    (teaching / SPREADS_FILE).write_bytes(b"no")
    result = run(
        "classify", tmp_path / "stack.h5", "--model", teaching, "--out", out,
        "--examples", tmp_path / "few.h5",
    )  # fmt: skip
    assert "spreads.npz was altered" in str(result.exception)
