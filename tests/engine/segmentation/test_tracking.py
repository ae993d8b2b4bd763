import numpy as np
import pytest

from engine.segmentation.logits import (
    code_of,
    pack_logits,
    probability_of,
    unpack_logits,
)
from engine.segmentation.tracing import TracingParams, trace_filaments
from engine.segmentation.tracking import LogitField, TrackingParams, followed

VOXEL_NM = 2.4
SHAPE = (40, 160, 160)
EXTENT = tuple((n - 1) * VOXEL_NM for n in SHAPE)
NOTHING, FAINT, CLEAR = -9.5, -4.0, 4.0


def field_of(start, end, levels, period_nm=90.0, radius_nm=9.0, seed=0):
    """Logits of a straight tube (nm) whose evidence changes along it: levels in turn."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[np.arange(n) * VOXEL_NM for n in SHAPE], indexing="ij"), -1)
    start, end = np.asarray(start, float), np.asarray(end, float)
    length = np.linalg.norm(end - start)
    along = (end - start) / length
    axial = (grid - start) @ along
    across = np.linalg.norm(grid - start - axial[..., None] * along, axis=-1)
    inside = (across <= radius_nm) & (axial >= 0) & (axial <= length)
    step = period_nm / len(levels)
    level = np.array(levels)[(axial / step).astype(int) % len(levels)]
    logits = np.where(inside, level, NOTHING) + rng.normal(0.0, 0.7, SHAPE)
    return pack_logits(logits)


def trace(codes, **changes):
    return trace_filaments(codes, VOXEL_NM, EXTENT, TracingParams(**changes))


def test_codes_hold_logits_to_a_twentieth():
    logits = np.linspace(-10.0, 10.0, 500)
    np.testing.assert_allclose(unpack_logits(pack_logits(logits)), logits, atol=0.05)


@pytest.mark.parametrize("probability", [0.02, 0.35, 0.5, 0.65, 0.98])
def test_a_threshold_s_code_is_the_first_that_reaches_it(probability):
    code = code_of(probability)
    at, below = probability_of(unpack_logits(np.array([code, code - 1])))
    assert at >= probability - 1e-9 > below


@pytest.mark.parametrize(
    ("start", "end", "last_clear_nm"),
    [((48, 40, 40), (48, 340, 340), 400.0), ((30, 190, 30), (66, 200, 350), 280.0)],
)
def test_a_tube_seen_in_a_third_of_its_length_is_traced_to_its_last_clear_part(
    start, end, last_clear_nm
):
    codes = field_of(start, end, (CLEAR, FAINT, FAINT), period_nm=120.0)
    (found,) = trace(codes)
    assert found.length_nm == pytest.approx(last_clear_nm, rel=0.03)


def test_a_clear_tube_is_not_followed_beyond_its_end():
    codes = field_of((48, 190, 60), (48, 190, 260), (CLEAR,))
    (found,) = trace(codes)
    assert found.length_nm == pytest.approx(200.0, rel=0.03)


@pytest.mark.parametrize("seed", range(3))
def test_scattered_blobs_are_no_filaments(seed):
    rng = np.random.default_rng(seed)
    logits = rng.normal(NOTHING, 0.7, SHAPE)
    ball = np.linalg.norm(np.indices((9, 9, 9)) - 4, axis=0) <= 3.75
    for _ in range(12):
        corner = [int(rng.integers(0, n - 9)) for n in SHAPE]
        box = tuple(slice(start, start + 9) for start in corner)
        logits[box][ball] = CLEAR
    assert trace(pack_logits(logits)) == ()


def test_following_stays_on_a_curve():
    grid = np.stack(np.meshgrid(*[np.arange(n) * VOXEL_NM for n in SHAPE], indexing="ij"), -1)
    radius, centre = 260.0, np.array([48.0, 20.0, 20.0])
    flat = np.linalg.norm((grid - centre)[..., 1:], axis=-1)
    off = np.hypot(flat - radius, grid[..., 0] - centre[0])
    codes = pack_logits(np.where(off <= 9.0, FAINT, NOTHING))
    start = centre + np.array([0.0, radius, 0.0]) + np.array([0.0, 0.0, 10.0])
    line = followed(LogitField(codes, VOXEL_NM), start, np.array([0.0, 0.0, 1.0]), TrackingParams())
    distance = np.linalg.norm((line - centre)[:, 1:], axis=1)
    assert len(line) * 6.0 > 300.0
    np.testing.assert_allclose(distance, radius, atol=9.0)
