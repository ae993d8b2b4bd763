"""`tomodx train` for classifiers, as a user runs it."""

import json

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from app.cli import build_cli
from engine.data.provenance import Provenance
from engine.data.subtomograms import SubtomogramStack
from engine.errors import BadInputError, PipelineError
from engine.io.mrc import write_volume
from engine.io.subtomogram_files import write_subtomograms
from models import unseen_features
from models.registry import verify_models
from tests.models.test_classifier_training import NAMES, balls

RECIPE = {
    "name": "own-1", "task": "classification", "architecture": "compact_small", "box_vox": 16,
    "voxel_size_nm": 1.2, "epochs": 3, "batch": 16, "per_class": 20,
}  # fmt: skip


def run(*arguments):
    arguments = ["--json", "--quiet", *(str(one) for one in arguments)]
    return CliRunner().invoke(build_cli(arguments), arguments)


def recipe(tmp_path, **changes):
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump({**RECIPE, **changes}))
    return path


def stack(tmp_path, labels):
    data = balls(seed=1)
    n = len(labels)
    path = tmp_path / "stack.h5"
    write_subtomograms(
        path,
        SubtomogramStack(
            data.images[:n, 0].numpy(), 12.0, tuple(f"p{i}" for i in range(n)), tuple(labels),
            Provenance("0", "0", simulated=True),
        ),
    )  # fmt: skip
    return path


def labels():
    return [NAMES[kind] for kind in balls(seed=1).kinds]


