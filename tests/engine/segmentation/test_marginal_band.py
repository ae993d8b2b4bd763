import numpy as np
import pytest

from engine.data.filaments import Filament
from engine.segmentation.marginal_band import marginal_band

VOXEL_NM, RADIUS_NM = 10.0, 600.0
CENTRE_NM = 700.0


def cell():
    """A disc of 600 nm radius, whole in the field."""
    y, x = np.mgrid[:141, :141] * VOXEL_NM - CENTRE_NM
    outline = np.hypot(y, x) < RADIUS_NM
    return np.broadcast_to(outline, (12, 141, 141)).copy()


def ring(radius_nm, first_deg=0.0, last_deg=360.0):
    angle = np.radians(np.linspace(first_deg, last_deg, 800))
    points = np.stack([np.full_like(angle, 60.0), CENTRE_NM + radius_nm * np.sin(angle),
                       CENTRE_NM + radius_nm * np.cos(angle)], axis=1)  # fmt: skip
    return Filament(1, "microtubule", points * 10.0, False, False, 1.0)


def test_three_whole_turns_are_three_turns_everywhere():
    band = marginal_band(cell(), VOXEL_NM, [ring(540.0), ring(510.0), ring(480.0)])
    assert band.turns == pytest.approx(3.0, abs=0.05)
    assert band.integrity == pytest.approx(1.0, abs=0.02)
    assert band.rim_nm == pytest.approx(2 * np.pi * RADIUS_NM, rel=0.03)


def test_half_a_turn_covers_half_of_the_rim():
    band = marginal_band(cell(), VOXEL_NM, [ring(530.0, 0.0, 180.0)])
    assert band.integrity == pytest.approx(0.5, abs=0.03)
    assert band.turns == pytest.approx(0.5, abs=0.03)


def test_what_lies_deep_or_runs_across_is_no_band():
    deep = ring(400.0)
    spoke = Filament(
        1, "microtubule",
        np.linspace([60, CENTRE_NM, CENTRE_NM + 430], [60, CENTRE_NM, CENTRE_NM + 590], 80) * 10.0,
        False, False, 1.0,
    )  # fmt: skip
    band = marginal_band(cell(), VOXEL_NM, [deep, spoke])
    assert band.turns == 0.0
    assert band.integrity == 0.0


def test_without_a_rim_there_is_no_band():
    assert marginal_band(np.ones((4, 50, 50), bool), VOXEL_NM, [ring(540.0)]) is None
    assert marginal_band(np.zeros((4, 50, 50), bool), VOXEL_NM, []) is None


def test_a_rim_cut_by_the_field_counts_what_is_in_view():
    part = cell()[:, :, 70:]
    shifted = Filament(
        1, "microtubule", ring(540.0, -80.0, 80.0).points_angst - [0, 0, 70 * VOXEL_NM * 10],
        False, False, 1.0,
    )  # fmt: skip
    band = marginal_band(part, VOXEL_NM, [shifted])
    assert band.rim_nm == pytest.approx(np.pi * RADIUS_NM, rel=0.05)
    assert band.integrity == pytest.approx(160 / 180, abs=0.05)
