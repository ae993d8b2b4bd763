"""Correlations of a tomogram with a template basis, tile by tile."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from scipy.fft import next_fast_len
from torch import Tensor

from engine.data.arrays import Ints
from engine.matching.basis import TemplateBasis
from engine.matching.matched_volume import MatchedVolume
from engine.matching.transforms import forward, inverse_inner, spectrum_of_small


@dataclass(frozen=True)
class Tile:
    """A box of output voxels: first and one past the last voxel, (z, y, x)."""

    start: tuple[int, int, int]
    stop: tuple[int, int, int]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels (z, y, x)."""
        z, y, x = (b - a for a, b in zip(self.start, self.stop, strict=True))
        return z, y, x

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """For indexing the volume."""
        z, y, x = (slice(a, b) for a, b in zip(self.start, self.stop, strict=True))
        return z, y, x


@dataclass(frozen=True)
class TilePlan:
    """Tiles that cover a region, all transformed at one shape."""

    tiles: tuple[Tile, ...]
    fft_shape: tuple[int, int, int]
    halo_vox: int


def plan_tiles(region: Tile, halo_vox: int, largest_vox: int) -> TilePlan:
    """Cut a region into equal tiles of at most `largest_vox` transformed voxels each."""
    sides = region.shape
    parts = [1, 1, 1]

    def fft_shape() -> tuple[int, int, int]:
        z, y, x = (
            int(next_fast_len(math.ceil(n / p) + 2 * halo_vox, real=True))
            for n, p in zip(sides, parts, strict=True)
        )
        return z, y, x

    while math.prod(fft_shape()) > largest_vox:
        steps = [math.ceil(n / p) for n, p in zip(sides, parts, strict=True)]
        axis = int(np.argmax(steps))
        if steps[axis] <= 2 * halo_vox:
            break
        parts[axis] += 1
    steps = [math.ceil(n / p) for n, p in zip(sides, parts, strict=True)]
    starts = [
        range(low, high, step)
        for low, high, step in zip(region.start, region.stop, steps, strict=True)
    ]
    tiles = tuple(
        _tile_at((z, y, x), steps, region.stop)
        for z in starts[0]
        for y in starts[1]
        for x in starts[2]
    )
    return TilePlan(tiles, fft_shape(), halo_vox)


def _tile_at(start: tuple[int, int, int], steps: list[int], stop: tuple[int, int, int]) -> Tile:
    z, y, x = (min(a + s, b) for a, s, b in zip(start, steps, stop, strict=True))
    return Tile(start, (z, y, x))


@dataclass(frozen=True)
class BasisSpectra:
    """Transforms of the basis at the tiles' shape: real for even degrees, imaginary for odd.

    Attributes
    ----------
    parts
        float32 (K, *rfft shape): the real or the imaginary part.
    is_odd
        (K,).
    masks
        Per template, index into `mask_spectra`.
    mask_spectra
        float32 (n_masks, *rfft shape) with the masks' sums in `mask_sums`.
    """

    parts: Tensor
    is_odd: tuple[bool, ...]
    masks: tuple[int, ...]
    mask_spectra: Tensor
    mask_sums: tuple[float, ...]


