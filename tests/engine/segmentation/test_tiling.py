import math

import numpy as np
from hypothesis import given, settings
from hypothesis.strategies import integers, sampled_from, tuples

from engine.segmentation.tiling import cheapest_tile, plan_tiles

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


@settings(deadline=None, max_examples=60)
@given(sides, integers(0, 13), sampled_from([2, 4, 8]), integers(20_000, 200_000))
def test_the_cheapest_tile_keeps_to_the_limit_and_beats_a_cube(shape, halo, multiple, largest):
    rounded = -(-halo // multiple) * multiple
    narrowest = 2 * rounded + multiple
    tile = cheapest_tile(shape, halo, multiple, largest)
    assert math.prod(tile) <= max(largest, narrowest**3)

    def computed(sides):
        tiles = plan_tiles(shape, sides, halo, multiple)
        return sum(
            math.prod(
                p.stop - p.start + after for p, (_, after) in zip(t.source, t.pad, strict=True)
            )
            for t in tiles
        )

    cube = max(narrowest, int(largest ** (1 / 3)) // multiple * multiple)
    if cube**3 <= largest:
        assert computed(tile) <= computed((cube, cube, cube))


def test_a_thin_tomogram_is_cut_along_its_section_only():
    assert cheapest_tile((117, 467, 467), 53, 8, 10_000_000)[0] == 120
