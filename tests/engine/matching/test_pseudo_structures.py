"""Pseudo-structures are alike to a template in all but shape."""

from pathlib import Path

import numpy as np
import pytest

from engine.data.provenance import Provenance
from engine.data.template import Template
from engine.errors import BadInputError, ModelFileError
from engine.matching.pseudo_source import PseudoStructureSource
from engine.matching.pseudo_structures import (
    matched_structures,
    mirrored,
    phase_permuted,
    radial_amplitudes,
    radius_of_gyration_vox,
    random_blob_chains,
    random_phases,
)
from engine.matching.template_masks import soft_sphere
from engine.simulation.macromolecules import blob_chain

TRAINED = Path(__file__).parents[3] / "models" / "trained"


def made_template(box=40, radius=11.0, seed=3, voxels=None):
    if voxels is None:
        voxels = blob_chain(box, radius, 10, rng=np.random.default_rng(seed))
    return Template(
        template_id="made",
        voxels=voxels,
        mask=soft_sphere(box, radius + 3.0),
        voxel_size_angst=10.0,
        symmetry="C1",
        radius_angst=10.0 * radius,
        mass_kda=None,
        hand="as_given",
        resolution_angst=None,
        source="",
        provenance=Provenance("test", "none"),
    )


def assert_matched(structures, template):
    wanted = template.voxels.astype(np.float64) * template.mask
    amplitudes = radial_amplitudes(wanted)
    for structure in structures.astype(np.float64):
        radius = radius_of_gyration_vox(structure)
        assert radius == pytest.approx(radius_of_gyration_vox(wanted), rel=0.05)
        assert structure.sum() == pytest.approx(wanted.sum(), rel=1e-3)
        found = radial_amplitudes(structure)
        assert np.corrcoef(found, amplitudes)[0, 1] >= 0.95
        # Shells that carry anything agree one by one, not the strong ones alone.
        strong = amplitudes > 0.02 * amplitudes[0]
        assert np.corrcoef(np.log(found[strong]), np.log(amplitudes[strong]))[0, 1] >= 0.95


@pytest.mark.parametrize(("box", "radius"), [(40, 11.0), (33, 11.0), (28, 8.0), (56, 20.0)])
def test_blob_chains_have_radius_mass_and_spectrum_of_the_template(box, radius):
    template = made_template(box, radius)
    chains = random_blob_chains(3, template, rng=np.random.default_rng(0))
    assert chains.shape == (3, box, box, box)
    assert chains.dtype == np.float32
    assert chains.min() >= 0
    assert_matched(chains, template)
    flat = chains.reshape(3, -1)
    assert np.corrcoef(flat)[np.triu_indices(3, 1)].max() < 0.9


def test_a_bandpassed_template_is_matched_in_radius_and_spectrum():
    plain = made_template().voxels
    frequencies = np.fft.fftfreq(40)
    squared = sum(f**2 for f in np.meshgrid(*(frequencies,) * 3, indexing="ij"))
    passed = np.fft.ifftn(np.fft.fftn(plain) * (1 - 0.7 * np.exp(-squared / 0.04**2))).real
    template = made_template(voxels=passed.astype(np.float32))
    structures = random_blob_chains(2, template, rng=np.random.default_rng(1))
    assert structures.min() < 0
    wanted = template.voxels.astype(np.float64) * template.mask
    for one in structures.astype(np.float64):
        assert np.corrcoef(radial_amplitudes(one), radial_amplitudes(wanted))[0, 1] >= 0.95
        assert one.sum() == pytest.approx(wanted.sum(), rel=1e-3)


def test_matching_ignores_the_scale_of_a_density_and_its_faint_background():
    template = made_template()
    density = blob_chain(32, 12.0, 12, rng=np.random.default_rng(5))
    scaled = matched_structures(np.stack([density, 7.0 * density]), template)
    np.testing.assert_allclose(scaled[0], scaled[1], atol=1e-4 * scaled.max())
    hazy = matched_structures(density[None] + np.float32(0.01), template)
    assert np.corrcoef(hazy.ravel(), scaled[0].ravel())[0, 1] > 0.98


def test_no_density_gives_no_structure():
    assert matched_structures(np.zeros((0, 32, 32, 32), np.float32), made_template()).shape == (
        0, 40, 40, 40,
    )  # fmt: skip


def test_an_empty_density_is_refused():
    with pytest.raises(BadInputError, match="positive"):
        matched_structures(np.zeros((1, 32, 32, 32), np.float32), made_template())


@pytest.mark.parametrize("box", [40, 33])
def test_mirrored_twice_is_the_identity(box):
    template = made_template(box)
    once = mirrored(template)
    assert once.hand == "mirrored"
    centre = box // 2
    assert once.voxels[centre, centre, centre - 5] == template.voxels[centre, centre, centre + 5]
    assert not np.array_equal(once.voxels, template.voxels)
    twice = mirrored(once)
    assert twice.hand == "as_given"
    np.testing.assert_array_equal(twice.voxels, template.voxels)
    np.testing.assert_array_equal(twice.mask, template.mask)


@pytest.mark.parametrize("box", [40, 33])
def test_random_phases_keep_every_amplitude(box):
    voxels = made_template(box).voxels
    permuted = random_phases(voxels, rng=np.random.default_rng(2))
    before, after = np.abs(np.fft.fftn(voxels)), np.abs(np.fft.fftn(permuted))
    np.testing.assert_allclose(after, before, atol=1e-5 * before.max())
    assert abs(np.corrcoef(voxels.ravel(), permuted.ravel())[0, 1]) < 0.3


def test_phase_permuted_stays_in_the_mask_with_the_power_of_the_template():
    template = made_template()
    permuted = phase_permuted(template, rng=np.random.default_rng(2))
    assert not permuted.voxels[template.mask == 0].any()
    wanted = ((template.voxels * template.mask) ** 2).sum()
    assert (permuted.voxels**2).sum() == pytest.approx(wanted, rel=1e-4)


def test_equal_seeds_draw_equal_chains():
    template = made_template(28, 8.0)
    first, second = (random_blob_chains(2, template, rng=np.random.default_rng(9)) for _ in "ab")
    np.testing.assert_array_equal(first, second)


@pytest.mark.skipif(not (TRAINED / "pseudo-1").is_dir(), reason="no trained generator")
def test_shipped_generator_draws_structures_that_match_the_template():
    source = PseudoStructureSource(TRAINED / "pseudo-1", n_threads=1)
    densities = source.draw(6, rng=np.random.default_rng(0))
    assert densities.shape == (6, 32, 32, 32)
    assert densities.min() >= 0
    # Another batch may be summed in another order.
    alone = source.draw(1, rng=np.random.default_rng(0))
    np.testing.assert_allclose(alone[0], densities[0], atol=1e-4)
    template = made_template()
    structures = matched_structures(densities, template)
    assert_matched(structures, template)
    assert np.corrcoef(structures.reshape(6, -1))[np.triu_indices(6, 1)].max() < 0.95


def test_a_segmentation_network_draws_nothing():
    with pytest.raises(ModelFileError, match="pseudo-structures"):
        PseudoStructureSource(TRAINED / "fine-8")
