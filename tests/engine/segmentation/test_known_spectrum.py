import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from app.wiring import SPECTRUM_FILE
from engine.errors import ModelFileError
from engine.io.spectrum_file import read_spectrum_range, write_spectrum_range
from engine.segmentation.known_spectrum import (
    LEAST_GAIN,
    N_SHELLS,
    FilteredVolume,
    SpectrumRange,
    as_known,
    fit_range,
    radial_spectrum,
)
from engine.segmentation.resampling import resample

WHITE = SpectrumRange(np.full(N_SHELLS, -0.4), np.full(N_SHELLS, 0.4))
EVERYTHING = (slice(None),) * 3


def noise(shape=(40, 90, 100), seed=0, sigma_vox=0.0):
    values = np.random.default_rng(seed).normal(size=shape)
    if sigma_vox:
        values = gaussian_filter(values, sigma_vox)
    return (values / values.std()).astype(np.float32)


@pytest.mark.parametrize(
    ("shape", "tolerance"), [((70, 80, 90), 0.3), ((20, 64, 130), 0.3), ((3, 70, 70), 0.8)]
)
def test_white_noise_has_a_flat_spectrum(shape, tolerance):
    # The first two shells hold a few coefficients only, and are not used.
    assert np.abs(radial_spectrum(noise(shape))[2:]).max() < tolerance


def test_the_spectrum_of_correlated_noise_falls_as_it_was_made():
    sigma = 0.8
    spectrum = radial_spectrum(noise(sigma_vox=sigma))
    frequency = (np.arange(N_SHELLS) + 0.5) * 0.02
    # Of a sampled Gaussian the sum over aliases; up to 0.35 cycles a voxel they are negligible.
    expected = -4.0 * (np.pi * sigma * frequency) ** 2
    low = slice(3, 17)
    difference = (spectrum - expected)[low]
    assert np.abs(difference - difference.mean()).max() < 0.3


def test_gold_does_not_change_it():
    plain = noise((40, 200, 200))
    gilded = plain.copy()
    gilded[18:22, 40:44, 40:44] += 60.0
    np.testing.assert_allclose(radial_spectrum(gilded)[2:], radial_spectrum(plain)[2:], atol=0.1)


def test_ordinary_tomograms_are_shown_as_they_are():
    voxels = noise()
    assert as_known(voxels, 2.5, WHITE).voxels is voxels
    odd = noise(sigma_vox=0.9)
    assert as_known(odd, 2.5, None).voxels is odd


@pytest.mark.parametrize("voxel_nm", [2.2, 3.0, 1.2])
def test_correlated_noise_is_brought_into_the_range(voxel_nm):
    # On a grid twice as fine noise is correlated twice as far.
    sigma = 0.7 if voxel_nm >= 2.0 else 1.6
    voxels = noise((48, 100, 110), sigma_vox=sigma)
    grid = voxels if voxel_nm >= 2.0 else resample(voxels, 2.4 / voxel_nm)
    before = WHITE.log_gain(radial_spectrum(grid))
    shown = as_known(voxels, voxel_nm, WHITE)
    after = WHITE.log_gain(radial_spectrum(shown.voxels))
    assert before is not None
    assert after is None or np.abs(after).max() < 0.5 * np.abs(before).max()
    assert shown.voxels.shape == grid.shape
    assert shown.voxel_nm == (voxel_nm if voxel_nm >= 2.0 else 2.4)


def test_a_filter_of_gain_one_changes_nothing_and_a_level_stays():
    voxels = noise() + 100.0
    kept = FilteredVolume(voxels, np.zeros(N_SHELLS))[EVERYTHING]
    np.testing.assert_allclose(kept, voxels, atol=1e-4)


def test_it_is_the_filter_that_it_says():
    """Against the whole volume multiplied in Fourier space, away from the faces."""
    voxels = noise((48, 48, 48))
    log_gain = np.linspace(0.3, -1.0, N_SHELLS)
    filtered = FilteredVolume(voxels, log_gain)[EVERYTHING]
    frequency = np.sqrt(
        sum(
            grid**2
            for grid in np.meshgrid(
                np.fft.fftfreq(48), np.fft.fftfreq(48), np.fft.rfftfreq(48),
                indexing="ij", sparse=True,
            )
        )
    )  # fmt: skip
    gain = np.exp(np.interp(frequency, (np.arange(N_SHELLS) + 0.5) * 0.02, log_gain))
    whole = np.fft.irfftn(np.fft.rfftn(voxels) * gain, s=voxels.shape, axes=(0, 1, 2))
    inner = (slice(12, -12),) * 3
    # The kernel is tapered: a few hundredths of the gain.
    assert np.abs(filtered[inner] - whole[inner]).std() < 0.03 * whole.std()


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_a_box_does_not_change_what_is_in_it(data):
    volume = FilteredVolume(noise((30, 41, 37)), np.linspace(0.5, -0.8, N_SHELLS))
    whole = volume[EVERYTHING]
    box = []
    for n in volume.shape:
        start = data.draw(st.integers(0, n - 1))
        stop = data.draw(st.integers(start + 1, n))
        box.append(slice(start, stop, data.draw(st.sampled_from([None, 1, 2, 5]))))
    np.testing.assert_allclose(volume[tuple(box)], whole[tuple(box)], atol=1e-5)


def test_the_range_holds_what_it_was_fitted_to():
    spectra = [radial_spectrum(noise(seed=seed)) for seed in range(4)]
    known = fit_range(spectra)
    assert all(known.log_gain(spectrum) is None for spectrum in spectra)
    louder = spectra[0] + 3.0
    assert known.log_gain(louder) is None


def test_small_deviations_are_left():
    tilted = np.linspace(0.0, 2.0 * np.log(LEAST_GAIN) - 0.1, N_SHELLS)
    flat = SpectrumRange(np.zeros(N_SHELLS), np.zeros(N_SHELLS))
    assert flat.log_gain(tilted) is None
    assert flat.log_gain(3.0 * tilted) is not None


def test_a_file_gives_back_the_range(tmp_path):
    path = tmp_path / "s.json"
    write_spectrum_range(WHITE, path)
    again = read_spectrum_range(path)
    np.testing.assert_allclose(again.low, WHITE.low)
    np.testing.assert_allclose(again.high, WHITE.high)
    assert again.digest is not None
    assert again.digest.name == "s.json"
    shipped = read_spectrum_range(SPECTRUM_FILE)
    assert (shipped.low <= shipped.high).all()


@pytest.mark.parametrize(
    "content", ["", "[]", '{"low": [1]}', '{"low": [1], "high": [2], "shell_cycles_per_voxel": 1}']
)
def test_a_broken_file_is_named(tmp_path, content):
    path = tmp_path / "s.json"
    path.write_text(content)
    with pytest.raises(ModelFileError, match=r"s\.json"):
        read_spectrum_range(path)
    with pytest.raises(ModelFileError, match=r"absent\.json"):
        read_spectrum_range(tmp_path / "absent.json")
