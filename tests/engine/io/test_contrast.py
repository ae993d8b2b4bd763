import numpy as np
import pytest
from scipy import ndimage

from engine.io.contrast import estimate_contrast
from engine.io.mrc import write_volume
from engine.io.preflight import inspect_tomogram
from engine.simulation.case import simulate_tomogram
from engine.simulation.params import SimulationParams, draw_acquisition, draw_scene


def shells(seed, noise=3.0, shape=(40, 64, 64)):
    """Membrane-like shells, one gold bead, a tilted background, noise."""
    rng = np.random.default_rng(seed)
    zyx = np.indices(shape).astype(np.float64)
    voxels = rng.normal(0, noise, shape) + 0.1 * zyx[2] + 0.05 * zyx[0]
    for centre in rng.uniform(0.2, 0.8, (4, 3)) * np.array(shape):
        distance = np.sqrt(((zyx - centre[:, None, None, None]) ** 2).sum(0))
        voxels += 4.0 * np.exp(-((distance - 11) ** 2) / 2)
    bead = rng.uniform(0.2, 0.8, 3) * np.array(shape)
    voxels += 60 * (((zyx - bead[:, None, None, None]) ** 2).sum(0) < 9)
    return voxels.astype(np.float32)


@pytest.mark.parametrize("seed", range(4))
def test_shells_and_gold_are_told_from_the_solvent(seed):
    volume = shells(seed)
    assert estimate_contrast(volume).contrast == "bright"
    assert estimate_contrast(-volume).contrast == "dark"
    assert estimate_contrast(volume).is_sure


def test_the_estimate_does_not_depend_on_scale_and_offset():
    volume = shells(1)
    one, other = estimate_contrast(volume), estimate_contrast(volume * 37 + 1e4)
    assert one.contrast == other.contrast
    assert one.confidence == pytest.approx(other.confidence, abs=0.02)


def test_pure_noise_is_not_called_sure():
    calls = []
    for seed in range(20):
        noise = np.random.default_rng(seed).normal(0, 1, (32, 48, 48)).astype(np.float32)
        smooth = ndimage.gaussian_filter(noise, 1.0)
        calls.append(estimate_contrast(smooth).is_sure)
    assert sum(calls) <= 8


def test_a_bright_void_beside_a_dark_cell_does_not_mislead():
    volume = shells(3)
    volume[:, :, 40:] += 8.0
    assert estimate_contrast(volume).contrast == "bright"


@pytest.mark.parametrize("family", ["A", "B"])
def test_simulated_tomograms_of_both_signs_are_recognised(tmp_path, family):
    rng = np.random.default_rng(3)
    acquisition = draw_acquisition(family, rng)
    scene = draw_scene(rng, (32, 72, 72), acquisition.voxel_size_nm, family=family)
    simulated = simulate_tomogram(SimulationParams(scene, acquisition), seed=5).tomogram
    for sign, contrast in ((1, "bright"), (-1, "dark")):
        path = tmp_path / f"{contrast}.mrc"
        write_volume(path, sign * simulated.voxels, simulated.voxel_size_angst)
        assert inspect_tomogram(path).contrast == contrast
