import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from engine.errors import BadInputError
from engine.matching.params import MatchParams
from engine.matching.rotation_grid import (
    angle_between_deg,
    distinct_rotations,
    even_rotations,
    rotations_for,
    symmetry_group,
)


@pytest.mark.parametrize("step_deg", [30.0, 16.3])
def test_every_rotation_is_near_one_of_the_grid(step_deg):
    grid = even_rotations(rotations_for(step_deg))
    quaternions = grid.as_quat()
    some = Rotation.random(500, rng=np.random.default_rng(0)).as_quat()
    nearest = np.abs(some @ quaternions.T).max(axis=1).clip(max=1.0)
    angles = np.degrees(2.0 * np.arccos(nearest))
    assert angles.max() < 1.15 * step_deg
    assert angles.mean() < 0.65 * step_deg


def test_the_step_of_the_known_quaternion_set_gives_about_its_number_of_rotations():
    assert rotations_for(16.29) == pytest.approx(1992, rel=0.01)
    assert rotations_for(7.4) == pytest.approx(19_560, rel=0.1)


@pytest.mark.parametrize(("symmetry", "order"), [("C1", 1), ("C5", 5), ("D2", 4), ("D7", 14)])
def test_symmetry_keeps_one_rotation_of_each_set(symmetry, order):
    group = symmetry_group(symmetry)
    assert len(group) == order
    # A group: products of two elements are elements.
    products = Rotation.concatenate([group * one for one in group])
    distance = np.min([np.atleast_1d((products.inv() * one).magnitude()) for one in group], axis=0)
    assert distance.max() < 1e-9
    kept = distinct_rotations(even_rotations(4000), symmetry)
    assert len(kept) == pytest.approx(4000 / order, rel=0.05)


def test_mates_are_at_angle_zero():
    group = symmetry_group("D3")
    first = Rotation.random(4, rng=np.random.default_rng(1))
    for mate in group:
        assert np.abs(angle_between_deg(first, first * mate, "D3")).max() < 1e-5


@pytest.mark.parametrize("step_deg", [0.0, -3.0, 200.0])
def test_absurd_steps_are_refused(step_deg):
    with pytest.raises(BadInputError, match="angular step"):
        MatchParams(angular_step_deg=step_deg)


def test_no_false_positives_at_all_are_refused():
    with pytest.raises(BadInputError, match="false positives"):
        MatchParams(n_false_positives=0.0)
