import pytest
import torch

from models.finished import read_finished
from models.training import make_network
from models.warm_start import take_weights
from models.writing import write_model
from tests.models.test_networks import tiny

CHANNELS = [4, 6]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A network with BatchNorms that have seen data, and its model folder."""
    recipe = tiny(architecture="stem_unet3d", channels=CHANNELS)
    network = make_network(recipe).train()
    generator = torch.Generator().manual_seed(1)
    for _ in range(20):
        network(3.0 * torch.randn((2, 1, 16, 16, 16), generator=generator) + 1.0)
    folder = tmp_path_factory.mktemp("models") / "finished"
    write_model(network.eval(), recipe, {"dice_membrane": 0.5}, folder, "a command")
    return network, folder


def images(n_in, count=3):
    generator = torch.Generator().manual_seed(2)
    return [torch.randn((2, n_in, 16, 16, 16), generator=generator) for _ in range(count)]


def test_the_network_computes_what_the_finished_one_did(finished):
    before, folder = finished
    recipe = tiny(architecture="stem_unet3d", channels=CHANNELS, seed=9)
    network = make_network(recipe)
    # Every convolution: stem, entry, down, encoder, up, decoder, two heads.
    assert take_weights(network, read_finished(folder), recipe.outputs, images(1)) == 11
    shown = images(1, 1)[0]
    with torch.inference_mode():
        torch.testing.assert_close(network.eval()(shown), before(shown), rtol=1e-3, atol=1e-4)


def test_in_training_mode_it_computes_nearly_the_same(finished):
    before, folder = finished
    network = make_network(tiny(architecture="stem_unet3d", channels=CHANNELS, seed=9))
    shown = images(1, 1)
    take_weights(network, read_finished(folder), ("membrane", "microtubule_core"), shown)
    with torch.inference_mode():
        # The statistics of this batch are those that the norms were opened with.
        torch.testing.assert_close(
            network.train()(shown[0]), before(shown[0]), rtol=1e-2, atol=1e-2
        )


def test_outputs_keep_their_weights_by_name_and_new_inputs_change_nothing(finished):
    before, folder = finished
    outputs = ["ribosome", "microtubule_core", "membrane"]
    recipe = tiny(
        architecture="stem_unet3d", channels=CHANNELS, outputs=outputs, context=["void", "vesicle"]
    )
    network = make_network(recipe)
    take_weights(network, read_finished(folder), recipe.outputs, images(3))
    shown = images(3, 1)[0]
    with torch.inference_mode():
        found, expected = network.eval()(shown), before(shown[:, :1])
    torch.testing.assert_close(found[:, [2, 1]], expected, rtol=1e-3, atol=1e-4)
    # The new output says "rare" before it has learnt anything.
    assert float(found[:, 0].mean()) < -1.5
