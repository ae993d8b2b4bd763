"""Fourier weights of a match against the wedge, the contrast transfer and the dose."""

import math

import numpy as np
import pytest
import torch

from engine.data.tilt_series import TiltSeriesMetadata
from engine.data.tomogram import TiltRange
from engine.matching.filters import MatchFilter, grid_frequencies
from engine.physics.ctf import Microscope, contrast_transfer
from engine.physics.missing_wedge import measured_wedge_mask

CPU = torch.device("cpu")
SHAPE = (15, 17, 19)


def series(tilts_deg, exposure=math.nan, defocus_um=math.nan, **optics):
    tilts = np.asarray(tilts_deg, dtype=float)
    return TiltSeriesMetadata(
        tilts,
        np.broadcast_to(exposure, tilts.shape),
        np.broadcast_to(defocus_um, tilts.shape),
        **optics,
    )


def full_grid(shape=SHAPE):
    z, y, x = (torch.fft.fftfreq(n) for n in shape)
    return z[:, None, None], y[None, :, None], x[None, None, :]


def planes_deg(z, x):
    """Tilt of the central plane through each frequency, in double precision."""
    z, x = torch.broadcast_tensors(z.double(), x.double())
    return torch.rad2deg(torch.atan2(-z * torch.where(x < 0, -1.0, 1.0), x.abs()))


@pytest.mark.parametrize("limits", [(-60, 60), (-47, 61), (-12.5, 33), (-90, 90), (10, 50)])
@pytest.mark.parametrize("shape", [SHAPE, (16, 12, 20)])
def test_without_tilts_the_weights_are_the_measured_wedge(shape, limits):
    wedge = TiltRange(*limits)
    z, y, x = grid_frequencies(shape, CPU)
    match_filter = MatchFilter(10.0, wedge)
    weights = match_filter.tomogram_weights(z, y, x)
    angle = planes_deg(z, x)
    boundary = ((angle - limits[0]).abs() < 1e-4) | ((angle - limits[1]).abs() < 1e-4)
    differ = weights != measured_wedge_mask(shape, wedge, CPU).float()
    assert not (differ & ~boundary).any()
    assert torch.equal(weights, match_filter.template_weights(z, y, x))
    assert match_filter.is_binary


def test_without_wedge_tilts_or_band_all_weights_are_one():
    weights = MatchFilter(10.0).template_weights(*grid_frequencies(SHAPE, CPU))
    assert torch.equal(weights, torch.ones_like(weights))


@pytest.mark.parametrize("defocus_um", [0.5, 3.0, 6.0])
def test_one_tilt_at_0_leaves_its_contrast_transfer_with_sign_on_the_plane_kz_0(defocus_um):
    z, y, x = full_grid((15, 64, 64))
    voxel_angst = 5.0
    tilts = series([0.0], defocus_um=defocus_um)
    weights = MatchFilter(voxel_angst, tilts=tilts).template_weights(z, y, x)[0]
    freq = torch.sqrt(y**2 + x**2)[0] / voxel_angst
    expected = contrast_transfer(freq, defocus_um, Microscope())
    assert (expected < -0.5).any()
    assert (expected > 0.5).any()
    assert torch.allclose(weights, expected, atol=1e-5)


@pytest.mark.parametrize("tilt_deg", [-45.0, 45.0])
def test_the_plane_of_a_tilt_at_45_degrees_holds_its_own_transfer_dose_and_foreshortening(tilt_deg):
    n, voxel_angst = 33, 5.0
    index = torch.arange(1, 17)
    plane = (-index if tilt_deg > 0 else index) % n
    tilts = series([-45.0, 0.0, 45.0], [30.0, 0.0, 60.0], [2.0, 3.0, 4.0])
    weights = MatchFilter(voxel_angst, tilts=tilts).template_weights(*full_grid((n, n, n)))
    freq = index * math.sqrt(2.0) / n / voxel_angst
    defocus_um, dose = (2.0, 30.0) if tilt_deg < 0 else (4.0, 60.0)
    # Grant & Grigorieff (2015), equation 3, written out.
    survives = torch.exp(-dose / (2.0 * (0.24499 * freq**-1.6649 + 2.8141)))
    expected = contrast_transfer(freq, defocus_um, Microscope()) * survives * math.sqrt(0.5)
    assert torch.allclose(weights[plane, 0, index], expected, atol=1e-4)


