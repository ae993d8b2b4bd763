import numpy as np
import pytest

from engine.data.organelles import Organelle
from engine.segmentation.logits import pack_logits
from engine.segmentation.matrix_granules import with_matrix_granules
from engine.segmentation.small_bodies import SmallBodiesView

VOXEL_NM, VIEW_NM = 2.4, 4.8
SHAPE = (60, 80, 100)


def organelle(number, name="mitochondrion"):
    return Organelle(number, name, 0.01, 0.1, 0.8, (0.0, 0.0, 0.0), False, 0.9)


def scene(balls_nm, thresholds=None):
    """Two mitochondria side by side and a granule; the view sees balls (z, y, x, radius)."""
    ids = np.zeros(SHAPE, np.uint16)
    ids[10:50, 10:70, 5:45] = 1
    ids[10:50, 10:70, 45:80] = 2
    ids[10:50, 10:70, 85:95] = 3
    grid = VIEW_NM * np.stack(np.indices(tuple(n // 2 for n in SHAPE)), axis=-1)
    logits = np.full(grid.shape[:3], -6.0)
    for *centre, radius in balls_nm:
        logits[np.linalg.norm(grid - centre, axis=-1) <= radius] = 2.0
    view = SmallBodiesView({"matrix_granule": pack_logits(logits)}, VIEW_NM, thresholds or {})
    bodies = [organelle(1), organelle(2), organelle(3, "alpha_granule")]
    return with_matrix_granules(bodies, ids, VOXEL_NM, view)


def test_granules_are_counted_where_they_lie_and_sized():
    first, second, other = scene([(70, 60, 60, 20), (70, 130, 60, 12), (70, 90, 150, 25)])
    assert (first.n_matrix_granules, second.n_matrix_granules) == (2, 1)
    assert first.matrix_granule_diameter_nm == pytest.approx(32.0, rel=0.08)
    assert second.matrix_granule_diameter_nm == pytest.approx(50.0, rel=0.08)
    # Only mitochondria have any.
    assert other.n_matrix_granules is None


def test_one_on_the_border_of_two_mitochondria_counts_for_that_which_holds_more():
    first, second, _ = scene([(70, 60, 113, 20)])
    assert (first.n_matrix_granules, second.n_matrix_granules) == (0, 1)


def test_specks_what_lies_elsewhere_and_doubtful_ones_do_not_count():
    outside, speck = (10, 10, 10, 14), (70, 60, 60, 2)
    first, second, _ = scene([outside, speck, (70, 100, 215, 14)])
    assert (first.n_matrix_granules, second.n_matrix_granules) == (0, 0)
    assert first.matrix_granule_diameter_nm is None
    first, _, _ = scene([(70, 60, 60, 20)], {"matrix_granule": 0.95})
    assert first.n_matrix_granules == 0


def test_a_network_that_does_not_look_for_them_changes_nothing():
    bodies = (organelle(1),)
    view = SmallBodiesView({"ribosome": np.zeros((3, 3, 3), np.uint8)}, VIEW_NM, {})
    assert with_matrix_granules(bodies, np.ones(SHAPE, np.uint16), VOXEL_NM, view) == bodies
