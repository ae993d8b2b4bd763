"""Functions in a ball: orthonormal, complete for what is band-limited, turned without a loss."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from models.ball_functions import ball_functions

FUNCTIONS = ball_functions(20, 9.5, 5.0)
SAMPLED = FUNCTIONS.sampled()


def blob(place_xyz, width=2.0):
    axis = np.arange(20) - 10
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    squares = sum((one - at) ** 2 for one, at in zip((x, y, z), place_xyz, strict=True))
    return torch.tensor(np.exp(-squares / (2.0 * width**2)), dtype=torch.float32)


def coefficients_of(volume):
    return SAMPLED.flatten(1) @ volume.flatten()


def volume_of(coefficients):
    return (coefficients @ SAMPLED.flatten(1)).reshape(20, 20, 20)


def test_sampled_functions_are_orthonormal():
    products = SAMPLED.flatten(1) @ SAMPLED.flatten(1).T
    assert torch.allclose(products, torch.eye(len(FUNCTIONS)), atol=0.03)


def test_as_many_functions_as_the_ball_and_the_band_hold():
    cells = (4 / 3 * np.pi) ** 2 * 9.5**3 * (5.0 / 20) ** 3
    assert len(FUNCTIONS) == pytest.approx(cells, rel=0.35)
    assert float(FUNCTIONS.frequencies.max()) <= 5.0


def test_a_soft_blob_is_a_sum_of_them():
    there = blob((2.0, -3.0, 1.0))
    again = volume_of(coefficients_of(there))
    assert float((again - there).norm() / there.norm()) < 0.05


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_a_turned_blob_lies_where_the_turn_takes_it(seed):
    rng = np.random.default_rng(seed)
    place, turn = np.array([3.0, -2.0, 1.5]), Rotation.random(rng=rng)
    turns = Rotation.from_quat(turn.as_quat()[None])
    turned = FUNCTIONS.turned(coefficients_of(blob(place)), turns)
    expected = blob(turn.apply(place))
    assert float((volume_of(turned[0]) - expected).norm() / expected.norm()) < 0.06


def test_each_turn_may_have_a_function_of_its_own():
    turns = Rotation.random(4, rng=np.random.default_rng(1))
    own = torch.randn((4, len(FUNCTIONS)), generator=torch.Generator().manual_seed(1))
    together = FUNCTIONS.turned(own, turns)
    apart = torch.cat([FUNCTIONS.turned(own[i], turns[[i]]) for i in range(4)])
    assert torch.allclose(together, apart, atol=1e-5)
    assert torch.allclose(together.norm(dim=1), own.norm(dim=1), rtol=1e-4)
    back = FUNCTIONS.turned(together, turns.inv())
    assert torch.allclose(back, own, atol=1e-4)


@given(st.floats(1.5, 5.0))
@settings(max_examples=30, deadline=None)
def test_narrowed_they_are_the_same_functions_without_the_higher_ones(band):
    narrow, held = FUNCTIONS.narrowed(band), FUNCTIONS.frequencies <= band
    assert torch.equal(narrow.frequencies, FUNCTIONS.frequencies[held])
    assert torch.equal(narrow.sampled(), SAMPLED[held])
