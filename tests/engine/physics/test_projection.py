import math

import pytest
import torch

from engine.data.tomogram import TiltRange
from engine.physics.missing_wedge import apply_missing_wedge, measured_wedge_mask
from engine.physics.projection import (
    TiltGeometry,
    back_project,
    make_projector,
    project,
    ramp_filter,
)

CPU = torch.device("cpu")


@pytest.mark.parametrize("tilt_deg", [-60.0, -13.0, 0.0, 30.0, 57.0])
def test_a_point_lands_at_x_cos_plus_z_sin(tilt_deg):
    volume = torch.zeros((40, 3, 64))
    volume[28, 1, 38] = 1.0
    projector = make_projector(TiltGeometry(40, 64, (tilt_deg,)), CPU)
    row = project(volume, projector)[0, 1]
    tilt = math.radians(tilt_deg)
    expected = 32 + (38 - 32) * math.cos(tilt) + (28 - 20) * math.sin(tilt)
    centre = float((row * torch.arange(64)).sum() / row.sum())
    assert centre == pytest.approx(expected, abs=1e-4)


def test_back_projection_is_the_transpose_of_projection():
    generator = torch.Generator().manual_seed(1)
    projector = make_projector(TiltGeometry(12, 20, (-50.0, -5.0, 20.0, 60.0)), CPU)
    volume = torch.randn((12, 5, 20), generator=generator)
    image = torch.randn((4, 5, 20), generator=generator)
    left = float((project(volume, projector) * image).sum())
    right = float((volume * back_project(image, projector)).sum())
    assert left == pytest.approx(right, rel=1e-4)


def test_projection_without_tilt_is_the_sum_along_the_beam():
    volume = torch.rand((9, 4, 11), generator=torch.Generator().manual_seed(2))
    projector = make_projector(TiltGeometry(9, 11, (0.0,)), CPU)
    torch.testing.assert_close(project(volume, projector)[0], volume.sum(dim=0))


def test_weighted_back_projection_puts_a_ball_back_where_it_was():
    axes = [torch.arange(n) - centre for n, centre in ((48, 24), (5, 2), (64, 40))]
    z, _, x = torch.meshgrid(*axes, indexing="ij")
    ball = ((z**2 + x**2) < 25).float()
    tilts = tuple(float(t) for t in range(-60, 61, 3))
    projector = make_projector(TiltGeometry(48, 64, tilts), CPU)
    weighted = torch.fft.irfft(
        torch.fft.rfft(project(ball, projector), dim=2) * ramp_filter(64, CPU), n=64, dim=2
    )
    section = back_project(weighted, projector)[:, 2]
    peak = divmod(int(section.argmax()), 64)
    assert abs(peak[0] - 24) <= 4
    assert abs(peak[1] - 40) <= 3
    inside, outside = section[ball[:, 2] > 0].mean(), section[ball[:, 2] == 0].mean()
    assert inside > 5 * abs(outside)


def test_full_tilt_range_keeps_every_frequency():
    volume = torch.randn((16, 16, 16), generator=torch.Generator().manual_seed(3))
    kept = apply_missing_wedge(volume, TiltRange(-90.0, 90.0))
    torch.testing.assert_close(kept, volume, atol=1e-5, rtol=1e-5)


def test_wedge_of_60_degrees_keeps_two_thirds_and_the_whole_tilt_axis():
    mask = measured_wedge_mask((64, 64, 64), TiltRange(-60.0, 60.0), CPU)
    share = float(mask.float().mean())
    # A cube's corners lie outside the wedge of its sphere: atan share 2/3 becomes 0.71.
    assert 0.64 < share < 0.74
    assert mask[0, :, 0].all()
    assert not mask[20, :, 1].any()
