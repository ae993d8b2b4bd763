from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from engine.errors import BadInputError, MissingFileError, ModelFileError
from engine.segmentation.inference import OnnxRuntime, load_network, run_tiled
from engine.segmentation.network_files import MODEL_FILE, read_card
from models.losses import distillation_loss
from models.recipe import RECIPES_FOLDER, Recipe, read_recipe
from models.registry import list_models, model_folder, verify_models
from models.table import ARCHITECTURES
from models.training import make_network, train
from models.writing import write_model

TINY = {
    "name": "tiny",
    "task": "fine",
    "architecture": "unet3d",
    "channels": [4, 6],
    "voxel_size_nm": 2.4,
    "outputs": ["membrane", "microtubule_core"],
    "pool": {
        "families": ["A"],
        "n_tomograms": 2,
        "shape": [32, 48, 48],
        "snr_range": [0.2, 0.4],
        "mean_mitochondria": 1.0,
        "mean_microtubules": 4.0,
        "seed": 1,
    },
    "patches": [[16, 24, 24], [8, 32, 24]],
    "snr_range": [0.1, 1.0],
    "batch": 2,
    "steps": 3,
    "learning_rate": 0.01,
    "seed": 5,
}


SHIPPED_RECIPES = sorted(path.stem for path in RECIPES_FOLDER.glob("*.yaml"))


