import numpy as np
import pytest
import torch

from engine.physics.normalise import robust_centre_and_scale
from engine.segmentation.resampling import resample
from models.patches import CLIP, PatchSampler, as_simulated, mixed
from models.training_pool import (
    CORE_BIT,
    FINE_BITS,
    FINE_NM,
    build_pool,
    read_member,
    simulate_member,
    training_arrays,
    write_member,
)
from tests.models.test_networks import TINY, tiny


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    return build_pool(tmp_path_factory.mktemp("pool"), tiny().pool, "cpu")


def test_a_batch_depends_on_seed_and_step_alone(members):
    first, again = PatchSampler(members, tiny()), PatchSampler(members, tiny())
    again.batch(0)
    assert torch.equal(first.batch(7).images, again.batch(7).images)
    assert not torch.equal(first.batch(7).images, first.batch(8).images)


@pytest.mark.parametrize(("task", "voxel_nm"), [("coarse", 6.4), ("fine", 2.4), ("fine", 4.8)])
def test_patches_are_finite_clipped_and_as_large_as_asked_for(members, task, voxel_nm):
    recipe = tiny(task=task, voxel_size_nm=voxel_nm, patches=[[16, 96, 24]])
    for step in range(4):
        batch = PatchSampler(members, recipe).batch(step)
        assert batch.images.shape == (2, 1, 16, 96, 24)
        assert batch.targets.shape == (2, 2, 16, 96, 24)
        assert batch.images.isfinite().all()
        assert batch.images.abs().max() <= CLIP


def test_signal_and_noise_of_a_member_sum_to_its_tomogram(tmp_path):
    simulated = simulate_member(tiny().pool, 0, "cpu")
    write_member(tmp_path / "0000", training_arrays(simulated))
    ratio = 10.0 * FINE_NM / simulated.tomogram.voxel_size_angst
    whole = resample(simulated.tomogram.voxels, ratio)
    centre, scale = robust_centre_and_scale(whole)
    found = as_simulated(read_member(tmp_path / "0000", "fine")).numpy()
    np.testing.assert_allclose(found, np.clip((whole - centre) / scale, -CLIP, CLIP), atol=0.02)


def test_a_binned_member_is_the_mean_of_blocks_and_the_majority_of_bits(members):
    whole, binned = read_member(members[0], "fine"), read_member(members[0], "fine", 2)
    z, y, x = binned.signal.shape
    assert (z, y, x) == tuple(n // 2 for n in whole.signal.shape)
    corner = np.asarray(whole.signal[2:4, 4:6, 6:8], dtype=np.float32)
    assert binned.signal[1, 2, 3] == pytest.approx(corner.mean(), abs=0.01)
    bits = (whole.targets[0][: 2 * z, : 2 * y, : 2 * x] & CORE_BIT) > 0
    counts = sum(bits[a::2, b::2, c::2].astype(int) for a in (0, 1) for b in (0, 1) for c in (0, 1))
    np.testing.assert_array_equal((binned.targets[0] & CORE_BIT) > 0, counts >= 4)
    assert (binned.targets[1] == sum(FINE_BITS.values())).all()


def test_half_of_the_fine_patches_hold_a_microtubule_although_few_voxels_do(members):
    recipe = tiny(patches=[[8, 8, 8]], batch=60)
    cores = {path: (read_member(path, "fine").targets[0] & CORE_BIT) > 0 for path in members}
    with_some = [path for path, core in cores.items() if core.any()]
    targets = PatchSampler(with_some, recipe).batch(3).targets[:, :1]
    share = ((targets & CORE_BIT) > 0).flatten(1).any(dim=1).float().mean()
    assert float(share) > 0.35
    assert max(cores[path].mean() for path in with_some) < 0.05


def test_the_mixed_snr_is_the_one_drawn(members):
    loud = tiny(snr_range=[0.01, 0.0100001], patches=[[16, 24, 24]], batch=8)
    clean = tiny(snr_range=[50.0, 50.0001], patches=[[16, 24, 24]], batch=8)

    def roughness(recipe):
        images = PatchSampler(members, recipe).batch(1).images
        return float(images.diff(dim=-1).std() / images.std())

    assert roughness(loud) > 1.5 * roughness(clean)


def test_recoloured_signal_and_noise_keep_their_variances():
    rng = np.random.default_rng(3)
    signal = torch.from_numpy(rng.normal(size=(24, 32, 40)).astype(np.float32)).cumsum(2) / 4.0
    signal -= signal.mean()
    noise = torch.from_numpy(rng.normal(size=(24, 32, 40)).astype(np.float32))
    nothing = torch.zeros_like(signal)
    changed = 0
    for draw in range(12):
        alone = mixed(signal, nothing, np.random.default_rng(draw))
        assert float(alone.std()) == pytest.approx(float(signal.std()), rel=0.02)
        changed += not torch.equal(alone, signal)
        silent = mixed(nothing, noise, np.random.default_rng(draw))
        assert float(silent.std()) == pytest.approx(float(noise.std()), rel=0.02)
    assert 0 < changed < 12


def test_the_tiny_recipe_of_these_tests_is_the_shipped_kind():
    assert set(TINY) | {"bfloat16", "context", "signal_tilt", "start_from", "teacher"} == set(
        type(tiny()).model_fields
    )
