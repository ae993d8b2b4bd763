"""Tiles with halos that cover a volume exactly once."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Tile:
    """One tile.

    Attributes
    ----------
    source
        Box of the volume to read.
    pad
        Voxels to add behind each axis (edge values) to reach the network's multiple.
    crop
        Box within the tile's output to keep.
    core
        Box of the volume that the kept part fills.
    """

    source: Box
    pad: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
    crop: Box
    core: Box

    @property
    def is_padded(self) -> bool:
        """True where `pad` is not all zero."""
        return any(after for _, after in self.pad)


def plan_tiles(
    shape: tuple[int, ...], tile_vox: tuple[int, int, int], halo_vox: int, multiple: int
) -> list[Tile]:
    """Tiles of one common size that cover `shape`; cores do not overlap.

    Parameters
    ----------
    tile_vox
        Wanted input size with halo, rounded to the multiple; an axis that fits is not cut.
    halo_vox
        Rounded up to the multiple here.
    """
    halo = -(-halo_vox // multiple) * multiple
    axes = [_axis_tiles(n, size, halo, multiple) for n, size in zip(shape, tile_vox, strict=True)]
    tiles = []
    for z, y, x in product(*axes):
        parts = (z, y, x)
        tiles.append(
            Tile(
                source=_box(part[0] for part in parts),
                pad=tuple((0, part[1]) for part in parts),  # type: ignore[arg-type]
                crop=_box(part[2] for part in parts),
                core=_box(part[3] for part in parts),
            )
        )
    return tiles


def cheapest_tile(
    shape: tuple[int, ...], halo_vox: int, multiple: int, largest_vox: int
) -> tuple[int, int, int]:
    """Sides of the tile (z, y, x) of at most `largest_vox` that computes the fewest voxels in all.

    A thin volume is best cut along its section only, a thick one along every axis; a side that
    just covers its axis in k tiles wastes nothing but the halos. Where even the narrowest tile is
    larger than `largest_vox`, it is taken.
    """
    halo = -(-halo_vox // multiple) * multiple
    axes = [_candidate_sides(n, halo, multiple) for n in shape]
    best, least = tuple(choices[-1][1] for choices in axes), math.inf
    for sides in product(*axes):
        computed = math.prod(count * side for count, side in sides)
        if computed < least and math.prod(side for _, side in sides) <= largest_vox:
            best, least = tuple(side for _, side in sides), computed
    z, y, x = best
    return z, y, x


def _candidate_sides(n: int, halo: int, multiple: int) -> list[tuple[int, int]]:
    """(number of tiles, smallest side that covers n with them), from one tile up."""
    padded = -(-n // multiple) * multiple
    candidates = [(1, padded)]
    narrowest = 2 * halo + multiple
    while candidates[-1][1] > narrowest:
        count = candidates[-1][0] + 1
        side = -(-(padded + (count - 1) * 2 * halo) // count)
        candidates.append((count, max(narrowest, -(-side // multiple) * multiple)))
    return candidates


def _box(slices: Iterable[slice]) -> Box:
    z, y, x = slices
    return z, y, x


def _axis_tiles(
    n: int, wanted: int, halo: int, multiple: int
) -> list[tuple[slice, int, slice, slice]]:
    """(source, padding behind, crop, core) of every tile along one axis."""
    padded = -(-n // multiple) * multiple
    size = max(wanted // multiple * multiple, 2 * halo + multiple)
    if padded <= size:
        return [(slice(0, n), padded - n, slice(0, n), slice(0, n))]
    step = size - 2 * halo
    starts = [*range(0, padded - size, step), padded - size]
    tiles = []
    for index, start in enumerate(starts):
        first = 0 if index == 0 else start + halo
        last = n if index == len(starts) - 1 else starts[index + 1] + halo
        stop = min(start + size, n)
        tiles.append(
            (
                slice(start, stop),
                start + size - stop,
                slice(first - start, last - start),
                slice(first, last),
            )
        )
    return tiles
