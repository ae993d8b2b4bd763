import copy

import numpy as np
import torch

from models.architectures.compact import Compact
from models.classifier_data import LabelledSubtomograms
from models.classifier_training import FitParams, fit, logits_of
from models.self_training import (
    SelfTrainingParams,
    adapted_by_own_answers,
    mean_over_turns,
    surest,
)
from tests.models.test_classifier_training import balls


def test_the_surest_of_every_class_are_believed_and_none_takes_over():
    sure = np.array([0.9, 0.8, 0.7, 0.6, 0.95, 0.55])
    kinds = np.array([0, 0, 0, 0, 1, 1])
    probabilities = np.full((6, 2), 0.0)
    probabilities[np.arange(6), kinds] = sure
    probabilities[np.arange(6), 1 - kinds] = 1.0 - sure
    index, called = surest(probabilities, 0.7)
    assert index.tolist() == [0, 1, 4, 5]
    assert called.tolist() == [0, 0, 1, 1]


def test_answers_are_means_over_half_turns():
    torch.manual_seed(0)
    network = Compact(3, (4, 4, 8, 8), 8).eval()
    images = balls(seed=2).images
    turned = images.flip((3, 4))
    np.testing.assert_allclose(
        mean_over_turns(network, images), mean_over_turns(network, turned), atol=1e-5
    )


def test_another_contrast_is_learnt_without_labels():
    """The target is the source with a strong ramp on top: source only is near chance."""
    torch.manual_seed(1)
    source = balls()
    other = balls(seed=7)
    side = other.images.shape[-1]
    ramp = 0.8 * torch.linspace(-1, 1, side)[None, None, :, None, None]
    target = LabelledSubtomograms(other.images + ramp, other.kinds, other.class_names)
    network = fit(
        Compact(3, (8, 8, 16, 16), 16), source, FitParams(epochs=8, batch=16, learning_rate=0.01)
    ).network
    before = copy.deepcopy(network.state_dict())
    params = SelfTrainingParams(rounds=2, epochs=2, batch=16, learning_rate=3e-3)
    heard = []
    adapted = adapted_by_own_answers(network, source, target.images, params, heard.append)

    def accuracy(one):
        return float((logits_of(one, target.images).argmax(1) == target.kinds).float().mean())

    assert accuracy(adapted) >= accuracy(network)
    assert accuracy(adapted) > 0.6
    assert heard[-1] == 1.0
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
