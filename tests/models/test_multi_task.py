import numpy as np
import pytest
import torch
from torch.nn import functional

from engine.errors import BadInputError
from models.architectures.multi_task import MultiTask
from models.architectures.unet import UNet3D
from models.classifier_data import LabelledSubtomograms
from models.classifier_training import FitParams, fit
from models.multi_task_training import (
    TaskWeights,
    mask_objective,
    mask_overlaps,
    mask_validation,
    multi_task_objective,
    multi_task_validation,
    task_scores,
)
from tests.models.test_classifier_training import NAMES

BOX = 16


def bodies(n=20, seed=0):
    """Balls of three sizes in noise; mask and density are known."""
    rng = np.random.default_rng(seed)
    kinds = np.repeat(np.arange(3), n)
    axis = np.arange(BOX) - BOX // 2
    squared = axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2
    masks = np.stack([squared < (2.0, 3.6, 5.6)[kind] ** 2 for kind in kinds])[:, None]
    masks = masks.astype(np.float32)
    images = masks + rng.normal(0.0, 0.4, size=masks.shape).astype(np.float32)
    images = (images - images.mean()) / images.std()
    targets = torch.from_numpy(np.concatenate([masks, masks], axis=1))
    return LabelledSubtomograms(torch.from_numpy(images), torch.from_numpy(kinds), NAMES, targets)


def trained(weights, epochs=25):
    torch.manual_seed(0)
    return fit(
        MultiTask(3, (4, 8, 8)),
        bodies(n=40),
        FitParams(epochs=epochs, batch=12, learning_rate=0.01),
        objective=multi_task_objective(weights),
        validation=multi_task_validation(weights),
    ).network


def test_all_three_heads_learn_together():
    scores = task_scores(trained(TaskWeights()), bodies(seed=1))
    assert scores.accuracy > 0.9
    assert scores.mask_iou > 0.5
    assert scores.density_correlation > 0.5


@pytest.mark.slow
def test_a_task_of_no_weight_is_not_learnt():
    scores = task_scores(trained(TaskWeights(mask=0.0)), bodies(seed=1))
    assert scores.mask_iou < 0.5
    assert scores.density_correlation > 0.5


@torch.no_grad()
def test_the_loss_is_the_sum_of_its_parts():
    torch.manual_seed(1)
    data, network = bodies(n=2), MultiTask(3, (4, 8, 8))
    outputs = network.eval()(data.images)
    each = [
        float(multi_task_objective(weights)(outputs, data, np.arange(6)))
        for weights in (TaskWeights(1, 0, 0), TaskWeights(0, 1, 0), TaskWeights(0, 0, 1))
    ]
    whole = multi_task_objective(TaskWeights(2.0, 1.0, 0.5))(outputs, data, np.arange(6))
    assert float(whole) == pytest.approx(2.0 * each[0] + each[1] + 0.5 * each[2], rel=1e-5)
    assert each[0] == pytest.approx(float(functional.cross_entropy(outputs.logits, data.kinds)))
    assert outputs.mask.shape == outputs.density.shape == data.images.shape
    assert network.features(data.images).shape == (6, 16)


def test_targets_are_asked_for():
    data = bodies(n=2)
    bare = LabelledSubtomograms(data.images, data.kinds, NAMES)
    with pytest.raises(BadInputError, match="a mask and a density"):
        task_scores(MultiTask(3, (4, 8, 8)), bare)


def test_a_network_of_the_mask_alone_learns_it():
    torch.manual_seed(0)
    network = fit(
        UNet3D((4, 8), 1),
        bodies(n=40),
        FitParams(epochs=12, batch=12, learning_rate=0.01),
        objective=mask_objective,
        validation=mask_validation,
    ).network
    overlaps = mask_overlaps(network, bodies(seed=5))
    assert overlaps.shape == (60,)
    assert float(overlaps.mean()) > 0.7
    assert mask_validation(network, bodies(seed=5)) == pytest.approx(-float(overlaps.mean()))


@pytest.mark.parametrize(("grown", "overlap"), [(0, 1.0), (1, 0.5)])
def test_overlap_is_intersection_over_union(grown, overlap):
    mask = torch.zeros(1, 2, 4, 4, 4)
    mask[:, 0, :2] = 1.0
    data = LabelledSubtomograms(torch.zeros(1, 1, 4, 4, 4), torch.zeros(1).long(), ("one",), mask)

    class Fixed(torch.nn.Module):
        def forward(self, images):
            logits = torch.full_like(images, -1.0)
            logits[:, :, : 2 + 2 * grown] = 1.0
            return logits

    assert float(mask_overlaps(Fixed(), data)) == pytest.approx(overlap)
