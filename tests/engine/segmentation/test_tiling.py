import numpy as np
from hypothesis import given, settings
from hypothesis.strategies import integers, sampled_from, tuples

from engine.segmentation.tiling import plan_tiles

sides = tuples(*[integers(1, 90)] * 3)
tiles = tuples(*[integers(8, 64)] * 3)


@settings(deadline=None, max_examples=60)
@given(sides, tiles, integers(0, 13), sampled_from([2, 4, 8]))
def test_cores_cover_every_voxel_exactly_once(shape, tile, halo, multiple):
    counts = np.zeros(shape, dtype=int)
    for one in plan_tiles(shape, tile, halo, multiple):
        counts[one.core] += 1
    assert (counts == 1).all()


@settings(deadline=None, max_examples=60)
@given(sides, tiles, integers(0, 13), sampled_from([2, 4, 8]))
def test_tiles_share_one_size_and_start_at_multiples(shape, tile, halo, multiple):
    sizes = set()
    for one in plan_tiles(shape, tile, halo, multiple):
        padded = [
            p.stop - p.start + after for p, (_, after) in zip(one.source, one.pad, strict=True)
        ]
        sizes.add(tuple(padded))
        assert all(size % multiple == 0 for size in padded)
        assert all(part.start % multiple == 0 for part in one.source)
        for source, crop, core in zip(one.source, one.crop, one.core, strict=True):
            assert source.start + crop.start == core.start
            assert source.start + crop.stop == core.stop
    assert len(sizes) == 1


@settings(deadline=None, max_examples=60)
@given(sides, tiles, integers(0, 13), sampled_from([2, 4, 8]))
def test_every_core_has_its_halo_or_the_face_of_the_volume(shape, tile, halo, multiple):
    for one in plan_tiles(shape, tile, halo, multiple):
        for n, source, core in zip(shape, one.source, one.core, strict=True):
            assert source.start == 0 or core.start - source.start >= halo
            assert source.stop == n or source.stop - core.stop >= halo
