import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis.strategies import floats, integers

from engine.segmentation.resampling import (
    ResampledVolume,
    nearest_index,
    resample,
    resample_nearest,
    resampled_length,
    resampling_matrix,
)


@given(integers(1, 60), floats(0.3, 4.0))
def test_rows_of_the_matrix_sum_to_one(n_in, ratio):
    matrix = resampling_matrix(n_in, ratio)
    assert matrix.shape == (resampled_length(n_in, ratio), n_in)
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0, rtol=1e-5)


def test_ratio_one_changes_nothing():
    volume = np.random.default_rng(0).normal(size=(5, 6, 7)).astype(np.float32)
    np.testing.assert_array_equal(resample(volume, 1.0), volume)


@pytest.mark.parametrize("ratio", [0.5, 0.83, 1.37, 2.5])
def test_a_ramp_keeps_its_positions(ratio):
    ramp = np.broadcast_to(np.arange(60.0, dtype=np.float32)[:, None, None], (60, 4, 4))
    out = resample(ramp, ratio)[:, 0, 0]
    inner = slice(4, len(out) - 5)
    # The anti-aliasing triangle is sampled: positions ripple by a twentieth of a voxel.
    np.testing.assert_allclose(out[inner], np.arange(len(out))[inner] * ratio, atol=0.06)


@settings(deadline=None, max_examples=40)
@given(integers(1, 50), floats(0.3, 7.0), integers(0, 40), integers(1, 40))
def test_a_box_is_what_the_whole_matrices_give(n_z, ratio, start, length):
    # Nearer to one, `resample` leaves the voxels as they are.
    assume(ratio == 1.0 or abs(ratio - 1.0) > 1e-5)
    volume = np.random.default_rng(1).normal(size=(n_z, 45, 38)).astype(np.float32)
    z, y, x = (resampling_matrix(n, ratio) for n in volume.shape)
    whole = np.einsum("ai,bj,ck,ijk->abc", z, y, x, volume, optimize=True)
    view = ResampledVolume(volume, ratio)
    assert view.shape == whole.shape
    first = min(start, min(whole.shape) - 1)
    box = (slice(first, first + length),) * 3
    np.testing.assert_allclose(view[box], whole[box], atol=2e-6)
    np.testing.assert_allclose(resample(volume, ratio), whole, atol=2e-6)
    sampled = view.sample(500)
    step = max(1, int((whole.size / 500) ** (1 / 3)))
    np.testing.assert_allclose(sampled, whole[::step, ::step, ::step], atol=2e-6)


def test_labels_there_and_back_are_the_same():
    labels = np.random.default_rng(2).integers(0, 5, size=(8, 9, 10)).astype(np.uint8)
    fine = resample_nearest(labels, (16, 18, 20), 0.5)
    np.testing.assert_array_equal(resample_nearest(fine, (8, 9, 10), 2.0), labels)


def test_nearest_index_stays_inside():
    assert nearest_index(10, 2.0, 7).max() == 6