def test_the_optics_of_the_tilts_replace_the_assumed_ones():
    z, y, x = full_grid((1, 32, 32))
    optics = {"voltage_kv": 200.0, "spherical_aberration_mm": 1.4, "amplitude_contrast": 0.1}
    tilts = series([0.0], defocus_um=3.0, **optics)
    weights = MatchFilter(4.0, tilts=tilts).template_weights(z, y, x)[0]
    freq = torch.sqrt(y**2 + x**2)[0] / 4.0
    assert torch.allclose(weights, contrast_transfer(freq, 3.0, Microscope(**optics)), atol=1e-5)
    other = contrast_transfer(freq, 3.0, Microscope())
    assert not torch.allclose(weights, other, atol=0.1)


FILTERS = [
    MatchFilter(8.0, TiltRange(-47, 61), low_pass_angst=20, high_pass_angst=200),
    MatchFilter(8.0, tilts=series(np.arange(-45, 62, 3.0), np.arange(36) * 3.0, 4.0)),
    MatchFilter(8.0, tilts=series([-40, -7, 2, 55], [9, 0, 3, 6], [2, 2.5, 3, 4])),
    MatchFilter(8.0, tilts=series([12.0], 5.0, 3.0)),
]


@pytest.mark.parametrize("match_filter", FILTERS)
def test_weights_are_even(match_filter):
    for weigh in (match_filter.tomogram_weights, match_filter.template_weights):
        weights = weigh(*full_grid())
        mirrored = torch.roll(weights.flip((0, 1, 2)), (1, 1, 1), (0, 1, 2))
        assert torch.allclose(weights, mirrored, atol=1e-6)
        half = weigh(*grid_frequencies(SHAPE, CPU))
        assert torch.allclose(weights[..., : half.shape[-1]], half, atol=1e-6)


@pytest.mark.parametrize("match_filter", FILTERS[1:])
def test_no_weight_beyond_half_a_step_outside_the_outermost_tilts(match_filter):
    z, y, x = full_grid((63, 3, 63))
    angles = match_filter.tilts.tilts_deg
    half_step = 0.5 * np.median(np.diff(angles)) if len(angles) > 1 else 1.0
    angle = planes_deg(z, x)
    outside = (angle < angles[0] - half_step - 1e-4) | (angle > angles[-1] + half_step + 1e-4)
    outside &= ~((z == 0) & (x == 0))
    weights = match_filter.template_weights(z, y, x)
    assert outside.any()
    assert (weights[outside.expand(weights.shape)] == 0).all()
    inside = (angle > angles[0]) & (angle < angles[-1])
    assert len(angles) == 1 or (weights[inside.expand(weights.shape)] != 0).all()


@pytest.mark.parametrize("tilt", [-30.0, 0.0, 45.0])
def test_more_exposure_of_a_tilt_never_raises_a_weight(tilt):
    angles = [-30.0, 0.0, 45.0]
    grid = full_grid()
    before = np.array([20.0, 0.0, 50.0])
    after = before + 30.0 * (np.array(angles) == tilt)
    low = MatchFilter(6.0, tilts=series(angles, after)).template_weights(*grid)
    high = MatchFilter(6.0, tilts=series(angles, before)).template_weights(*grid)
    assert (low.abs() <= high.abs() + 1e-6).all()
    assert (low < high).any()


def test_more_exposure_of_all_tilts_never_raises_a_weight_whatever_the_signs_between_them():
    angles, defocus_um = [-30.0, -3.0, 10.0, 45.0], [2.0, 3.5, 3.0, 5.0]
    grid = full_grid()
    before = np.array([20.0, 0.0, 10.0, 50.0])
    low, high = (
        MatchFilter(6.0, tilts=series(angles, exposure, defocus_um)).template_weights(*grid)
        for exposure in (before + 25.0, before)
    )
    assert (low.abs() <= high.abs() + 1e-6).all()


@pytest.mark.parametrize("match_filter", FILTERS[:3])
def test_half_the_voxel_size_gives_the_same_weights_at_the_same_1_per_angst(match_filter):
    finer = MatchFilter(
        match_filter.voxel_size_angst / 2,
        match_filter.tilt_range,
        match_filter.tilts,
        match_filter.low_pass_angst,
        match_filter.high_pass_angst,
    )
    z, y, x = full_grid()
    coarse = match_filter.template_weights(z, y, x)
    assert torch.allclose(coarse, finer.template_weights(z / 2, y / 2, x / 2), atol=1e-6)