def test_a_labelled_stack_becomes_a_classifier_that_classifies(tmp_path):
    known = stack(tmp_path, labels())
    result = run(
        "train",
        recipe(tmp_path, epochs=20, learning_rate=0.01, box_vox=12, architecture="compact"),
        "--subtomograms",
        known,
        "--work",
        tmp_path / "w",
    )
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["metrics"]["accuracy"] > 0.6
    done = run("classify", known, "--model", said["out"], "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert set(json.loads(done.stdout)["counts"]) == {*NAMES, "none_of_these"}


def test_what_a_stack_calls_none_of_these_is_no_class(tmp_path):
    given = ["none_of_these" if one == NAMES[0] else one for one in labels()]
    known = stack(tmp_path, given)
    own = recipe(tmp_path, epochs=25, learning_rate=0.01, box_vox=12, architecture="compact")
    result = run("train", own, "--subtomograms", known, "--work", tmp_path / "w")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert "strangers-refused" in said["metrics"]
    card = yaml.safe_load((tmp_path / "w/models/own-1/card.yaml").read_text())
    assert card["class_names"] == sorted(NAMES[1:])
    assert card["none_score"] == "log odds of a stranger"
    done = run("classify", known, "--model", said["out"], "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    counts = json.loads(done.stdout)["counts"]
    assert set(counts) == {*NAMES[1:], "none_of_these"}
    # 30 were labelled so; one known in twenty is refused.
    assert counts["none_of_these"] > 20


def test_a_classifier_of_eight_bits_lies_beside_the_other(tmp_path):
    known = stack(tmp_path, labels())
    result = run(
        "train",
        recipe(tmp_path, epochs=20, learning_rate=0.01, box_vox=12, architecture="compact",
        int8=True), "--subtomograms", known, "--work", tmp_path / "w",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    said = json.loads(result.stdout)
    assert said["metrics"]["int8-accuracy"] >= said["metrics"]["float32-accuracy"] - 0.005
    done = run("classify", known, "--model", f"{said['out']}-int8", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output


def test_a_classifier_is_adapted_to_an_unlabelled_stack(tmp_path):
    known, other = stack(tmp_path, labels()), tmp_path / "other.h5"
    data = balls(seed=3)
    n = len(data)
    write_subtomograms(
        other,
        SubtomogramStack(
            1.0 - data.images[:, 0].numpy(), 12.0, tuple(f"q{i}" for i in range(n)), ("",) * n,
            Provenance("0", "0", simulated=True),
        ),
    )  # fmt: skip
    own = recipe(tmp_path, box_vox=12, architecture="compact")
    given = ("train", own, "--subtomograms", known, "--work", tmp_path / "w")
    result = run(*given, "--unlabelled", other)
    assert result.exit_code == 0, result.output
    card = yaml.safe_load((tmp_path / "w" / "models" / "own-1" / "card.yaml").read_text())
    assert card["training"]["n_unlabelled"] == n
    assert card["command"].endswith("--unlabelled STACK")
    few = tmp_path / "few.h5"
    write_subtomograms(
        few,
        SubtomogramStack(
            data.images[:9, 0].numpy(), 12.0, tuple(f"q{i}" for i in range(9)), ("",) * 9,
            Provenance("0", "0", simulated=True),
        ),
    )  # fmt: skip
    refused = run(*given, "--unlabelled", few)
    assert isinstance(refused.exception, BadInputError)
    assert "at least 50 unlabelled" in str(refused.exception)


def test_simulated_structures_become_a_classifier_and_training_goes_on_from_it(tmp_path):
    work = tmp_path / "w"
    first = run(
        "train", recipe(tmp_path, structures={"n_assemblies": 2}, density_weight=0.5, renewed=True,
        architecture="compact"), "--work", work,
    )  # fmt: skip
    assert first.exit_code == 0, first.output
    second = run(
        "train", recipe(tmp_path, name="own-2", structures={"n_assemblies": 3},
        architecture="compact", start_from="own-1"), "--work", work,
    )  # fmt: skip
    assert second.exit_code == 0, second.output
    third = run(
        "train", recipe(tmp_path, name="own-3", structures={"n_assemblies": 3}, teacher="own-2"),
        "--work", work,
    )  # fmt: skip
    assert third.exit_code == 0, third.output
    fourth = run(
        "train", recipe(tmp_path, name="own-4", structures={"n_assemblies": 2, "n_strangers": 4},
        architecture="compact", start_from="own-1"), "--work", work,
    )  # fmt: skip
    assert fourth.exit_code == 0, fourth.output
    card = yaml.safe_load((work / "models" / "own-4" / "card.yaml").read_text())
    assert card["class_names"] == ["assembly-0", "assembly-1"]


def test_where_classes_are_averaged_strangers_stand_beside_them(tmp_path):
    structures = {"n_assemblies": 2, "n_strangers": 4}
    own = recipe(
        tmp_path, structures=structures, architecture="multi_reference", box_vox=12,
        epochs=1,
    )  # fmt: skip
    result = run("train", own, "--work", tmp_path / "w")
    assert result.exit_code == 0, result.output
    card = yaml.safe_load((tmp_path / "w" / "models" / "own-1" / "card.yaml").read_text())
    assert card["class_names"] == ["assembly-0", "assembly-1"]
    assert card["none_score"] == "log odds of a stranger, with the distance from the nearest class"
    # What a microscope took of its own shows how it would show strangers.
    known = stack(tmp_path, labels())
    alone = run("train", own, "--subtomograms", known, "--work", tmp_path / "v")
    assert alone.exit_code == 0, alone.output
    card = yaml.safe_load((tmp_path / "v" / "models" / "own-1" / "card.yaml").read_text())
    assert card["none_score"] == "log odds of a stranger, with the distance from the nearest class"


def test_a_trained_network_says_how_unseen_structures_lie_and_takes_examples(tmp_path, monkeypatch):
    monkeypatch.setattr(unseen_features, "N_LEVELS", 1)
    monkeypatch.setattr(unseen_features, "OF_EACH", 8)
    own = recipe(
        tmp_path, structures={"n_assemblies": 3, "n_unseen": 30}, architecture="compact", box_vox=12
    )
    result = run("train", own, "--work", tmp_path / "w")
    assert result.exit_code == 0, result.output
    folder = json.loads(result.stdout)["out"]
    verify_models(tmp_path / "w" / "models")
    known = stack(tmp_path, labels())
    done = run("classify", known, "--model", folder, "--examples", known, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert set(json.loads(done.stdout)["counts"]) == {*NAMES, "none_of_these"}


def test_a_folder_of_densities_is_read_by_name(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        density = np.zeros((24, 24, 24), dtype=np.float32)
        density[8:16, 8:16, 8 : int(rng.integers(12, 18))] = 1.0
        write_volume(tmp_path / f"{name}.mrc", density, 10.0, label="test")
    own = recipe(tmp_path, structures={"densities": {"a": "first", "b": "second"}}, epochs=1)
    result = run("train", own, "--densities", tmp_path, "--work", tmp_path / "w")
    assert result.exit_code == 0, result.output
    card = yaml.safe_load((tmp_path / "w/models/own-1/card.yaml").read_text())
    assert card["class_names"] == ["first", "second"]


@pytest.mark.parametrize(
    ("changes", "options", "said"),
    [
        ({}, (), "the recipe names no structures"),
        ({"structures": {"densities": {"a": "first"}}}, (), "expected --densities DIR with a"),
        ({"structures": {"densities": {"a": "x"}}}, ("--densities", "."), "has no density a.mrc"),
        (
            {"structures": {"densities": {"a": "none_of_these"}}},
            (),
            "own.yaml: structures: none_of",
        ),
        ({"structures": {"n_assemblies": 2}, "start_from": "none"}, (), "no model 'none'"),
        ({"structures": {"n_assemblies": 2, "n_unseen": 5}}, (), "none or at least 30"),
    ],
)
def test_what_is_lacking_is_said_in_a_line(tmp_path, changes, options, said):
    result = run("train", recipe(tmp_path, **changes), "--work", tmp_path / "w", *options)
    assert isinstance(result.exception, PipelineError)
    assert said in str(result.exception)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["one"] * 20, "expected at least two classes"),
        (["one"] * 10 + ["none_of_these"] * 10, "at least two classes, found one alone"),
        (["one"] * 18 + ["two"] * 2, "at least 5 subtomograms of every class, found 2 of two"),
        ([""] * 20, "expected a label for every subtomogram"),
    ],
)
def test_stacks_that_cannot_teach_are_refused(tmp_path, given, said):
    own = stack(tmp_path, given)
    result = run(
        "train", recipe(tmp_path, box_vox=12), "--subtomograms", own, "--work", tmp_path / "w"
    )
    assert isinstance(result.exception, BadInputError)
    assert said in str(result.exception)


def test_five_of_each_class_are_enough(tmp_path):
    own = stack(tmp_path, ["one"] * 5 + ["two"] * 5)
    result = run("train", recipe(tmp_path, box_vox=12), "--subtomograms", own, "--work", tmp_path)
    assert result.exit_code == 0, result.output


def test_a_network_of_tomograms_does_not_learn_from_subtomograms(tmp_path):
    result = run("train", "fine", "--subtomograms", tmp_path / "x.h5", "--work", tmp_path / "w")
    assert isinstance(result.exception, BadInputError)
    assert "fine is no classifier" in str(result.exception)
    assert not (tmp_path / "w").exists()


def test_class_averages_of_a_labelled_stack_classify(tmp_path):
    known = stack(tmp_path, labels())
    own = recipe(tmp_path, epochs=2, box_vox=12, architecture="multi_reference")
    result = run("train", own, "--subtomograms", known, "--work", tmp_path / "work")
    assert result.exit_code == 0, result.output
    model = json.loads(result.stdout)["out"]
    result = run("classify", known, "--model", model, "--out", tmp_path / "classes")
    assert result.exit_code == 0, result.output


def test_class_averages_do_not_adapt(tmp_path):
    known = stack(tmp_path, labels())
    own = recipe(tmp_path, box_vox=12, architecture="multi_reference")
    result = run("train", own, "--subtomograms", known, "--unlabelled", known, "--work", tmp_path)
    assert isinstance(result.exception, BadInputError)
    assert "does not adapt" in str(result.exception)
