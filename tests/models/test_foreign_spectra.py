import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from engine.data.provenance import Provenance
from engine.data.tomogram import Tomogram
from engine.segmentation.known_spectrum import radial_spectrum
from models.foreign_spectra import foreign_spectrum, with_spectrum
from tests.models.test_networks import tiny


def noise(seed, sigma_vox=0.0, shape=(64, 72, 80)):
    values = np.random.default_rng(seed).normal(size=shape)
    values = gaussian_filter(values, sigma_vox) if sigma_vox else values
    return (values / values.std()).astype(np.float32)


def test_a_patch_takes_on_the_spectrum_and_keeps_what_is_in_it():
    foreign = noise(0, sigma_vox=0.6)
    patch = noise(1)
    patch[30:34, 30:40, 30:40] += 6.0
    wanted = radial_spectrum(foreign)
    changed = with_spectrum(torch.from_numpy(patch), wanted).numpy()
    # Between them the lowest shells are left out, and the rest may differ in level.
    difference = (radial_spectrum(changed) - wanted)[4:20]
    before = (radial_spectrum(patch) - wanted)[4:20]
    assert np.ptp(difference) < 0.4 * np.ptp(before)
    block = changed[30:34, 30:40, 30:40]
    assert block.mean() > changed.mean() + 3.0 * changed.std() / np.sqrt(block.size)
    assert np.corrcoef(patch.ravel(), changed.ravel())[0, 1] > 0.5


def test_its_own_spectrum_changes_nothing():
    patch = noise(2)
    same = with_spectrum(torch.from_numpy(patch), radial_spectrum(patch)).numpy()
    np.testing.assert_allclose(same, patch, atol=1e-4)


def test_a_tomogram_is_described_at_the_networks_sampling():
    recipe = tiny()
    fine = Tomogram("t", noise(3), 10.0 * recipe.voxel_size_nm, None, "bright", Provenance("", ""))
    np.testing.assert_allclose(
        foreign_spectrum(fine, recipe), radial_spectrum(fine.voxels), atol=1e-9
    )
