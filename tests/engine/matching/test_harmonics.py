import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.strategies import integers
from scipy.spatial.transform import Rotation
from scipy.special import sph_harm_y

from engine.matching.harmonics import real_harmonics, turned


def test_first_degrees_are_the_textbook_ones():
    directions = np.random.default_rng(0).normal(size=(20, 3))
    x, y, z = (directions / np.linalg.norm(directions, axis=1, keepdims=True)).T
    values = real_harmonics(1, directions)
    root = np.sqrt(3.0 / (4.0 * np.pi))
    assert np.allclose(values[:, 0], np.sqrt(1.0 / (4.0 * np.pi)))
    assert np.allclose(values[:, 1:], root * np.stack([y, z, x], axis=1))


@pytest.mark.parametrize(("degree", "order"), [(2, 1), (5, 3), (9, 9), (12, 4)])
def test_positive_orders_are_real_parts_of_complex_harmonics(degree, order):
    directions = np.random.default_rng(1).normal(size=(30, 3))
    polar = np.arccos(directions[:, 2] / np.linalg.norm(directions, axis=1))
    azimuth = np.arctan2(directions[:, 1], directions[:, 0])
    complex_values = sph_harm_y(degree, order, polar, azimuth)
    own = real_harmonics(degree, directions)[:, degree * degree + degree + order]
    assert np.allclose(own, (-1.0) ** order * np.sqrt(2.0) * complex_values.real)


@settings(deadline=None, max_examples=20)
@given(integers(0, 10_000))
def test_turned_coefficients_are_those_of_the_turned_function(seed):
    rng = np.random.default_rng(seed)
    degree = 8
    coefficients = [rng.normal(size=(2 * own + 1, 2)) for own in range(degree + 1)]
    rotation = Rotation.random(1, rng=rng)
    points = rng.normal(size=(15, 3))
    turned_blocks = turned(coefficients, rotation)
    here = real_harmonics(degree, points)
    there = real_harmonics(degree, rotation.inv().apply(points))
    expected = sum(
        there[:, own**2 : (own + 1) ** 2] @ coefficients[own] for own in range(degree + 1)
    )
    found = sum(
        here[:, own**2 : (own + 1) ** 2] @ turned_blocks[own][0] for own in range(degree + 1)
    )
    assert np.abs(expected - found).max() < 1e-4


def test_no_rotation_changes_nothing_and_norms_are_kept():
    rng = np.random.default_rng(3)
    coefficients = [rng.normal(size=(2 * own + 1, 1)) for own in range(6)]
    same = turned(coefficients, Rotation.identity(1))
    assert all(np.allclose(a, b[0], atol=1e-6) for a, b in zip(coefficients, same, strict=True))
    moved = turned(coefficients, Rotation.random(5, rng=rng))
    for before, after in zip(coefficients, moved, strict=True):
        assert np.allclose((before**2).sum(), (after**2).sum(axis=(1, 2)), rtol=1e-5)
