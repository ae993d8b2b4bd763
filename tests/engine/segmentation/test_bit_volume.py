import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.segmentation.bit_volume import BitVolume


@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 40)),
    n_boxes=st.integers(1, 5),
    seed=st.integers(0, 2**32 - 1),
)
def test_boxes_written_are_those_of_a_plain_volume(shape, n_boxes, seed):
    rng = np.random.default_rng(seed)
    plain, bits = np.zeros(shape, dtype=bool), BitVolume(shape)
    for _ in range(n_boxes):
        # Empty boxes too: a tile may hold no voxel of a coarser tomogram.
        box = tuple(slice(*sorted(map(int, rng.integers(0, n + 1, size=2)))) for n in shape)
        values = rng.random(plain[box].shape) < 0.5
        plain[box] = values
        bits.write(box, values)
    np.testing.assert_array_equal([bits.section(z) for z in range(shape[0])], plain)