def tiny(**changes):
    return Recipe.model_validate({**TINY, **changes})


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    write_model(make_network(tiny()).eval(), tiny(), {"dice_membrane": 0.5}, folder, "a command")
    return folder


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_keeps_the_volume_and_gives_its_outputs(name):
    network = ARCHITECTURES[name].make((4, 6, 8), 3, 2).eval()
    with torch.inference_mode():
        assert network(torch.zeros((2, 2, 8, 16, 24))).shape == (2, 3, 8, 16, 24)


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("n_levels", [2, 3])
def test_no_voxel_beyond_the_receptive_radius_changes_the_result(name, n_levels):
    torch.manual_seed(0)
    architecture = ARCHITECTURES[name]
    network = architecture.make((8,) * n_levels, 1, 1).eval()
    radius, multiple = architecture.receptive_radius_vox(n_levels), architecture.multiple(n_levels)
    half = -(-2 * radius // multiple) * multiple
    volume = torch.randn((1, 1, 8, 8, 2 * half))
    changed = volume.clone()
    changed[..., : half - radius] += 1.0
    with torch.inference_mode():
        difference = (network(volume) - network(changed)).abs()[0, 0]
    assert float(difference[..., half:].max()) == 0.0
    assert float(difference[..., : half - radius].max()) > 0.0


def test_shipped_recipes_leave_the_held_out_family_out():
    for name in SHIPPED_RECIPES:
        assert set(read_recipe(name).pool.families) == {"A", "B"}
    with pytest.raises(ValueError, match="families"):
        tiny(pool={**TINY["pool"], "families": ["C"]})


def test_a_recipe_asks_for_the_sampling_of_its_task_or_a_multiple():
    assert tiny(voxel_size_nm=4.8).binning == 2
    for task, voxel_nm in (("fine", 3.0), ("fine", 1.2), ("coarse", 12.8), ("coarse", 2.4)):
        with pytest.raises(ValueError, match="voxel_size_nm"):
            tiny(task=task, voxel_size_nm=voxel_nm)


def test_recipe_faults_are_named_in_one_error(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump({**TINY, "steps": "many", "colour": 3}))
    with pytest.raises(BadInputError, match=r"steps.*colour|colour.*steps"):
        read_recipe(str(path))
    with pytest.raises(MissingFileError, match="shipped recipes"):
        read_recipe("no-such-recipe")


def test_runtimes_agree_with_torch_and_labels_with_each_other(exported):
    network = make_network(tiny()).eval()
    tile = np.random.default_rng(1).normal(size=(16, 24, 32)).astype(np.float32)
    with torch.inference_mode():
        expected = network(torch.from_numpy(tile)[None, None])[0].numpy()
    opened = load_network(exported, "cpu")
    for runtime in (opened.runtime, OnnxRuntime(exported / MODEL_FILE, "cpu")):
        found = runtime.run(tile[None])
        np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
        assert ((found > 0) == (expected > 0)).mean() >= 0.9999


def test_the_result_does_not_depend_on_the_tile_size(exported):
    network = load_network(exported, "cpu")
    volume = np.random.default_rng(2).normal(size=(30, 61, 75)).astype(np.float32)
    results = []
    for tile in ((64, 96, 96), (32, 48, 40), (30, 40, 64)):
        outputs = np.empty((2, *volume.shape), np.float32)

        def keep(one, values, outputs=outputs):
            outputs[(slice(None), *one.core)] = values

        run_tiled(network, volume, keep, tile_vox=tile)
        results.append(1 / (1 + np.exp(-outputs)))
    for other in results[1:]:
        assert np.abs(other - results[0]).max() < 1e-4


def test_an_altered_model_file_is_refused_by_name(exported, tmp_path):
    folder = tmp_path / "tiny"
    folder.mkdir()
    for path in exported.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    model = folder / MODEL_FILE
    model.write_bytes(model.read_bytes()[:-1] + b"x")
    with pytest.raises(ModelFileError, match="was altered"):
        load_network(folder, "cpu")
    (folder / "manifest.json").unlink()
    with pytest.raises(ModelFileError, match=r"no manifest\.json"):
        load_network(folder, "cpu")


def test_shipped_models_have_right_hashes_and_stay_small():
    assert verify_models() == [card.name for card in list_models()]
    cards = list_models()
    assert {card.task for card in cards} == {
        "coarse",
        "fine",
        "pseudo_structures",
        "classification",
    }
    # Four networks of an analysis and of discovery, the baselines that a benchmark compares, and
    # three classifiers, 2 MB each, and one of class averages, 8 MB.
    assert sum(card.size_mb for card in cards) < 45.0
    for card in cards:
        assert card.limits
        assert card.command.startswith("tomodx train")
        assert card.metrics


def test_a_recipe_of_no_steps_calibrates_a_finished_network(tmp_path):
    recipe = tiny(architecture="stem_unet3d", channels=[32, 64, 96], start_from="fine-8", steps=0)
    trained = train(recipe, tmp_path)
    volume = np.random.default_rng(0).normal(size=(1, 16, 24, 32)).astype(np.float32)
    own = read_card(model_folder("fine-8"))["calibration"]
    own_scale, own_shift = (np.array(own[name])[:, None, None, None] for name in ("scale", "shift"))
    # Its own calibration belongs to the members it was made on, and is taken out first.
    before = load_network(model_folder("fine-8")).runtime.run(volume)
    before = (before - own_shift) / own_scale
    with torch.inference_mode():
        after = trained.network(torch.from_numpy(volume[None]))[0].numpy()
    scale, shift = (
        np.array(one)[:, None, None, None]
        for one in (trained.calibration.scale, trained.calibration.shift)
    )
    np.testing.assert_allclose(after, before * scale + shift, atol=2e-3)
    assert set(trained.calibration.thresholds) == set(recipe.outputs)


@pytest.fixture(scope="module")
def shared_pool(tmp_path_factory):
    return tmp_path_factory.mktemp("work")


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_architecture_is_trained(name, shared_pool):
    recipe = tiny(name=f"tiny-{name}", architecture=name, steps=1)
    trained = train(recipe, shared_pool)
    before = make_network(recipe)
    changed = [
        not torch.equal(a, b)
        for a, b in zip(before.parameters(), trained.network.parameters(), strict=True)
    ]
    assert any(changed)
    assert (
        set(trained.metrics) >= {"dice_membrane", "dice_microtubule_core"} or trained.metrics == {}
    )


def test_training_resumes_and_ends_alike(tmp_path):
    whole = train(tiny(), tmp_path / "whole").network
    stopped = tmp_path / "stopped"
    interrupted = {"done": False}

    def stop(fraction):
        if fraction > 0.6 and not interrupted["done"]:
            interrupted["done"] = True
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tiny(), stopped, on_progress=stop)
    pool = sorted(Path(stopped).glob("pool-*/*/*.npy"))
    times = [path.stat().st_mtime_ns for path in pool]
    resumed = train(tiny(), stopped).network
    assert [path.stat().st_mtime_ns for path in pool] == times
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_what_a_teacher_says_itself_costs_least():
    torch.manual_seed(0)
    taught = torch.rand((1, 2, 4, 4, 4))
    same = distillation_loss(torch.logit(taught), taught)
    other = distillation_loss(torch.logit(taught) + 0.5, taught)
    assert float(same) < float(other)
