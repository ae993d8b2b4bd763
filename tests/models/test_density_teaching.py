"""A decoder beside the classes, and a network that begins where another ended."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from engine.errors import BadInputError
from models.architectures.compact import Compact
from models.classifier_data import LabelledSubtomograms
from models.classifier_start import begin_with
from models.classifier_training import FitParams, fit
from models.classifier_writing import deployment_of, write_classifier
from models.density_teaching import WithDecoder, density_objective, without_decoder
from tests.models.test_classifier_training import balls

WIDTHS = (8, 8, 16, 16)


def with_densities():
    """The density of a ball is its image without noise, near enough."""
    data = balls()
    data = replace(data, images=functional.pad(data.images, (2, 2) * 3))
    masks = (data.images > 1.0).float()
    targets = torch.cat([masks, functional.avg_pool3d(data.images, 3, 1, 1)], dim=1)
    return LabelledSubtomograms(data.images, data.kinds, data.class_names, targets)


def test_in_use_the_decoder_changes_nothing():
    torch.manual_seed(0)
    network = Compact(3, WIDTHS, 16)
    both = WithDecoder(network).eval()
    images = torch.randn((4, 1, 16, 16, 16))
    with torch.inference_mode():
        torch.testing.assert_close(both(images), network.eval()(images))
    assert without_decoder(both) is network


def test_training_brings_the_missed_share_of_the_density_down():
    torch.manual_seed(0)
    data = with_densities()
    both = WithDecoder(Compact(3, WIDTHS, 16))
    objective = density_objective(1.0, 0.0)

    def missed(network):
        network.train()
        with torch.inference_mode():
            found = network(data.images)[1]
        wanted = functional.avg_pool3d(data.targets[:, 1:], 2)
        return float(functional.mse_loss(found, wanted) / wanted.var())

    before = missed(both)
    params = FitParams(epochs=10, batch=16, learning_rate=0.01)
    fitted = fit(both, data, params, objective=objective)
    assert missed(fitted.network) < min(0.8, before)


def test_a_network_begins_with_the_features_of_a_finished_one(tmp_path):
    torch.manual_seed(1)
    data, params = balls(), FitParams(epochs=3, batch=16, learning_rate=0.01)
    fitted = fit(Compact(3, WIDTHS, 16), data, params)
    folder = tmp_path / "balls-1"
    write_classifier(fitted.network, deployment_of(fitted, 1.2), params, folder, "a command")
    # Other classes: only features are taken over.
    fresh = Compact(5, WIDTHS, 16)
    taken = begin_with(fresh, folder, torch.split(data.images, 32))
    assert taken == 7
    shown = balls(seed=2).images
    with torch.inference_mode():
        own, other = fitted.network.features(shown), fresh.eval().features(shown)
    np.testing.assert_allclose(other, own, atol=2e-4)


def test_a_network_of_other_layers_cannot_begin_with_it(tmp_path):
    torch.manual_seed(1)
    data, params = balls(), FitParams(epochs=1, batch=16)
    fitted = fit(Compact(3, WIDTHS, 16), data, params)
    folder = tmp_path / "balls-1"
    write_classifier(fitted.network, deployment_of(fitted, 1.2), params, folder, "a command")
    with pytest.raises(BadInputError, match="no layer of it fits"):
        begin_with(torch.nn.Sequential(torch.nn.Linear(3, 3)), folder, [])
