import numpy as np
import pytest
from scipy.special import logit

from engine.segmentation.logits import pack_logits
from engine.segmentation.tracing import TracingParams, _ends, trace_filaments

VOXEL_NM = 2.4
SHAPE = (40, 120, 120)
EXTENT = tuple((n - 1) * VOXEL_NM for n in SHAPE)


def tubes(*lines, shape=SHAPE, radius_nm=9.0):
    """Core probability of straight, flat-ended cylinders between pairs of points (nm)."""
    grid = np.stack(np.meshgrid(*[np.arange(n) * VOXEL_NM for n in shape], indexing="ij"), -1)
    best = np.zeros(shape)
    for ends in lines:
        start, end = np.asarray(ends, float)
        length = np.linalg.norm(end - start)
        along = (end - start) / length
        axial = (grid - start) @ along
        across = np.linalg.norm(grid - start - axial[..., None] * along, axis=-1)
        # Half a voxel of softness at the wall and at both caps.
        inside = np.minimum.reduce([radius_nm - across, axial, length - axial])
        best = np.maximum(best, np.clip(inside / VOXEL_NM + 0.5, 0.0, 1.0))
    return coded(best)


def coded(probability):
    """Codes of a network's logits that are sure of what is nothing."""
    return pack_logits(logit(np.clip(probability, 5e-5, 1.0 - 5e-5)))


def trace(core, **changes):
    return trace_filaments(core, VOXEL_NM, EXTENT, TracingParams(**changes))


def test_nothing_is_found_in_nothing():
    assert trace(coded(np.zeros(SHAPE))) == ()


@pytest.mark.parametrize(
    "line",
    [
        ((48, 40, 40), (48, 240, 240)),
        ((48, 140, 30), (48, 140, 250)),
        ((20, 60, 60), (75, 220, 200)),
        ((48, 60, 200), (52, 230, 60)),
    ],
)
def test_length_of_a_straight_tube_is_right_to_two_percent(line):
    (found,) = trace(tubes(line))
    assert found.length_nm == pytest.approx(np.linalg.norm(np.subtract(*line)), rel=0.02)
    assert not found.starts_at_border
    assert not found.ends_at_border


def test_a_tube_through_both_faces_has_the_length_of_the_box():
    (found,) = trace(tubes(((48, -30, 120), (48, 330, 150))))
    expected = 120 * VOXEL_NM * np.hypot(1.0, 30 / 360)
    assert found.starts_at_border
    assert found.ends_at_border
    assert found.length_nm == pytest.approx(expected, rel=0.01)


def test_crossing_tubes_are_two_and_keep_their_lengths():
    lines = (((45, 40, 40), (45, 240, 240)), ((45, 40, 240), (45, 240, 40)))
    found = trace(tubes(*lines))
    assert len(found) == 2
    for one in found:
        assert one.length_nm == pytest.approx(200 * 2**0.5, rel=0.03)


def test_parallel_neighbours_at_26_nm_stay_apart():
    found = trace(tubes(((48, 100, 30), (48, 100, 250)), ((48, 126, 30), (48, 126, 250))))
    assert len(found) == 2
    assert sum(one.length_nm for one in found) == pytest.approx(440, rel=0.03)


def test_a_gap_of_40_nm_is_bridged_and_one_of_90_is_not():
    near = trace(tubes(((48, 140, 20), (48, 140, 120)), ((48, 140, 160), (48, 140, 260))))
    assert len(near) == 1
    assert near[0].length_nm == pytest.approx(240, rel=0.03)
    far = trace(tubes(((48, 140, 20), (48, 140, 95)), ((48, 140, 190), (48, 140, 270))))
    assert len(far) == 2


def test_a_blob_is_no_filament():
    assert trace(tubes(((48, 140, 135), (48, 140, 145)))) == ()


def test_mirrored_volume_gives_mirrored_lengths():
    core = tubes(((30, 50, 40), (60, 200, 230)), ((50, 220, 30), (50, 250, 200)))
    plain = sorted(one.length_nm for one in trace(core))
    mirrored = sorted(one.length_nm for one in trace(core[:, ::-1, ::-1].copy()))
    np.testing.assert_allclose(mirrored, plain, rtol=0.02)


def test_the_ends_of_a_ring_have_a_direction():
    """A short line that comes back to where it began: its chord has no length."""
    around = np.linspace(0.0, 2.0 * np.pi, 5)
    ring = np.stack([np.zeros(5), 10.0 * np.cos(around), 10.0 * np.sin(around)], axis=1)
    for _, direction in _ends(ring):
        assert np.linalg.norm(direction) > 1.0
    straight = np.stack([np.arange(9.0), np.zeros(9), np.zeros(9)], axis=1)
    (_, first), (_, last) = _ends(straight)
    assert first[0] < 0 < last[0]
    assert first[1:].tolist() == last[1:].tolist() == [0.0, 0.0]
