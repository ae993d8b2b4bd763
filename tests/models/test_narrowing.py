import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from engine.segmentation.network_files import MODEL_FILE
from models.finished import read_finished
from models.narrowing import is_narrower, narrowed
from models.training import make_network
from models.warm_start import take_weights
from models.writing import write_model
from tests.models.test_networks import tiny

NARROW, WIDE = [4, 6, 5], [7, 9, 8]


def recipe_of(channels, **others):
    return tiny(architecture="stem_unet3d", channels=channels, **others)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    recipe = recipe_of(NARROW)
    network = make_network(recipe).train()
    generator = torch.Generator().manual_seed(1)
    for _ in range(20):
        network(2.0 * torch.randn((2, 1, 16, 16, 16), generator=generator))
    folder = tmp_path_factory.mktemp("models") / "finished"
    write_model(network.eval(), recipe, {"dice_membrane": 0.5}, folder, "a command")
    return network, folder


def weights_of(folder):
    return {
        tensor.name: torch.from_numpy(np.array(numpy_helper.to_array(tensor)))
        for tensor in onnx.load(str(folder / MODEL_FILE)).graph.initializer
    }


def embedded(weights, narrow, wide, rng):
    """The same network in wider layers whose other channels are all but dead."""
    modules = dict(narrow.named_modules())
    sizes = {name: module for name, module in wide.named_modules() if hasattr(module, "weight")}
    places = {}

    def place(name):
        n_in_all, n_in = sizes[name].out_channels, modules[name].out_channels
        places[name] = np.sort(rng.permutation(n_in_all)[:n_in])
        return places[name]

    result = {}

    def put(name, inputs, n_inputs):
        module = sizes[name]
        transposed = isinstance(module, nn.ConvTranspose3d)
        weight = weights[f"{name}.weight"]
        weight = weight.transpose(0, 1) if transposed else weight
        whole = 1e-7 * torch.ones((module.out_channels, n_inputs, *weight.shape[2:]))
        outputs = place(name)
        whole[np.ix_(outputs, inputs)] = weight
        bias = torch.zeros(module.out_channels)
        bias[outputs] = weights[f"{name}.bias"]
        result[f"{name}.weight"] = whole.transpose(0, 1) if transposed else whole
        result[f"{name}.bias"] = bias
        return outputs, module.out_channels

    def double(name, inputs, count):
        inputs, count = put(f"{name}.0", inputs, count)
        return put(f"{name}.3", inputs, count)

    path, count = put("stem", np.arange(1), 1)
    path, count = double("body.entry", path, count)
    skipped = []
    for level in range(len(NARROW) - 1):
        skipped.append((path, count))
        path, count = double(f"body.encoders.{level}", *put(f"body.downs.{level}", path, count))
    for level in reversed(range(len(NARROW) - 1)):
        raised, n_raised = put(f"body.ups.{level}", path, count)
        before, n_before = skipped[level]
        both = np.concatenate([before, raised + n_before])
        path, count = double(f"body.decoders.{level}", both, n_before + n_raised)
    path, count = put("body.head", path, count)
    put("head.1", path, count)
    return result


def test_what_is_cut_is_what_does_nothing(finished):
    network, folder = finished
    weights = weights_of(folder)
    wide = make_network(recipe_of(WIDE))
    big = embedded(weights, network, wide, np.random.default_rng(3))
    again = narrowed(big, make_network(recipe_of(NARROW)))
    assert again.keys() == big.keys()
    for name, values in again.items():
        torch.testing.assert_close(values, weights[name], rtol=0, atol=1e-5)


def test_a_narrower_network_starts_with_a_teachers_filters(finished):
    _, folder = finished
    narrower = recipe_of([2, 3, 3])
    network = make_network(narrower)
    assert is_narrower(network, weights_of(folder))
    generator = torch.Generator().manual_seed(2)
    shown = [torch.randn((2, 1, 16, 16, 16), generator=generator) for _ in range(2)]
    assert take_weights(network, read_finished(folder), narrower.outputs, shown) == 17
    with torch.inference_mode():
        assert torch.isfinite(network.eval()(shown[0])).all()


@pytest.mark.parametrize(
    "other", [recipe_of(NARROW), recipe_of([2, 3]), tiny(channels=[2, 3, 3]), recipe_of(WIDE)]
)
def test_other_networks_are_left_alone(finished, other):
    _, folder = finished
    assert not is_narrower(make_network(other), weights_of(folder))
