import mrcfile
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.data.tomogram import TiltRange
from engine.io.wedge import estimate_tilt_range
from tests.real_data import real_data

SHAPE = (48, 40, 72)


def recorded(min_deg, max_deg, shape=SHAPE, seed=0):
    """Noise whose spectrum is kept between two tilts, tilt axis along y."""
    noise = np.random.default_rng(seed).normal(0, 1, shape)
    kz, _, kx = np.meshgrid(*(np.fft.fftfreq(n) for n in shape), indexing="ij")
    angle_deg = np.degrees(np.arctan2(np.where(kx < 0, -kz, kz), np.abs(kx)))
    kept = (angle_deg >= min_deg) & (angle_deg <= max_deg)
    return np.fft.ifftn(np.fft.fftn(noise) * kept).real.astype(np.float32)


@settings(max_examples=10, deadline=None)
@given(st.integers(-68, -40), st.integers(40, 68))
def test_the_edges_of_the_empty_wedge_are_found(min_deg, max_deg):
    found = estimate_tilt_range(recorded(min_deg, max_deg))
    assert found is not None
    assert found.min_deg == pytest.approx(min_deg, abs=4)
    assert found.max_deg == pytest.approx(max_deg, abs=4)


def test_the_sign_of_the_contrast_does_not_matter():
    volume = recorded(-60, 50)
    assert estimate_tilt_range(volume) == estimate_tilt_range(-volume)


def test_a_full_spectrum_gives_no_estimate():
    noise = np.random.default_rng(0).normal(0, 1, SHAPE).astype(np.float32)
    assert estimate_tilt_range(noise) is None


def test_another_tilt_axis_gives_no_estimate():
    turned = np.ascontiguousarray(recorded(-60, 60, (48, 72, 72)).transpose(0, 2, 1))
    assert estimate_tilt_range(turned) is None


@pytest.mark.parametrize("shape", [(8, 40, 72), (48, 4, 20), (1, 1, 1), (40, 3, 33)])
def test_small_volumes_do_not_fail(shape):
    volume = np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)
    assert estimate_tilt_range(volume) is None


def test_a_constant_volume_gives_no_estimate():
    assert estimate_tilt_range(np.ones(SHAPE, np.float32)) is None


def test_a_subtomogram_average_gives_no_estimate():
    path = real_data("densities_10A/2uv8.mrc")
    with mrcfile.open(path) as volume:
        assert estimate_tilt_range(volume.data.astype(np.float32)) is None


def test_the_estimate_is_a_range_in_whole_degrees():
    found = estimate_tilt_range(recorded(-60, 60))
    assert isinstance(found, TiltRange)
    assert found.min_deg == int(found.min_deg)
