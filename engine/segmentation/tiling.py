"""Tiles with halos that cover a volume exactly once."""

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
