import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from engine.classification.extraction import at_sampling, extract_subtomograms, normalised
from engine.data.orientations import no_rotations
from engine.data.particles import ParticleSet
from engine.data.provenance import Provenance
from engine.data.subtomograms import SubtomogramStack
from engine.data.tomogram import Tomogram
from engine.errors import BadInputError

NOTHING = Provenance("0", "0")


def particles(positions):
    n = len(positions)
    turns = Rotation.identity(n) if n else no_rotations()
    return ParticleSet(np.array(positions, dtype=float), turns, ("t",) * n, ("x",) * n)


def ball(shape, centre, radius):
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)
    distance = np.linalg.norm(grid - np.array(centre), axis=-1)
    return (1.0 / (1.0 + np.exp((distance - radius) / 0.7))).astype(np.float32)


def tomogram(voxels, voxel_size=10.0):
    return Tomogram("t", voxels, voxel_size, None, "bright", NOTHING)


@pytest.mark.parametrize("box", [8, 9])
@pytest.mark.parametrize("voxel_size", [10.0, 20.0, 14.0])
def test_a_particle_lies_in_the_middle_of_its_box(box, voxel_size):
    scene = tomogram(ball((60, 60, 60), (28, 35, 21), 6.0))
    stack, kept = extract_subtomograms(scene, particles([(280.0, 350.0, 210.0)]), box, voxel_size)
    assert kept.tolist() == [0]
    assert stack.voxels.shape == (1, box, box, box)
    volume = stack.voxels[0].astype(float)
    axes = np.ogrid[:box, :box, :box]
    centre = [float((volume * axis).sum() / volume.sum()) for axis in axes]
    np.testing.assert_allclose(centre, box // 2, atol=0.6 if box * voxel_size > 130 else 1.0)


def test_boxes_over_the_edge_are_filled_and_those_outside_left_out():
    scene = tomogram(np.full((30, 30, 30), 4.0, dtype=np.float32))
    places = [(150, 150, 150), (10, 150, 150), (150, 150, 900)]
    stack, kept = extract_subtomograms(scene, particles(places), 10, 10.0)
    assert kept.tolist() == [0, 1]
    assert stack.names == ("t:1", "t:2")
    np.testing.assert_array_equal(stack.voxels, 4.0)
    with pytest.raises(BadInputError, match="none of 1 particles"):
        extract_subtomograms(scene, particles(places[2:]), 10, 10.0)
    with pytest.raises(BadInputError, match="does not fit"):
        extract_subtomograms(scene, particles(places), 80, 10.0)


@settings(max_examples=20, deadline=None)
@given(ratio=st.floats(0.6, 2.2), side=st.integers(6, 12))
def test_resampled_boxes_keep_size_and_centre(ratio, side):
    """A ball keeps its second moment in angstrom, and its centre on the middle voxel."""
    big = 40
    stack = SubtomogramStack(
        ball((big,) * 3, (big // 2,) * 3, 4.0)[None], 10.0, ("a",), ("",), NOTHING
    )
    side = max(side, int(np.ceil(16 / ratio)))
    if side * ratio > big:
        return
    found = at_sampling(stack, side, 10.0 * ratio)
    axis = np.arange(side) - side // 2
    volume = found.voxels[0].astype(float)
    offsets = [float((volume.sum(axis=tuple({0, 1, 2} - {k})) * axis).sum()) for k in range(3)]
    np.testing.assert_allclose(np.array(offsets) / volume.sum(), 0.0, atol=0.3)
    assert volume.sum() * ratio**3 == pytest.approx(float(stack.voxels.sum()), rel=0.15)


def test_smaller_boxes_are_cut_and_too_small_ones_refused():
    stack = SubtomogramStack(
        np.random.default_rng(1).normal(size=(2, 12, 12, 12)), 10.0, ("a", "b"), ("", ""), NOTHING
    )
    cut = at_sampling(stack, 8, 10.0)
    np.testing.assert_array_equal(cut.voxels, stack.voxels[:, 2:10, 2:10, 2:10])
    assert at_sampling(stack, 12, 10.0) is stack
    with pytest.raises(BadInputError, match=r"too small: expected 24 voxels"):
        at_sampling(stack, 12, 20.0)


def test_normalised_boxes_have_no_mean_and_unit_variance():
    rng = np.random.default_rng(2)
    stack = SubtomogramStack(
        3.0 + 2.0 * rng.normal(size=(4, 6, 6, 6)), 10.0, tuple("abcd"), ("",) * 4, NOTHING
    )
    flat = normalised(stack).reshape(4, -1)
    np.testing.assert_allclose(flat.mean(axis=1), 0.0, atol=1e-5)
    np.testing.assert_allclose(flat.std(axis=1), 1.0, atol=1e-5)
    constant = SubtomogramStack(np.ones((1, 4, 4, 4)), 10.0, ("a",), ("",), NOTHING)
    with pytest.raises(BadInputError, match="subtomogram a is constant"):
        normalised(constant)
