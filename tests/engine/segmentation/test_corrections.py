import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.data.organelles import Organelle
from engine.errors import BadInputError
from engine.segmentation.corrections import Correction, corrected

VOXEL_NM = 5.0


def correction(kind, *numbers, seeds=(), reason="seen in the section"):
    return Correction(kind, numbers, reason, "r1", "2026-01-01T00:00:00+00:00", seeds)


def scene():
    """Two touching cubes as one instance, one cube cut by a face, one granule."""
    ids = np.zeros((24, 30, 40), np.uint16)
    ids[4:14, 4:14, 4:24] = 1
    ids[16:24, 16:26, 4:14] = 2
    ids[4:10, 20:26, 30:36] = 3
    organelles = (
        Organelle(1, "mitochondrion", 2.5e-4, 0.02, 0.8, (425.0, 425.0, 675.0), False, 0.9),
        Organelle(2, "mitochondrion", 1e-4, 0.02, 0.8, (975.0, 1025.0, 425.0), True, 0.9),
        Organelle(3, "alpha_granule", 2.7e-5, 0.01, 0.8, (325.0, 1125.0, 1625.0), False, 0.9),
    )
    return ids, organelles


def apply(*corrections):
    ids, organelles = scene()
    return corrected(ids, organelles, corrections, VOXEL_NM)


def test_nothing_done_changes_nothing():
    ids, organelles = scene()
    result = apply()
    assert np.array_equal(result.ids, ids)
    assert result.organelles == organelles
    assert result.accepted == frozenset()


def test_accepting_changes_no_instance_and_rejecting_takes_one_away():
    result = apply(correction("accept", 1), correction("reject", 2))
    assert result.accepted == {1}
    assert [one.instance_id for one in result.organelles] == [1, 3]
    assert not (result.ids == 2).any()


def test_a_split_gives_each_voxel_to_its_nearest_seed_and_volumes_add_up():
    seeds = ((45.0, 45.0, 45.0), (45.0, 45.0, 95.0))
    result = apply(correction("split", 1, seeds=seeds))
    assert [one.instance_id for one in result.organelles] == [1, 2, 3, 4]
    first, new = result.organelles[0], result.organelles[3]
    assert first.volume_um3 + new.volume_um3 == pytest.approx(2000 * 125e-9)
    assert first.centroid_angst[2] < new.centroid_angst[2]
    assert new.organelle_class == "mitochondrion"
    assert not new.touches_border


def test_merging_the_parts_of_a_split_gives_back_the_body():
    seeds = ((45.0, 45.0, 45.0), (45.0, 45.0, 95.0))
    result = apply(correction("split", 1, seeds=seeds), correction("merge", 1, 4))
    assert np.array_equal(result.ids, scene()[0])
    assert result.organelles[0].volume_um3 == pytest.approx(2000 * 125e-9)


def test_a_merged_body_touches_what_its_parts_touch():
    result = apply(correction("merge", 1, 2))
    (body,) = (one for one in result.organelles if one.organelle_class == "mitochondrion")
    assert body.touches_border
    assert not body.is_counted_unbiased


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: apply(correction("reject", 9)), "no instance 9"),
        (lambda: apply(correction("reject", 2), correction("accept", 2)), "no instance 2"),
        (lambda: apply(correction("merge", 1, 3)), "alpha_granule"),
        (lambda: correction("merge", 1), "2 instances"),
        (lambda: correction("split", 1), "--at"),
        (lambda: correction("accept", 1, reason=" "), "reason"),
        (lambda: apply(correction("split", 1, seeds=((45, 45, 45), (0, 0, 0)))), "not inside"),
        (lambda: apply(correction("split", 1, seeds=((45, 45, 45), (999, 0, 0)))), "not inside"),
    ],
)
def test_what_does_not_fit_is_refused_with_words(make, words):
    with pytest.raises(BadInputError, match=words):
        make()


@given(st.lists(st.sampled_from([1, 2, 3]), unique=True, max_size=3))
def test_rejecting_leaves_just_the_others(numbers):
    result = apply(*(correction("reject", number) for number in numbers))
    assert {one.instance_id for one in result.organelles} == {1, 2, 3} - set(numbers)
    assert set(np.unique(result.ids)) - {0} == {1, 2, 3} - set(numbers)
