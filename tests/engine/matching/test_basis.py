import numpy as np
import pytest
from scipy.ndimage import spline_filter
from scipy.spatial.transform import Rotation

from engine.matching.basis import template_basis
from engine.matching.masked_template import masked_template, rotate_volume, voxel_offsets_xyz
from tests.engine.matching.scenes import BOX, structure, template


def rotated_copies(masked, rotations):
    spline = spline_filter(masked.voxels.astype(np.float64), order=3)
    offsets = voxel_offsets_xyz(masked.voxels.shape[0])
    return np.array([rotate_volume(spline, rotation, offsets) for rotation in rotations])


@pytest.mark.parametrize("n_templates", [1, 3])
def test_every_rotation_keeps_99_percent_of_its_correlation(n_templates):
    masked = tuple(masked_template(template(seed, name=str(seed))) for seed in range(n_templates))
    basis = template_basis(masked, keep=0.992, largest=400)
    rotations = Rotation.random(60, rng=np.random.default_rng(0))
    for number in range(n_templates):
        copies = rotated_copies(masked[number], rotations)
        images = basis.coefficients_of(number, rotations) @ basis.volumes.reshape(basis.size, -1)
        correlation = (copies * images).sum(axis=1) / (
            np.linalg.norm(copies, axis=1) * np.linalg.norm(images, axis=1)
        )
        assert correlation.min() >= 0.99


def test_it_keeps_as_much_as_as_many_singular_vectors_of_rotated_copies():
    """Both judged on rotations that neither has seen."""
    masked = masked_template(template())
    basis = template_basis((masked,), keep=0.992, largest=400)
    rng = np.random.default_rng(1)
    copies = rotated_copies(masked, Rotation.random(600, rng=rng))
    unseen = rotated_copies(masked, Rotation.random(60, rng=rng))
    vectors = np.linalg.svd(copies, full_matrices=False)[2][: basis.size]
    ours = np.linalg.qr(basis.volumes.reshape(basis.size, -1).T)[0].T
    kept = [np.linalg.norm(unseen @ rows.T, axis=1).mean() for rows in (ours, vectors)]
    assert kept[0] >= kept[1] - 0.002


def test_axes_and_sense_of_rotation():
    """A blob on +x goes to +y by a quarter turn about z."""
    voxels = np.zeros((BOX,) * 3, dtype=np.float32)
    voxels[12, 12, 17] = 1.0
    spline = spline_filter(voxels.astype(np.float64), order=3)
    turned = rotate_volume(
        spline, Rotation.from_euler("z", 90, degrees=True), voxel_offsets_xyz(BOX)
    ).reshape((BOX,) * 3)
    assert np.unravel_index(turned.argmax(), turned.shape) == (12, 17, 12)


def test_a_basis_that_may_not_grow_says_what_it_keeps():
    basis = template_basis((masked_template(template()),), keep=0.999, largest=30)
    assert basis.size <= 30
    assert 0.5 < basis.kept_correlation[0] < 0.999


def test_the_masked_template_is_mean_free_and_of_unit_norm():
    masked = masked_template(template(voxels=structure() + 5.0))
    assert abs(masked.voxels.sum()) < 1e-3
    assert np.linalg.norm(masked.voxels) == pytest.approx(1.0, rel=1e-5)
    assert np.allclose(masked.voxels, masked_template(template()).voxels, atol=1e-5)
