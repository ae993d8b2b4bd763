"""Simulated subtomograms: SNR, wedge, pose and independence, known beforehand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from engine.data.tomogram import TiltRange
from engine.errors import BadInputError
from engine.physics.fourier import frequencies_3d
from engine.physics.missing_wedge import measured_wedge_mask
from engine.simulation.macromolecules import blob_chain
from engine.simulation.subtomogram_params import SubtomogramParams
from engine.simulation.subtomograms import Structure, SubtomogramMaker

BOX = 20
MICROSCOPES = ("convolution", "tilt_series")


@pytest.fixture(scope="module")
def structures():
    chains = (blob_chain(24, 8.0, n, rng=np.random.default_rng(n)) for n in (5, 8, 11))
    return [Structure(f"chain-{index}", chain, 10.0) for index, chain in enumerate(chains)]


def made(structures, kinds, seed=0, **changes):
    params = SubtomogramParams(**{"box_vox": BOX, "voxel_size_angst": 12.0, "snr": 0.1, **changes})
    return SubtomogramMaker(structures, params).make(
        np.array(kinds), rng=np.random.default_rng(seed)
    )


@pytest.mark.parametrize("microscopy", MICROSCOPES)
@pytest.mark.parametrize("snr", [0.5, 0.03])
def test_signal_over_noise_is_what_was_asked_for(structures, microscopy, snr):
    batch = made(structures, [0, 1, 2, 0], microscopy=microscopy, snr=snr)
    noise = batch.images - batch.signals
    ratio = batch.signals.flatten(1).var(dim=1) / noise.flatten(1).var(dim=1)
    np.testing.assert_allclose(ratio, snr, rtol=1e-3)
    np.testing.assert_allclose(batch.images.flatten(1).std(dim=1), 1.0, rtol=1e-4)


@pytest.mark.parametrize("microscopy", MICROSCOPES)
def test_two_noisy_copies_correlate_as_their_snr_says(structures, microscopy):
    """The correlation of two copies of one particle is SNR / (1 + SNR), not that of their mean."""
    params = SubtomogramParams(BOX, 12.0, 0.5, microscopy, shift_vox=0.0)
    maker = SubtomogramMaker(structures, params)
    batch = maker.make(np.zeros(40, dtype=int), rng=np.random.default_rng(2))
    other = maker.make(np.zeros(40, dtype=int), rng=np.random.default_rng(3))
    signal = (batch.signals - batch.signals.mean(dim=(1, 2, 3), keepdim=True)).flatten(1)
    own_noise = (batch.images - batch.signals).flatten(1)
    noise = (other.images - other.signals).flatten(1)
    noise = noise / noise.std(dim=1, keepdim=True) * own_noise.std(dim=1, keepdim=True)
    pairs = [
        float(torch.corrcoef(torch.stack([s + a, s + b]))[0, 1])
        for s, a, b in zip(signal, own_noise, noise, strict=True)
    ]
    assert np.mean(pairs) == pytest.approx(0.5 / 1.5, rel=0.1)


@pytest.mark.parametrize(("microscopy", "most"), [("convolution", 1e-6), ("tilt_series", 0.05)])
@pytest.mark.parametrize("half_deg", [40.0, 60.0])
def test_little_is_left_in_the_missing_wedge(structures, microscopy, most, half_deg):
    limits = TiltRange(-half_deg, half_deg)
    batch = made(structures, [0, 1], microscopy=microscopy, snr=math.inf, tilt_range=limits)
    power = torch.fft.rfftn(batch.images, dim=(1, 2, 3)).abs().square()
    # A box cut out of a tomogram leaks into neighbouring coefficients: these do not count.
    wider = TiltRange(-half_deg - 10.0, half_deg + 10.0)
    measured = measured_wedge_mask((BOX,) * 3, wider, torch.device("cpu"))
    assert float(power[:, ~measured].sum() / power.sum()) < most
    whole = torch.fft.rfftn(batch.densities, dim=(1, 2, 3)).abs().square()
    assert float(whole[:, ~measured].sum() / whole.sum()) > 0.05


def test_a_particle_lies_where_and_as_it_was_drawn(structures):
    """Against scipy's rotation of the same density about the same point, an independent way."""
    from scipy.ndimage import affine_transform

    params = SubtomogramParams(24, 10.0, math.inf, shift_vox=2.0)
    batch = SubtomogramMaker(structures, params).make(np.array([1]), rng=np.random.default_rng(5))
    child = np.random.default_rng(5).spawn(1)[0]
    turn = Rotation.random(rng=child).as_matrix()[::-1, ::-1]
    place = child.uniform(-2.0, 2.0, size=3)[::-1]
    voxels = structures[1].voxels
    expected = affine_transform(
        voxels, turn.T, offset=12 - turn.T @ (12 + place), output_shape=(24,) * 3, order=1
    )
    found = batch.densities[0].numpy()
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.999


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), first=st.integers(0, 2))
def test_a_subtomogram_does_not_depend_on_its_batch(structures, seed, first):
    kinds = [first, 1, 2]
    for microscopy in MICROSCOPES:
        changes = {"microscopy": microscopy, "n_neighbours": (1, 2)}
        alone = made(structures, kinds[:1], seed, **changes)
        together = made(structures, kinds, seed, **changes)
        torch.testing.assert_close(together.images[0], alone.images[0], rtol=0, atol=1e-4)


def test_neighbours_add_signal_outside_the_particle_and_leave_its_truth_alone(structures):
    alone = made(structures, [0, 1], snr=math.inf, n_neighbours=(0, 0), shift_vox=0.0)
    beside = made(structures, [0, 1], snr=math.inf, n_neighbours=(2, 3), shift_vox=0.0)
    assert alone.masks.any(dim=0).any()
    for batch in (alone, beside):
        inside = batch.densities[batch.masks].mean()
        assert float(inside) == pytest.approx(1.0, abs=0.15)
    assert not torch.allclose(alone.images, beside.images, atol=0.1)


def test_another_voxel_size_keeps_the_volume_of_a_structure(structures):
    volumes = []
    for voxel in (10.0, 14.0):
        batch = made(structures, [2] * 6, voxel_size_angst=voxel, box_vox=28, snr=math.inf)
        volumes.append(float(batch.masks.sum()) * voxel**3)
    assert volumes[1] == pytest.approx(volumes[0], rel=0.25)


@pytest.mark.parametrize(
    ("voxels", "message"),
    [
        (np.zeros((4, 4, 4)), "positive"),
        (np.ones((4, 4, 5)), "cubic"),
        (np.full((4, 4, 4), np.nan), "finite"),
    ],
)
def test_what_is_no_structure_is_refused(voxels, message):
    with pytest.raises(BadInputError, match=message):
        Structure("odd", voxels, 10.0)
    with pytest.raises(BadInputError, match="at least one structure"):
        SubtomogramMaker([], SubtomogramParams(8, 10.0, 1.0))


@pytest.mark.parametrize("voxel_size_angst", [10.0, 14.0])
def test_the_published_microscope_passes_nothing_beyond_four_nanometres(
    structures, voxel_size_angst
):
    batch = made(structures, [0, 1, 2], voxel_size_angst=voxel_size_angst)
    power = torch.fft.rfftn(batch.images, dim=(1, 2, 3)).abs().square().mean(dim=0)
    freq = frequencies_3d((BOX,) * 3, voxel_size_angst, torch.device("cpu"))
    beyond, below = freq > 1.0 / 36.0, (freq > 1.0 / 60.0) & (freq < 1.0 / 44.0)
    assert power[beyond].mean() < 1e-2 * power[below].mean()
