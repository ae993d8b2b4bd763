"""Dice and calibration of a network whose answers are known."""

import numpy as np
import pytest
import torch
from torch import nn

from models.training_pool import FINE_BITS, write_member
from models.validation import seen_member, validation_metrics
from tests.models.test_networks import tiny

SIDE = 32


class Fixed(nn.Module):
    """Says the same logits whatever it is shown."""

    def __init__(self, logits):
        super().__init__()
        self.logits = logits

    def forward(self, volumes):
        return self.logits[None]


@pytest.fixture
def member(tmp_path):
    """Membrane in a random half of the voxels, a core in one quarter."""
    rng = np.random.default_rng(0)
    membrane = rng.random((SIDE,) * 3) < 0.5
    core = np.zeros((SIDE,) * 3, bool)
    core[:8] = True
    bits = membrane * FINE_BITS["membrane"] + core * FINE_BITS["microtubule_core"]
    arrays = {
        "snr": np.array(1.0),
        "fine_signal": rng.normal(size=(SIDE,) * 3).astype(np.float16),
        "fine_masks": bits.astype(np.uint8),
    }
    write_member(tmp_path / "0000", arrays)
    return tmp_path / "0000", membrane, core


def measured(member, logits):
    network = Fixed(torch.tensor(logits, dtype=torch.float32))
    return validation_metrics([seen_member(network, tiny(), member[0])], tiny())


def test_certain_and_right_answers_are_perfect(member):
    _, membrane, core = member
    found = measured(member, 40.0 * np.stack([membrane, core]) - 20.0)
    assert found["dice_membrane"] == 1.0
    assert found["dice_microtubule_core"] == 1.0
    assert found["calibration-error_membrane"] < 1e-3


def test_one_half_everywhere_is_calibrated_where_half_is_membrane(member):
    found = measured(member, np.zeros((2, SIDE, SIDE, SIDE)))
    assert found["calibration-error_membrane"] == pytest.approx(0.0, abs=0.02)
    # A quarter is core.
    assert found["calibration-error_microtubule_core"] == pytest.approx(0.25)


def test_overconfidence_shows(member):
    logits = np.full((2, SIDE, SIDE, SIDE), np.log(9.0))
    found = measured(member, logits)
    assert found["calibration-error_membrane"] == pytest.approx(0.4, abs=0.02)
    assert found["dice_membrane"] == pytest.approx(2 / 3, abs=0.02)
