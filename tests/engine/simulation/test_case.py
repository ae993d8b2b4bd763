from dataclasses import replace

import numpy as np
import pytest
import torch

from engine.physics.fourier import frequencies_3d
from engine.physics.missing_wedge import measured_wedge_mask
from engine.simulation.case import simulate_tomogram
from engine.simulation.imaging import image_scene
from engine.simulation.params import SimulationParams, draw_acquisition, draw_scene

SHAPE = (40, 96, 96)


def drawn(seed, family="A", **scene_changes):
    rng = np.random.default_rng(seed)
    acquisition = draw_acquisition(family, rng, voxel_size_nm=3.0)
    scene = draw_scene(rng, SHAPE, 3.0, family=family, mean_mitochondria=2.0)
    return SimulationParams(replace(scene, **scene_changes), acquisition)


@pytest.fixture(scope="module")
def simulated():
    params = drawn(4, n_mitochondria=2, n_band=0, n_free=6, edge_in_view=False)
    return simulate_tomogram(params, seed=4)


def test_the_same_seed_gives_the_same_bytes(simulated):
    again = simulate_tomogram(simulated.params, seed=4)
    assert again.tomogram.voxels.tobytes() == simulated.tomogram.voxels.tobytes()
    assert again.truth.instances.tobytes() == simulated.truth.instances.tobytes()
    other = simulate_tomogram(simulated.params, seed=5)
    assert other.tomogram.voxels.tobytes() != simulated.tomogram.voxels.tobytes()


def test_it_says_that_it_is_simulated(simulated):
    assert simulated.tomogram.provenance.simulated
    assert simulated.tomogram.provenance.seed == 4


def test_volumes_of_the_truth_are_those_of_its_voxels(simulated):
    truth = simulated.truth
    assert truth.organelles
    for one in truth.organelles:
        voxels = int((truth.instances == one.instance_id).sum())
        assert one.volume_um3 == pytest.approx(voxels * 0.003**3)
        assert one.volume_um3 >= 1e-3


def test_filaments_lie_inside_the_field_on_their_cores(simulated):
    truth = simulated.truth
    assert truth.filaments
    high = (np.array(SHAPE) - 0.5) * 30.0
    for filament in truth.filaments:
        assert (filament.points_angst >= -15.0).all()
        assert (filament.points_angst <= high).all()
        # An end may round to the voxel beyond it.
        index = np.rint(filament.points_angst[1:-1] / 30.0).astype(int)
        index = np.minimum(index, np.array(SHAPE) - 1)
        assert truth.microtubule_core[tuple(index.T)].mean() > 0.97


def test_microtubules_keep_25_nm_from_each_other(simulated):
    lines = [one.points_angst / 10.0 for one in simulated.truth.filaments]
    for i, first in enumerate(lines):
        for second in lines[i + 1 :]:
            distance = np.linalg.norm(first[:, None] - second[None], axis=2)
            # Pieces of one line that left the field and came back may be nearer end to end.
            assert np.median(distance.min(axis=1)) > 20.0


def test_protein_is_bright():
    params = drawn(7, n_mitochondria=0, n_gold=0, n_ice=0, carbon_edge=False, n_free=8)
    acquisition = replace(params.acquisition, snr=5.0)
    found = simulate_tomogram(SimulationParams(params.scene, acquisition), seed=7)
    membrane, voxels = found.truth.membrane, found.tomogram.voxels
    assert voxels[membrane].mean() > voxels[~membrane].mean() + 0.1


@pytest.mark.parametrize("snr", [0.05, 0.2, 1.0])
@pytest.mark.parametrize("family", ["A", "B", "C"])
def test_snr_inside_the_specimen_is_the_one_asked_for(snr, family):
    rng = np.random.default_rng(1)
    acquisition = replace(draw_acquisition(family, rng, voxel_size_nm=3.0), snr=snr)
    density = torch.rand((24, 64, 64), generator=torch.Generator().manual_seed(2))
    specimen = torch.zeros_like(density, dtype=torch.bool)
    specimen[4:20] = True
    signal, noise = image_scene(density, specimen, acquisition, torch.Generator().manual_seed(3))
    found = signal[specimen].var() / noise[specimen].var()
    # The outer 0.2 % of voxels are left out of the definition (halos of fiducials).
    assert float(found) == pytest.approx(snr, rel=0.05)


def test_nothing_is_measured_inside_the_missing_wedge(simulated):
    volume = torch.from_numpy(simulated.tomogram.voxels.copy())
    power = torch.fft.rfftn(volume).abs() ** 2
    measured = measured_wedge_mask(SHAPE, simulated.params.acquisition.tilt_range, power.device)
    ring = frequencies_3d(SHAPE, 1.0, power.device)
    ring = (ring > 0.1) & (ring < 0.35)
    inside, outside = power[measured & ring].mean(), power[~measured & ring].mean()
    # The slab is thin and cut by the field, so that power leaks into the wedge a little.
    assert float(outside) < 0.15 * float(inside)


def test_family_c_is_drawn_with_what_the_others_never_show():
    drawn_c = [draw_acquisition("C", np.random.default_rng(seed)) for seed in range(20)]
    assert max(one.defocus_um for one in drawn_c) < 3.0
    assert min(one.noise_correlation_vox for one in drawn_c) > 0.0
    assert any(one.phase_shift_deg > 0 for one in drawn_c)


def test_an_empty_scene_has_no_instances_and_no_filaments():
    params = drawn(
        3, n_mitochondria=0, n_alpha_granules=0, n_dense_granules=0, n_vesicles=0, n_band=0,
        n_free=0,
    )  # fmt: skip
    truth = simulate_tomogram(params, seed=3).truth
    assert truth.organelles == ()
    assert truth.filaments == ()
    assert truth.microtubule_length_nm == 0
