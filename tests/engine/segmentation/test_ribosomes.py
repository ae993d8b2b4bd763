import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.data.filaments import Filament
from engine.data.provenance import FileDigest, Provenance
from engine.data.tomogram import Tomogram
from engine.segmentation.context import Context
from engine.segmentation.inference import Network
from engine.segmentation.logits import pack_logits
from engine.segmentation.network_files import NetworkSpec
from engine.segmentation.ribosomes import (
    RADIUS_NM,
    Ribosomes,
    ball_mask,
    beside_filaments,
    find_ribosomes,
    peaks,
)
from engine.segmentation.small_bodies import SmallBodiesView, small_bodies_view

VOXEL_NM = 4.8
SHAPE = (24, 30, 34)
NOTHING = Context(np.zeros((0, 2, 2, 2), np.uint8), 6.4)


def blobs(centres_vox, shape=SHAPE, height=6.0):
    """Logits with a smooth peak at each centre, low elsewhere."""
    grid = np.stack(np.indices(shape), axis=-1).astype(float)
    logits = np.full(shape, -8.0)
    for centre in np.atleast_2d(centres_vox):
        squared = ((grid - centre) ** 2).sum(axis=-1)
        logits = np.maximum(logits, -8.0 + height * 2.0 * np.exp(-squared / 4.0))
    return logits


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(*(st.integers(3, n - 4) for n in SHAPE)), min_size=1, max_size=6))
def test_every_peak_is_found_once(places):
    places = np.array(places, dtype=float)
    apart = np.linalg.norm(places[:, None] - places[None], axis=2)
    # 25 nm apart, as ribosomes that touch are.
    kept = [i for i in range(len(places)) if not (apart[i, :i] < 25.0 / VOXEL_NM).any()]
    kept = [i for i in kept if all(i == j or apart[i, j] >= 25.0 / VOXEL_NM for j in kept)]
    truth = places[kept]
    found, values = peaks(pack_logits(blobs(truth)), VOXEL_NM, 0.5)
    assert len(found) == len(truth)
    nearest = np.linalg.norm(found[:, None] - truth[None], axis=2).min(axis=0)
    assert nearest.max() < 0.5
    assert (values > 0.9).all()


def test_a_peak_between_voxels_lies_between_them():
    found, _ = peaks(pack_logits(blobs([10.0, 12.5, 14.5])), VOXEL_NM, 0.5)
    np.testing.assert_allclose(found, [[10.0, 12.5, 14.5]], atol=0.3)


def test_where_nothing_is_likely_there_is_none():
    found, values = peaks(pack_logits(np.full(SHAPE, -6.0)), VOXEL_NM, 0.5)
    assert found.shape == (0, 3)
    assert values.shape == (0,)


def test_balls_have_a_ribosomes_core_and_end_at_the_faces():
    shape, voxel_nm = (40, 41, 42), 2.0
    centres = np.array([[20.0, 20.0, 20.0], [20.0, 20.0, 26.0], [0.0, 5.0, 41.0]]) * 20.0
    mask = ball_mask(shape, centres, voxel_nm).read(tuple(slice(0, n) for n in shape))
    grid = np.stack(np.indices(shape), axis=-1) * voxel_nm
    away = np.linalg.norm(grid[..., None, :] - centres / 10.0, axis=-1).min(axis=-1)
    np.testing.assert_array_equal(mask, away <= RADIUS_NM)


class Brightness:
    """A network that takes bright voxels for ribosomes."""

    name = "brightness"

    def run(self, tile):
        return 3.0 * tile[:1] - 13.0

    def release_memory(self):
        pass


def brightness(threshold):
    spec = NetworkSpec(
        "brightness", "fine", VOXEL_NM, ("ribosome",), 0, 1, FileDigest("m", "0"),
        mask_thresholds={"ribosome": threshold},
    )  # fmt: skip
    return Network(spec, Brightness())


@pytest.mark.parametrize("voxel_nm", [2.4, 4.8])
def test_places_are_those_of_the_tomogram(voxel_nm):
    rng = np.random.default_rng(0)
    truth_nm = np.array([[40.0, 60.0, 50.0], [60.0, 100.0, 120.0]])
    shape = tuple(int(n * VOXEL_NM / voxel_nm) for n in SHAPE)
    grid = np.stack(np.indices(shape), axis=-1) * voxel_nm
    voxels = 0.2 * rng.normal(size=shape)
    for place in truth_nm:
        voxels += 1.4 * np.exp(-((grid - place) ** 2).sum(axis=-1) / (2 * 9.0**2))
    tomogram = Tomogram(
        "t", voxels.astype(np.float32), 10.0 * voxel_nm, None, "bright", Provenance("", "")
    )
    view = small_bodies_view(tomogram, brightness(0.9), NOTHING, lambda fraction: None)
    found = find_ribosomes(view, shape, voxel_nm)
    assert len(found.centres_angst) == 2
    apart = np.linalg.norm(found.centres_angst[:, None] / 10.0 - truth_nm[None], axis=2)
    assert apart.min(axis=0).max() < 4.0
    assert (found.confidence >= 0.9).all()


def test_a_piece_of_a_microtubules_wall_is_no_ribosome():
    axis = np.stack([np.zeros(50), np.zeros(50), np.arange(50) * 20.0], axis=1)
    line = Filament(1, "microtubule", axis, True, True, 1.0)
    places = np.array([[100.0, 0.0, 500.0], [260.0, 0.0, 500.0], [0.0, 0.0, 1400.0]])
    found = Ribosomes(places, np.array([0.9, 0.8, 0.7]))
    kept = beside_filaments(found, [line])
    np.testing.assert_allclose(kept.confidence, [0.8, 0.7])
    assert beside_filaments(found, []) is found


def test_a_network_without_the_output_says_nothing():
    view = SmallBodiesView({"matrix_granule": np.zeros(SHAPE, np.uint8)}, VOXEL_NM, {})
    assert find_ribosomes(view, SHAPE, VOXEL_NM) is None
