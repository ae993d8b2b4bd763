import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.data.filaments import Filament
from engine.segmentation.filament_shape import (
    chords,
    curvature_rms_per_um,
    filament_interval,
    nematic_order,
)


def filament(points_nm):
    return Filament(1, "microtubule", np.asarray(points_nm) * 10.0, False, False, 1.0)


def arc(radius_nm, length_nm, height_nm=0.0):
    angle = np.linspace(0.0, length_nm / radius_nm, int(length_nm / 2.0))
    return filament(
        np.stack([np.full_like(angle, height_nm), radius_nm * np.sin(angle),
                  radius_nm * np.cos(angle)], axis=1)
    )  # fmt: skip


def straight(direction, length_nm=300.0):
    direction = np.asarray(direction, float) / np.linalg.norm(direction)
    return filament(np.linspace(0.0, length_nm, 150)[:, None] * direction)


@pytest.mark.parametrize("radius_nm", [400.0, 1000.0, 2500.0])
def test_the_curvature_of_an_arc_is_one_over_its_radius(radius_nm):
    found = curvature_rms_per_um([arc(radius_nm, 800.0)])
    assert found == pytest.approx(1000.0 / radius_nm, rel=0.02)


def test_a_straight_line_has_none_and_short_ones_do_not_count():
    assert curvature_rms_per_um([straight((0, 1, 2))]) == pytest.approx(0.0, abs=1e-5)
    assert curvature_rms_per_um([arc(500.0, 80.0)]) is None
    assert curvature_rms_per_um([]) is None


def test_the_wobble_of_a_spline_through_voxels_does_not_count_much():
    rng = np.random.default_rng(0)
    line = np.stack([np.zeros(400), np.zeros(400), np.arange(400) * 2.0], axis=1)
    jagged = filament(line + rng.normal(0, 0.2, line.shape))
    assert curvature_rms_per_um([jagged]) < 1.0


def test_order_of_parallel_and_of_isotropic_directions():
    assert nematic_order([straight((0, 1, 0)), straight((0, -1, 0))]) == pytest.approx(1.0)
    rng = np.random.default_rng(1)
    every_way = [straight(v) for v in rng.normal(size=(300, 3))]
    assert nematic_order(every_way) < 0.12
    assert nematic_order([]) is None


def test_in_a_plane_without_direction_it_is_a_quarter():
    turns = np.pi * np.arange(36) / 36
    flat = [straight((0, np.sin(turn), np.cos(turn))) for turn in turns]
    assert nematic_order(flat) == pytest.approx(0.25, abs=1e-3)


@given(st.integers(0, 10_000))
def test_order_does_not_change_when_all_is_turned(seed):
    rng = np.random.default_rng(seed)
    lines = [straight(v) for v in rng.normal(size=(5, 3))]
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turned = [filament(one.points_angst / 10.0 @ turn.T) for one in lines]
    assert nematic_order(turned) == pytest.approx(nematic_order(lines), abs=1e-9)


def test_chords_are_unit_vectors_every_thirty_nanometres():
    found = chords(straight((1, 1, 0), 300.0))
    assert found.shape == (10, 3)
    assert np.linalg.norm(found, axis=1) == pytest.approx(1.0)
    assert chords(straight((1, 0, 0), 20.0)).shape == (0, 3)


def test_an_interval_needs_two_filaments_and_holds_the_value():
    lines = [arc(radius, 500.0) for radius in (400.0, 600.0, 900.0, 1500.0)]
    low, high = filament_interval(lines, curvature_rms_per_um)
    assert low < curvature_rms_per_um(lines) < high
    assert filament_interval(lines, curvature_rms_per_um) == (low, high)
    assert filament_interval(lines[:1], curvature_rms_per_um) is None