def basis_spectra(
    basis: TemplateBasis, n_volumes: int, fft_shape: tuple[int, int, int], device: torch.device
) -> BasisSpectra:
    """Transform the first volumes of a basis once for all tiles (and tomograms) of a shape.

    Half precision would halve the memory, but its rounding depends on the tiles' shape and moved
    scores by 1.5e-4.
    """
    rfft_shape = (fft_shape[0], fft_shape[1], fft_shape[2] // 2 + 1)
    parts = torch.empty((n_volumes, *rfft_shape), dtype=torch.float32, device=device)
    is_odd = tuple(bool(degree % 2) for degree in basis.degrees[:n_volumes])
    for index, volume in enumerate(basis.volumes[:n_volumes]):
        spectrum = spectrum_of_small(torch.tensor(volume, device=device), fft_shape)
        parts[index] = spectrum.imag if is_odd[index] else spectrum.real
    spectra = [
        spectrum_of_small(torch.tensor(mask, device=device), fft_shape).real
        for mask in basis.distinct_masks
    ]
    return BasisSpectra(
        parts=parts,
        is_odd=is_odd,
        masks=basis.mask_numbers,
        mask_spectra=torch.stack(spectra),
        mask_sums=tuple(float(mask.sum(dtype=np.float64)) for mask in basis.distinct_masks),
    )


@dataclass(frozen=True)
class TileMaps:
    """Correlations of one tile.

    Attributes
    ----------
    tile
        Where.
    maps
        float32 (K, voxels of the tile).
    inverse_norms
        float32 (n_masks, voxels): 1 / sqrt(sum m * local variance), 0 where it is empty.
    """

    tile: Tile
    maps: Tensor
    inverse_norms: Tensor


def tile_maps(
    volume: MatchedVolume, spectra: BasisSpectra, plan: TilePlan, device: torch.device
) -> Iterator[TileMaps]:
    """Correlate tile after tile; the maps' memory is used again for the next tile."""
    largest = max(math.prod(tile.shape) for tile in plan.tiles)
    store = torch.empty((len(spectra.is_odd), largest), dtype=torch.float32, device=device)
    for tile in plan.tiles:
        yield correlate_tile(volume, spectra, plan, tile, store)


def correlate_tile(
    volume: MatchedVolume, spectra: BasisSpectra, plan: TilePlan, tile: Tile, store: Tensor
) -> TileMaps:
    """All correlations of one tile, written into `store` (K, >= voxels)."""
    device = store.device
    n_voxels = math.prod(tile.shape)
    spectrum = forward(_patch(volume.template_side, plan, tile, device))
    turned_spectrum = torch.complex(spectrum.imag, -spectrum.real)
    maps = store[:, :n_voxels]
    for index, is_odd in enumerate(spectra.is_odd):
        source = turned_spectrum if is_odd else spectrum
        product = source * spectra.parts[index]
        maps[index].view(tile.shape)[:] = inverse_inner(
            product, plan.fft_shape, plan.halo_vox, tile.shape
        )
    return TileMaps(tile, maps, _inverse_norms(volume, spectra, plan, tile, device))


def _patch(volume: Tensor, plan: TilePlan, tile: Tile, device: torch.device) -> Tensor:
    """The tile with its halo, zero (the mean) outside the volume, at the transform's shape."""
    patch = torch.zeros(plan.fft_shape, dtype=torch.float32, device=device)
    source, target = [], []
    for axis in range(3):
        first = tile.start[axis] - plan.halo_vox
        low = max(0, first)
        high = min(volume.shape[axis], tile.stop[axis] + plan.halo_vox)
        source.append(slice(low, high))
        target.append(slice(low - first, high - first))
    patch[tuple(target)] = volume[tuple(source)].to(device)
    return patch


def _patch_inside(
    shape: tuple[int, int, int], plan: TilePlan, tile: Tile, device: torch.device
) -> Tensor:
    """Where a tile's patch, as far as its masks reach, lies in the volume."""
    inside = torch.ones(plan.fft_shape, dtype=torch.bool, device=device)
    for axis, n in enumerate(shape):
        first = tile.start[axis] - plan.halo_vox
        reach = tile.shape[axis] + 2 * plan.halo_vox
        places = torch.arange(plan.fft_shape[axis], device=device)
        out = (places < reach) & ((places + first < 0) | (places + first >= n))
        inside[(slice(None),) * axis + (out,)] = False
    return inside


def _inverse_norms(
    volume: MatchedVolume,
    spectra: BasisSpectra,
    plan: TilePlan,
    tile: Tile,
    device: torch.device,
) -> Tensor:
    patch = _patch(volume.local_side, plan, tile, device)
    floor = volume.empty_variance
    inside = _patch_inside(volume.shape, plan, tile, device)
    moments = [forward(patch), forward(patch**2)]
    if not inside.all():
        moments.append(forward(inside.float()))
    rows = []
    for weights, total in zip(spectra.mask_spectra, spectra.mask_sums, strict=True):
        mean, square, *there = (
            inverse_inner(moment * weights, plan.fft_shape, plan.halo_vox, tile.shape) / total
            for moment in moments
        )
        if there:
            # Beyond a face nothing is known: mean and variance are those of what is inside.
            mean, square = mean / there[0], square / there[0]
        variance = square - mean**2
        norm = torch.rsqrt((total * variance).clamp_min(1e-20))
        rows.append(torch.where(variance > floor, norm, torch.zeros_like(norm)).reshape(-1))
    return torch.stack(rows)


@dataclass(frozen=True)
class PointMaps:
    """Correlations at chosen voxels: maps (K, n) and inverse norms (n_masks, n)."""

    maps: Tensor
    inverse_norms: Tensor


def point_maps(
    volume: MatchedVolume,
    basis: TemplateBasis,
    positions_vox: Ints,
    *,
    n_volumes: int | None = None,
    with_norms: bool = True,
) -> PointMaps:
    """As `correlate_tile`, for single voxels by direct sums.

    Parameters
    ----------
    positions_vox
        int (n, 3), (z, y, x).
    n_volumes
        Only the first volumes of the basis.
    with_norms
        Whether the inverse norms are wanted; otherwise they have no rows.
    """
    support, offsets = basis.support, basis.support_offsets
    kernels = torch.from_numpy(basis.support_values[:n_volumes])
    masks = torch.from_numpy(np.stack([m.ravel()[support] for m in basis.distinct_masks]))
    sums = masks.sum(dim=1, keepdim=True)
    maps, norms = [], []
    chunk = max(1, 2_000_000 // max(1, len(support)))
    for start in range(0, len(positions_vox), chunk):
        places = positions_vox[start : start + chunk]
        values = gather(volume.template_padded, volume.halo_vox, places, offsets)
        maps.append(kernels @ values.T)
        if not with_norms:
            continue
        if not volume.is_one_side:
            values = gather(volume.local_padded, volume.halo_vox, places, offsets)
        there = mask_sums_inside(volume.shape, places, offsets, masks)
        mean = masks @ values.T / there
        variance = masks @ (values**2).T / there - mean**2
        norm = torch.rsqrt((sums * variance).clamp_min(1e-20))
        norms.append(torch.where(variance > volume.empty_variance, norm, torch.zeros_like(norm)))
    if not maps:
        return PointMaps(torch.empty((len(kernels), 0)), torch.empty((len(masks), 0)))
    inverse = torch.cat(norms, dim=1) if with_norms else torch.empty((0, len(positions_vox)))
    return PointMaps(torch.cat(maps, dim=1), inverse)


def mask_sums_inside(
    volume_shape: tuple[int, int, int], positions_vox: Ints, offsets_zyx: Ints, masks: Tensor
) -> Tensor:
    """Weights of masks (n_masks, m) that lie in the volume, at each position; (n_masks, n)."""
    shape = np.array(volume_shape)
    reach = int(np.abs(offsets_zyx).max())
    sums = masks.sum(dim=1, keepdim=True).repeat(1, len(positions_vox))
    cut = np.flatnonzero(((positions_vox < reach) | (positions_vox >= shape - reach)).any(axis=1))
    if not len(cut):
        return sums
    # Sums over boxes of offsets by a summed-area table, one corner after the other.
    side = 2 * reach + 1
    table = torch.zeros((len(masks), side + 1, side + 1, side + 1), dtype=torch.float64)
    z, y, x = torch.from_numpy(offsets_zyx.T + (reach + 1))
    table[:, z, y, x] = masks.double()
    table = table.cumsum(1).cumsum(2).cumsum(3)
    low = np.clip(reach - positions_vox[cut], 0, side)
    high = np.clip(shape - positions_vox[cut] + reach, 0, side)
    inside = torch.zeros((len(masks), len(cut)), dtype=torch.float64)
    for corner in product((0, 1), repeat=3):
        z, y, x = torch.from_numpy(np.where(corner, high, low).T)
        inside += (-1) ** (3 - sum(corner)) * table[:, z, y, x]
    sums[:, cut] = inside.to(sums.dtype)
    return sums


def gather(padded: Tensor, halo_vox: int, positions_vox: Ints, offsets_zyx: Ints) -> Tensor:
    """Values (n, m) of a padded volume at positions of the volume itself plus offsets."""
    strides = np.array([padded.shape[1] * padded.shape[2], padded.shape[2], 1])
    starts = torch.from_numpy((positions_vox + halo_vox) @ strides)
    steps = torch.from_numpy(offsets_zyx @ strides)
    # Two to three times faster than an index of two dimensions.
    places = (starts[:, None] + steps[None, :]).reshape(-1)
    return padded.reshape(-1).index_select(0, places).reshape(len(starts), len(steps))
