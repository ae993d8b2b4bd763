"""Templates from densities whose truth is known beforehand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.special import ndtr

from engine.data.provenance import Provenance
from engine.errors import BadInputError
from engine.matching.template_making import TemplateParams, make_template
from engine.matching.template_masks import (
    density_mask,
    distance_from_centre,
    largest_radius_vox,
    soft_sphere,
    sphere_around,
)
from engine.matching.template_resampling import (
    boxed,
    low_pass,
    mirrored,
    resample,
    smallest_box_vox,
)
from engine.matching.template_structure import find_structure
from engine.matching.template_symmetry import require_symmetry, symmetry_correlation

PROVENANCE = Provenance("0", "")


def gaussians(shape, centres_vox, sigma_vox, step=1.0):
    """Sum of equal Gaussian blobs at (z, y, x) positions, sampled every `step` voxels."""
    axes = [np.arange(n) * step for n in shape]
    total = np.zeros(shape)
    for centre in centres_vox:
        z, y, x = (
            np.exp(-((a - c) ** 2) / 2 / sigma_vox**2) for a, c in zip(axes, centre, strict=True)
        )
        total += z[:, None, None] * y[:, None] * x
    return total.astype(np.float32)


def ball(shape, centre_vox, radius_vox):
    """Solid ball with an edge about one voxel wide."""
    squares = [(np.arange(n) - c) ** 2 for n, c in zip(shape, centre_vox, strict=True)]
    radius = np.sqrt(squares[0][:, None, None] + squares[1][:, None] + squares[2])
    return np.clip(radius_vox + 0.5 - radius, 0.0, 1.0).astype(np.float32)


def made(voxels, source_voxel_size_angst=10.0, **params):
    params = {"voxel_size_angst": 10.0, **params}
    return make_template(
        voxels,
        source_voxel_size_angst,
        TemplateParams(**params),
        template_id="blob",
        source="blob.mrc",
        provenance=PROVENANCE,
    )


def centroid(voxels):
    """Offset of the centre of mass from voxel n // 2, (z, y, x)."""
    mass = voxels.astype(np.float64)
    return np.array(ndimage.center_of_mass(mass)) - np.array(voxels.shape) // 2


THREE = ((20.3, 19.1, 24.8), (24.6, 25.2, 18.4), (17.2, 21.9, 29.7))


# --- sampling ---------------------------------------------------------------------------------


