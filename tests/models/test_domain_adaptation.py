import numpy as np
import pytest
import torch
from torch import nn

from engine.errors import BadInputError
from models.architectures.compact import Compact
from models.classifier_data import LabelledSubtomograms
from models.classifier_training import FitParams, fit, logits_of
from models.domain_adaptation import (
    AdaptationParams,
    adapted_adversarially,
    adapted_by_coral,
    coral_distance,
    mean_power,
    with_target_spectrum,
    with_target_statistics,
)
from tests.models.test_classifier_training import balls


def elsewhere(seed):
    """The same balls through a microscope that lifts fine detail, with inverted gain and offset."""
    data = balls(seed)
    spectrum = torch.fft.rfftn(data.images, dim=(2, 3, 4))
    freq = torch.fft.fftfreq(12)[:, None, None].abs() + torch.fft.fftfreq(12)[None, :, None].abs()
    images = torch.fft.irfftn(spectrum * (0.3 + 2.0 * freq), s=(12, 12, 12))
    images = 2.5 * images / images.std(dim=(2, 3, 4), keepdim=True) + 1.0
    return LabelledSubtomograms(images, data.kinds, data.class_names)


@pytest.fixture(scope="module")
def source_only():
    torch.manual_seed(1)
    params = FitParams(epochs=20, batch=16, learning_rate=0.01)
    return fit(Compact(3, (8, 8, 16, 16), 16), balls(), params).network


def accuracy(network, data):
    return float((logits_of(network, data.images).argmax(dim=1) == data.kinds).float().mean())


def test_statistics_of_the_target_bring_back_what_gain_and_offset_took(source_only):
    data = balls(seed=3)
    shifted = LabelledSubtomograms(3.0 * data.images + 2.0, data.kinds, data.class_names)
    adapted = with_target_statistics(source_only, shifted.images)
    assert accuracy(source_only, data) > 0.85
    assert accuracy(source_only, shifted) < accuracy(source_only, data) - 0.15
    assert accuracy(adapted, shifted) > accuracy(source_only, data) - 0.1


def test_adapting_leaves_the_network_itself_alone(source_only):
    before = {name: values.clone() for name, values in source_only.state_dict().items()}
    target = elsewhere(4).images
    params = AdaptationParams(epochs=1, batch=32)
    with_target_statistics(source_only, target)
    adapted_by_coral(source_only, balls(), target, params)
    adapted_adversarially(source_only, [balls().images], target, params)
    for name, values in source_only.state_dict().items():
        torch.testing.assert_close(values, before[name])


def test_alike_covariances_have_no_distance():
    features = torch.randn((200, 5), generator=torch.Generator().manual_seed(1))
    assert float(coral_distance(features, features + 3.0)) == pytest.approx(0.0, abs=1e-9)
    # Features of twice the size: covariance 4 C against C.
    centred = features - features.mean(dim=0)
    covariance = centred.T @ centred / 199
    expected = float((3.0 * covariance).square().sum()) / 100.0
    assert float(coral_distance(features, 2.0 * features)) == pytest.approx(expected, rel=1e-4)


class Plain(nn.Module):
    """Features that are linear in the image: a shift of the domain can be undone exactly."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Flatten(), nn.Linear(64, 4))
        self.head = nn.Linear(4, 3)

    def forward(self, images):
        return self.head(self.features(images))


def test_correlation_alignment_brings_covariances_together():
    """Images of thrice the contrast: the logits of both come to vary alike."""
    torch.manual_seed(4)
    network = Plain()
    images = torch.randn((200, 1, 4, 4, 4))
    kinds = (images.mean(dim=(1, 2, 3, 4)) > 0).long()
    source = LabelledSubtomograms(images, kinds, ("less", "more", "never"))
    target = 3.0 * torch.randn((200, 1, 4, 4, 4))
    params = AdaptationParams(epochs=60, batch=64, coral_weight=10.0, coral_learning_rate=3e-3)
    adapted = adapted_by_coral(network, source, target, params)

    def distance(one):
        with torch.inference_mode():
            return float(coral_distance(one(images), one(target)))

    assert distance(adapted) < 0.3 * distance(network)


def test_adversarial_features_of_the_target_come_to_look_like_the_sources():
    torch.manual_seed(3)
    network = Plain()
    sources = [torch.randn((200, 1, 4, 4, 4)) for _ in range(2)]
    target = torch.randn((200, 1, 4, 4, 4)) + 0.7
    # Faster adversaries circle each other instead of settling.
    params = AdaptationParams(epochs=30, batch=64, learning_rate=3e-4, beta=0.5)

    def distance(adapted):
        with torch.inference_mode():
            wanted = network.features(sources[0]).mean(dim=0)
            return float((adapted.features(target).mean(dim=0) - wanted).norm())

    for given in (sources[:1], sources):
        adapted = adapted_adversarially(network, given, target, params)
        assert distance(adapted) < 0.75 * distance(network)
    with pytest.raises(BadInputError, match="every source"):
        adapted_adversarially(network, [], target, params)


def test_images_take_on_the_power_of_others_and_keep_their_phases():
    source, target = balls().images, elsewhere(4).images
    wanted = mean_power(target - target.mean(dim=(2, 3, 4), keepdim=True))
    changed = with_target_spectrum(source, wanted)
    found = mean_power(changed)
    before = mean_power(source)
    shells = np.arange(1, 7)
    apart = [
        np.abs(np.diff(np.log(one[shells] / wanted[shells]))).mean() for one in (before, found)
    ]
    assert apart[1] < 0.5 * apart[0]
    own, new = (torch.fft.rfftn(one[0, 0]) for one in (source, changed))
    cosine = (own.conj() * new).real / (own.abs() * new.abs()).clamp_min(1e-6)
    assert float(cosine.flatten()[1:].median()) > 0.999
