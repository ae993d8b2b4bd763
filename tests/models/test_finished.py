import numpy as np
import pytest
import torch

from engine.errors import BadInputError, MissingFileError
from engine.segmentation.inference import load_network
from models.calibration import CONVOLUTIONS, calibrate
from models.finished import averaged, read_finished, read_uncalibrated
from models.registry import finished_folder, model_folder, own_models
from models.training import make_network, train
from models.validation import SeenMember
from models.warm_start import take_weights
from models.writing import write_model
from tests.models.test_networks import tiny

SHOWN = torch.randn((1, 1, 16, 16, 16), generator=torch.Generator().manual_seed(4))


def seen(network):
    """One member on which everything is true: its temperature is far from one."""
    logits = network(SHOWN)[0]
    truth = torch.ones_like(logits, dtype=torch.bool)
    return SeenMember(logits, truth, known=truth)


def network_of(recipe):
    """A network whose BatchNorms have seen data."""
    network = make_network(recipe).train()
    generator = torch.Generator().manual_seed(1)
    for _ in range(20):
        network(3.0 * torch.randn((2, 1, 16, 16, 16), generator=generator) + 1.0)
    return network.eval()


def outputs_of(recipe, finished):
    network = make_network(recipe)
    take_weights(network, finished, recipe.outputs, [])
    return network.eval()(SHOWN)


@pytest.mark.parametrize("architecture", ["stem_unet3d", "unet3d", "convnet3d"])
@torch.no_grad()
def test_calibration_is_taken_out_of_a_network(tmp_path, architecture):
    recipe = tiny(architecture=architecture, channels=[3, 4, 5])
    network = network_of(recipe)
    before = network(SHOWN)
    calibration, _ = calibrate(network, recipe, [seen(network)])
    after = network(SHOWN)
    assert float((after - before).abs().max()) > 0.1
    write_model(network, recipe, {}, tmp_path / "finished", "a command", calibration)
    as_it_ships = outputs_of(recipe, read_finished(tmp_path / "finished"))
    torch.testing.assert_close(as_it_ships, after, rtol=1e-3, atol=1e-3)
    as_it_was = outputs_of(recipe, read_uncalibrated(tmp_path / "finished"))
    torch.testing.assert_close(as_it_was, before, rtol=1e-3, atol=1e-3)


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """Networks that differ in their last layer alone, whose outputs are linear in it."""
    recipe, folders = tiny(architecture="stem_unet3d", channels=[3, 4, 5]), []
    for index in range(3):
        network = network_of(recipe)
        head = [one for one in network.modules() if isinstance(one, CONVOLUTIONS)][-1]
        torch.manual_seed(index)
        torch.nn.init.normal_(head.weight)
        folders.append(tmp_path_factory.mktemp("models") / f"ancestor-{index}")
        write_model(network, recipe, {}, folders[-1], "a command")
    return recipe, folders


@torch.no_grad()
def test_the_outputs_of_averaged_last_layers_are_averages(three):
    recipe, folders = three
    finished = [read_finished(folder) for folder in folders]
    mean = torch.stack([outputs_of(recipe, one) for one in finished]).mean(dim=0)
    found = outputs_of(recipe, averaged(finished))
    torch.testing.assert_close(found, mean, rtol=1e-4, atol=1e-5)


def test_training_starts_from_the_average_of_networks_of_its_work_folder(three, tmp_path):
    _, folders = three
    own_models(tmp_path).mkdir()
    for folder in folders:
        (own_models(tmp_path) / folder.name).symlink_to(folder)
    names = [folder.name for folder in folders]
    recipe = tiny(architecture="stem_unet3d", channels=[3, 4, 5], start_from=names, steps=0)
    trained = train(recipe, tmp_path)
    scale, shift = (
        torch.tensor(one)[:, None, None, None]
        for one in (trained.calibration.scale, trained.calibration.shift)
    )
    with torch.inference_mode():
        before = outputs_of(recipe, averaged([read_finished(folder) for folder in folders]))
        after = trained.network(SHOWN)
    torch.testing.assert_close(after[0], before[0] * scale + shift, rtol=1e-3, atol=1e-3)


def test_an_ancestor_that_is_not_there_is_said_before_the_pool_is_made(tmp_path):
    for change in ({"start_from": "nobody-9"}, {"teacher": "nobody-9"}):
        with pytest.raises(MissingFileError, match="no model 'nobody-9'"):
            train(tiny(**change), tmp_path)
    assert not list(tmp_path.iterdir())


def test_networks_of_other_shapes_are_not_averaged(three, tmp_path):
    _, folders = three
    recipe = tiny(architecture="stem_unet3d", channels=[3, 4, 6])
    write_model(network_of(recipe), recipe, {}, tmp_path / "wider", "a command")
    with pytest.raises(BadInputError, match="wider and ancestor-0 have other outputs or layers"):
        averaged([read_finished(folders[0]), read_finished(tmp_path / "wider")])


def test_a_users_own_network_comes_before_the_shipped_one(tmp_path):
    assert finished_folder("coarse-4", tmp_path) == model_folder("coarse-4")
    (own_models(tmp_path) / "coarse-4").mkdir(parents=True)
    assert finished_folder("coarse-4", tmp_path) == own_models(tmp_path) / "coarse-4"
    with pytest.raises(MissingFileError, match="models has none, train it there"):
        finished_folder("nobody-9", tmp_path)


def test_the_shipped_networks_compute_what_torch_does():
    network = load_network(model_folder("fine-8"))
    recipe = tiny(architecture="stem_unet3d", channels=[32, 64, 96])
    with torch.inference_mode():
        expected = outputs_of(recipe, read_finished(model_folder("fine-8")))[0].numpy()
    np.testing.assert_allclose(network.runtime.run(SHOWN[0].numpy()), expected, atol=2e-3)