@pytest.mark.parametrize("ratio", [0.5, 0.73, 1.0, 1.31, 1.7])
def test_a_band_limited_map_is_resampled_to_a_tenth_of_a_percent(ratio):
    source = gaussians((44, 46, 49), THREE, 3.0)
    box_vox, centre = 2 * int(20 / ratio), np.array([22.4, 21.7, 24.1])
    shifted = [
        tuple(c - m + box_vox // 2 * ratio for c, m in zip(p, centre, strict=True)) for p in THREE
    ]
    expected = gaussians((box_vox,) * 3, shifted, 3.0, ratio)
    found = resample(source, ratio, centre_vox=centre, box_vox=box_vox)
    assert np.abs(found - expected).max() < 1e-3 * expected.max()


def test_the_same_grid_returns_the_same_map():
    voxels = np.random.default_rng(1).normal(size=(9, 10, 12)).astype(np.float32)
    np.testing.assert_allclose(resample(voxels, 1.0), voxels, atol=1e-5)


def test_a_wave_beyond_the_new_nyquist_frequency_does_not_alias():
    wave = np.cos(2 * np.pi * 0.375 * np.arange(64))
    voxels = np.broadcast_to(wave, (64, 64, 64)).astype(np.float32)
    assert np.abs(resample(voxels, 2.0)).max() < 1e-5


def test_what_lies_outside_the_old_box_is_background():
    grown = resample(np.ones((8, 8, 8), dtype=np.float32), 1.0, box_vox=16)
    assert grown[4:12, 4:12, 4:12].min() > 0.999
    assert np.abs(grown[:4]).max() == 0.0


@pytest.mark.parametrize(("period_angst", "kept"), [(20.0, 0.0), (40.0, 0.5), (64.0, 1.0)])
def test_low_pass_keeps_halves_and_removes_waves_by_their_period(period_angst, kept):
    place_angst = np.arange(64) * 5.0
    wave = np.cos(2 * np.pi * place_angst / period_angst)
    voxels = np.broadcast_to(wave[:, None, None], (64, 16, 16)).astype(np.float32)
    found = low_pass(voxels, 5.0, 40.0)
    np.testing.assert_allclose(found, kept * voxels, atol=1e-5)


# --- hand, box --------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.tuples(*[st.integers(2, 9)] * 3), st.sampled_from("zyx"), st.integers(0, 99))
def test_mirroring_twice_is_the_identity(shape, axis, seed):
    voxels = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    assert np.array_equal(mirrored(mirrored(voxels, axis), axis), voxels)


@pytest.mark.parametrize("n", [8, 9])
@pytest.mark.parametrize("axis", ["z", "y", "x"])
def test_mirroring_turns_one_offset_from_the_centre_around(n, axis):
    voxels = np.zeros((n, n, n), dtype=np.float32)
    offset = np.array([1, 2, 3])
    voxels[tuple(n // 2 + offset)] = 1.0
    offset["zyx".index(axis)] *= -1
    assert mirrored(voxels, axis)[tuple(n // 2 + offset)] == 1.0


@pytest.mark.parametrize("n_from", [6, 7, 12, 13])
@pytest.mark.parametrize("n_to", [6, 7, 12, 13])
def test_the_centre_voxel_stays_the_centre_in_another_box(n_from, n_to):
    voxels = np.zeros((n_from,) * 3, dtype=np.float32)
    voxels[(n_from // 2,) * 3] = 1.0
    assert boxed(voxels, n_to)[(n_to // 2,) * 3] == 1.0


def test_the_smallest_box_holds_the_sphere_and_is_fast():
    reaches = np.arange(1.0, 60.0, 0.7)
    sides = [smallest_box_vox(reach) for reach in reaches]
    assert all(side % 2 == 0 for side in sides)
    assert all(
        largest_radius_vox(s) >= r for s, r in zip(sides, np.arange(1.0, 60.0, 0.7), strict=True)
    )
    assert smallest_box_vox(10.5) == 24
    assert smallest_box_vox(16.0) == 32


# --- masks ------------------------------------------------------------------------------------


def soft_sphere_volume(radius, edge):
    """Integral of 4 pi r^2 over the sphere plus that of the half cosine around it."""
    r = np.linspace(radius, radius + edge, 20_001)
    weight = 0.5 + 0.5 * np.cos(np.pi * (r - radius) / edge)
    return 4 / 3 * np.pi * radius**3 + float(np.trapezoid(4 * np.pi * r**2 * weight, r))


@pytest.mark.parametrize("box_vox", [48, 49])
@pytest.mark.parametrize(("radius", "edge"), [(12.0, 3.0), (17.3, 5.0), (20.0, 4.0)])
def test_the_volume_of_a_soft_sphere_is_the_analytic_one(box_vox, radius, edge):
    mask = soft_sphere(box_vox, radius, edge)
    assert mask.sum(dtype=np.float64) == pytest.approx(soft_sphere_volume(radius, edge), rel=2e-3)
    assert mask[(box_vox // 2,) * 3] == 1.0
    assert centroid(mask) == pytest.approx(np.zeros(3), abs=1e-6)


def test_the_mask_of_a_ball_is_a_wider_ball_without_its_hole():
    radius = distance_from_centre(60)
    inside = (radius <= 12.0) & (radius > 4.0)
    mask = density_mask(inside, 2.0, 4.0)
    assert mask.sum(dtype=np.float64) == pytest.approx(soft_sphere_volume(14.0, 4.0), rel=0.04)
    assert mask[30, 30, 30] == 1.0


@pytest.mark.parametrize("box_vox", [16, 17, 24])
@pytest.mark.parametrize("radius", [0.5, 4.0, 7.9, 12.0, 30.0])
def test_a_sphere_around_a_structure_never_leaves_its_box(box_vox, radius):
    mask = sphere_around(box_vox, radius)
    assert mask.max() == 1.0
    assert mask[distance_from_centre(box_vox) >= largest_radius_vox(box_vox)].max() == 0.0
    if radius <= largest_radius_vox(box_vox) - 1:
        assert mask[distance_from_centre(box_vox) <= radius].min() > 0.999


def test_a_mask_that_does_not_fit_is_refused():
    with pytest.raises(BadInputError, match="fits within the box of 32 voxels"):
        soft_sphere(32, 15.0, 3.0)
    with pytest.raises(BadInputError, match="positive mask radius"):
        soft_sphere(32, math.nan)
    with pytest.raises(BadInputError, match="no density above the threshold"):
        density_mask(np.zeros((8, 8, 8), dtype=bool), 1.0)


# --- the structure in a map -------------------------------------------------------------------


@pytest.mark.parametrize("radius", [5.0, 9.0, 14.0])
@pytest.mark.parametrize("noise", [0.0, 0.2, 0.5])
@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (-250.0, 1000.0), (1e-3, -7e-3)])
def test_a_ball_is_found_in_noise_offset_and_either_sign(radius, noise, scale, offset):
    rng = np.random.default_rng(3)
    voxels = ball((40, 44, 48), (20, 22, 24), radius) + noise * rng.normal(size=(40, 44, 48))
    found = find_structure((scale * voxels + offset).astype(np.float32))
    assert found.stands_out
    assert found.contrast == ("dark" if scale < 0 else "bright")
    assert found.background == pytest.approx(offset, abs=0.05 * abs(scale))
    assert found.noise == pytest.approx(noise * abs(scale), abs=0.05 * abs(scale))
    # 99 % of the ball's mass lies within 0.99^(1/3) of its radius.
    # In noise the density is smoothed first, which widens a sharp edge.
    tolerance = 0.9 if noise else 0.5
    assert found.radius_vox() == pytest.approx(radius * 0.99 ** (1 / 3), abs=tolerance)
    assert found.mass_centre_vox() == pytest.approx([20, 22, 24], abs=0.25)


@pytest.mark.parametrize("side", [20, 22, 40, 90])
def test_the_extent_does_not_depend_on_the_room_around(side):
    found = find_structure(ball((side,) * 3, (side // 2,) * 3, 9.0))
    assert found.radius_vox() == pytest.approx(9.0, abs=0.5)


def test_dust_and_neighbours_do_not_widen_the_structure():
    voxels = ball((64, 64, 64), (32, 32, 32), 8.0)
    voxels = np.maximum(voxels, ball((64, 64, 64), (32, 32, 58), 7.0))
    voxels[10, 50, 12] = 1.0
    assert find_structure(voxels).radius_vox() == pytest.approx(8.0, abs=0.5)


@pytest.mark.parametrize("seed", range(4))
def test_noise_alone_does_not_stand_out(seed):
    noise = np.random.default_rng(seed).normal(size=(48, 48, 48)).astype(np.float32)
    assert not find_structure(noise).stands_out
    with pytest.raises(BadInputError, match="stands out of its surroundings, found none"):
        made(noise)


# --- making -----------------------------------------------------------------------------------


@pytest.mark.parametrize("moved", [(0.0, 0.0, 0.0), (2.3, -1.8, 3.13), (-4.49, 0.51, 0.02)])
@pytest.mark.parametrize("voxel_size_angst", [7.0, 10.0, 13.0])
def test_a_blob_moved_by_a_known_vector_is_centred_within_a_hundredth(moved, voxel_size_angst):
    source = gaussians((40, 44, 48), [np.array([20, 22, 24]) + moved], 3.0)
    template = made(source, voxel_size_angst=voxel_size_angst, box_vox=48).template
    assert np.abs(centroid(template.voxels)).max() < 0.01
    step = voxel_size_angst / 10.0
    expected = gaussians((48, 48, 48), [(24 * step,) * 3], 3.0, step)
    # 0.002 of a voxel of a blob's steepest slope, and the ringing of its cut tails.
    assert np.abs(template.voxels - expected).max() < 2e-3


def test_without_centring_the_middle_of_the_map_stays_the_middle():
    source = gaussians((40, 44, 48), [(22.3, 20.2, 27.1)], 3.0)
    template = made(source, centre=False, box_vox=48).template
    assert centroid(template.voxels) == pytest.approx([2.3, -1.8, 3.1], abs=0.01)


@pytest.mark.parametrize("voxel_size_angst", [2.5, 5.0, 10.0, 14.0])
def test_another_voxel_size_keeps_radius_and_mask_in_angstrom(voxel_size_angst):
    sigma_vox, radius_vox = 2.0, 24.0
    source = ndimage.gaussian_filter(ball((80, 80, 80), (40, 40, 40), radius_vox), sigma_vox)
    template = made(source, 5.0, voxel_size_angst=voxel_size_angst).template
    # The profile of a blurred ball, above a quarter of its typical value.
    r = np.linspace(0, 40, 4001)
    profile = ndtr((radius_vox - r) / sigma_vox)
    typical = (profile**2 * r**2).sum() / (profile * r**2).sum()
    held = np.cumsum(np.where(profile > 0.25 * typical, profile, 0.0) * r**2)
    radius_angst = 5.0 * r[np.searchsorted(held, 0.99 * held[-1])]
    assert template.radius_angst == pytest.approx(
        radius_angst, abs=max(1.0, 0.15 * voxel_size_angst)
    )
    edge_angst = 3 * voxel_size_angst
    flat_angst = template.radius_angst + voxel_size_angst
    volume_angst3 = template.mask.sum(dtype=np.float64) * voxel_size_angst**3
    assert volume_angst3 == pytest.approx(soft_sphere_volume(flat_angst, edge_angst), rel=0.01)


def test_halving_the_voxel_size_keeps_the_radius():
    source = gaussians((44, 46, 49), THREE, 3.0)
    whole, half = (made(source, voxel_size_angst=size).template for size in (10.0, 5.0))
    assert half.radius_angst == pytest.approx(whole.radius_angst, rel=0.03)


def test_a_dark_map_is_inverted_and_the_sign_is_told():
    source = gaussians((44, 46, 49), THREE, 3.0)
    bright, dark = made(source), made(5.0 - 2.0 * source)
    assert (bright.source_contrast, dark.source_contrast) == ("bright", "dark")
    np.testing.assert_allclose(dark.template.voxels, 2.0 * bright.template.voxels, atol=1e-4)
    forced = made(5.0 - 2.0 * source, contrast="dark")
    assert np.array_equal(forced.template.voxels, dark.template.voxels)
    with pytest.raises(BadInputError, match="other --contrast"):
        made(5.0 - 2.0 * source, contrast="bright")


def test_the_other_hand_is_the_mirror_image_with_its_mask():
    source = gaussians((44, 46, 49), THREE, 3.0)
    plain, other = made(source, mask="density"), made(source, mask="density", mirror_axis="y")
    assert (plain.template.hand, other.template.hand) == ("as_given", "mirrored")
    assert np.array_equal(other.template.voxels, mirrored(plain.template.voxels, "y"))
    np.testing.assert_allclose(other.template.mask, mirrored(plain.template.mask, "y"), atol=1e-6)


def test_a_large_map_is_located_coarsely_and_centred_finely():
    source = gaussians((160, 150, 170), [(83.7, 71.2, 88.9)], 15.0)
    template = made(source, 2.0, resolution_angst=25.0, box_vox=36).template
    assert np.abs(centroid(template.voxels)).max() < 0.02


def test_boxes_and_masks_that_do_not_fit_are_refused():
    source = ball((40, 40, 40), (20, 20, 20), 12.0)
    with pytest.raises(BadInputError, match="expected a box of at least 26 voxels"):
        made(source, box_vox=20)
    with pytest.raises(BadInputError, match="fits within the box of 32 voxels"):
        made(source, box_vox=32, mask_radius_angst=150.0)
    assert made(source, mask_radius_angst=250.0).template.box_vox >= 56
    with pytest.raises(BadInputError, match="fits 512 voxels a side"):
        made(source, voxel_size_angst=0.3)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"voxel_size_angst": 0.0}, "positive --voxel-size-angst, found 0"),
        ({"voxel_size_angst": math.nan}, "positive --voxel-size-angst, found nan"),
        ({"mass_kda": -3.0}, "positive --mass-kda"),
        ({"resolution_angst": 12.0}, "at least two voxels, 20 Å, found 12 Å"),
        ({"box_vox": 2}, "a box of 4 to 512 voxels, found 2"),
        ({"symmetry": "I"}, "symmetry C1, Cn or Dn, found 'I'"),
        ({"mask": "density", "mask_radius_angst": 90.0}, "leave --mask-radius-angst out"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(params, words):
    with pytest.raises(BadInputError, match=words):
        TemplateParams(**{"voxel_size_angst": 10.0, **params})


# --- symmetry ---------------------------------------------------------------------------------


def ring(n_fold, phase_deg=0.0, z_vox=0.0, tilted=False):
    """Blobs on a circle about the z axis, or the y axis where tilted, through (24, 24, 24)."""
    angles = np.deg2rad(phase_deg + 360.0 / n_fold * np.arange(n_fold))
    places = np.stack([np.full(n_fold, z_vox), 13 * np.sin(angles), 13 * np.cos(angles)], axis=1)
    return gaussians((48, 48, 48), (places[:, [1, 0, 2]] if tilted else places) + 24.0, 2.0)


@pytest.mark.parametrize(
    ("n_fold", "holds"),
    [(2, ("C2", "D2")), (3, ("C3", "D3")), (6, ("C2", "C3", "C6", "D6"))],
)
def test_rings_have_the_symmetries_they_were_built_with(n_fold, holds):
    mask = soft_sphere(48, 20.0, 3.0)
    for symmetry in holds:
        assert symmetry_correlation(ring(n_fold), mask, symmetry) > 0.99
    require_symmetry(ring(n_fold), mask, holds[-1], "ring")


@pytest.mark.parametrize(
    ("voxels", "symmetry"),
    [
        (ring(3), "C2"),
        (ring(4), "C3"),
        (ring(4, tilted=True), "C4"),
        # Two-folds along x only where the ring is level and starts there.
        (ring(3, z_vox=6.0), "D3"),
        (ring(3, phase_deg=30.0), "D3"),
    ],
)
def test_a_symmetry_that_a_map_lacks_is_refused_with_its_correlation(voxels, symmetry):
    mask = soft_sphere(48, 20.0, 3.0)
    found = symmetry_correlation(voxels, mask, symmetry)
    assert found < 0.9
    with pytest.raises(BadInputError, match=f"correlation of {found:.2f} with its turned copy"):
        require_symmetry(voxels, mask, symmetry, "ring")


def test_a_symmetric_map_passes_through_the_making():
    template = made(ring(4), symmetry="D4", voxel_size_angst=8.0).template
    assert template.symmetry == "D4"
    with pytest.raises(BadInputError, match="symmetry C5"):
        made(ring(4), symmetry="C5")
