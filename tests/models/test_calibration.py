"""Calibration of networks whose faults are known."""

import numpy as np
import pytest
import torch
from torch import nn

from models.calibration import calibrate
from models.losses import COARSE_WEIGHTS, FINE_WEIGHTS
from models.recipe import read_recipe
from models.table import ARCHITECTURES
from models.training_pool import FINE_BITS, write_member
from models.validation import seen_member, validation_metrics
from tests.models.test_networks import tiny

SIDE = 32
SHAPE = (SIDE,) * 3


class Fixed(nn.Module):
    """Says the same logits whatever it is shown; its last layer may be changed."""

    def __init__(self, logits):
        super().__init__()
        self.logits = torch.tensor(logits, dtype=torch.float32)
        self.head = nn.Conv3d(len(logits), len(logits), 1)
        with torch.no_grad():
            self.head.weight.copy_(torch.eye(len(logits)).reshape(self.head.weight.shape))
            self.head.bias.zero_()

    def forward(self, volumes):
        return self.head(self.logits[None])


def fine_member(tmp_path, membrane, core):
    bits = membrane * FINE_BITS["membrane"] + core * FINE_BITS["microtubule_core"]
    signal = np.random.default_rng(1).normal(size=SHAPE).astype(np.float16)
    arrays = {"snr": np.array(1.0), "fine_signal": signal, "fine_masks": bits.astype(np.uint8)}
    write_member(tmp_path / "0000", arrays)
    return tmp_path / "0000"


def test_overconfident_and_weighted_masks_are_set_right(tmp_path):
    """Truth is drawn with known odds; the network's are 2.5 times as steep, and weighted."""
    rng = np.random.default_rng(0)
    odds = rng.normal(-1.0, 1.5, size=(2, *SHAPE))
    truth = rng.random((2, *SHAPE)) < 1.0 / (1.0 + np.exp(-odds))
    weights = np.log([FINE_WEIGHTS[name] for name in tiny().outputs])[:, None, None, None]
    network = Fixed(2.5 * (odds + weights))
    path = fine_member(tmp_path, *truth)
    seen = [seen_member(network, tiny(), path)]
    before = validation_metrics(seen, tiny())
    calibration, again = calibrate(network, tiny(), seen)
    after = validation_metrics(again, tiny(), calibration.thresholds)
    torch.testing.assert_close(again[0].logits, seen_member(network, tiny(), path).logits)
    assert calibration.scale == pytest.approx((0.4, 0.4), rel=0.03)
    assert calibration.shift == pytest.approx(tuple(-weights.ravel()))
    for name in tiny().outputs:
        assert before[f"calibration-error_{name}"] > 0.1
        assert after[f"calibration-error_{name}"] < 0.02
        assert after[f"dice_{name}"] >= before[f"dice_{name}"] - 1e-9
        # Where the truth is uncertain, a mask that is to overlap most begins below one half.
        assert calibration.thresholds[name] < 0.5


def test_class_weights_no_longer_enlarge_a_class(tmp_path):
    """A class with three times its weight has three times its odds; its volume comes back."""
    recipe = read_recipe("coarse")
    n_classes = len(COARSE_WEIGHTS)
    rng = np.random.default_rng(0)
    odds = rng.normal(0.0, 1.0, size=(n_classes, *SHAPE))
    odds -= np.log(np.exp(odds).sum(axis=0))
    labels = (odds + rng.gumbel(size=odds.shape)).argmax(axis=0)
    raw = 1.5 * (odds + np.log(COARSE_WEIGHTS)[:, None, None, None])
    network = Fixed(np.concatenate([raw, rng.random((1, *SHAPE))]))
    arrays = {
        "snr": np.array(1.0),
        "coarse_signal": rng.normal(size=SHAPE).astype(np.float16),
        "coarse_labels": labels.astype(np.uint8),
        "coarse_depth": np.zeros(SHAPE, np.uint8),
    }
    write_member(tmp_path / "0000", arrays)
    calibration, _ = calibrate(network, recipe, [seen_member(network, recipe, tmp_path / "0000")])
    assert calibration.scale == pytest.approx((1 / 1.5,) * n_classes + (1.0,), rel=0.03)
    logits = network(None)[0].detach().numpy()
    np.testing.assert_allclose(logits[-1], network.logits[-1], rtol=1e-5)
    share = np.exp(logits[:-1]) / np.exp(logits[:-1]).sum(axis=0)
    expected = np.bincount(labels.ravel(), minlength=n_classes) / labels.size
    np.testing.assert_allclose(share.mean(axis=(1, 2, 3)), expected, rtol=0.03)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_without_members_only_the_weights_are_taken_out(name):
    torch.manual_seed(0)
    recipe = tiny(architecture=name)
    network = ARCHITECTURES[name].make((4, 6), 2, 1).eval()
    volume = torch.randn((1, 1, 16, 16, 16))
    with torch.inference_mode():
        before = network(volume)
    calibration, _ = calibrate(network, recipe, [])
    with torch.inference_mode():
        after = network(volume)
    shift = -torch.log(torch.tensor([FINE_WEIGHTS[one] for one in recipe.outputs]))
    torch.testing.assert_close(after, before + shift.reshape(1, 2, 1, 1, 1))
    assert calibration.thresholds == {}
