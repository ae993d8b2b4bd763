"""A whole scan: tile after tile, kept where it can be taken up again."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch

from engine.data.arrays import Float32s, Ints
from engine.errors import BadInputError
from engine.matching.correlation import Tile, TilePlan, basis_spectra, tile_maps
from engine.matching.matched_volume import MatchedVolume
from engine.matching.params import MatchParams
from engine.matching.search import N_SAMPLES, SearchTable, scan_tile
from engine.matching.setup import Setup


class ScoreStore(Protocol):
    """Where the scores of finished tiles are kept, so that a scan can go on after a stop."""

    def scores(self) -> Float32s:
        """Array (n_templates, z, y, x), writable, zero where nothing is known yet."""
        ...

    def is_done(self, tile: int) -> bool:
        """Whether a tile's scores are in."""
        ...

    def done(self, tile: int) -> None:
        """Note that a tile's scores are in."""
        ...


class InMemory:
    """Scores in memory, for volumes that fit."""

    def __init__(self, n_templates: int, shape: tuple[int, int, int]) -> None:
        self._scores = np.zeros((n_templates, *shape), dtype=np.float32)
        self._done: set[int] = set()

    def scores(self) -> Float32s:
        """Array (n_templates, z, y, x)."""
        return self._scores

    def is_done(self, tile: int) -> bool:
        """Whether a tile's scores are in."""
        return tile in self._done

    def done(self, tile: int) -> None:
        """Note that a tile's scores are in."""
        self._done.add(tile)


def largest_tile_vox(table: SearchTable, params: MatchParams) -> int:
    """Voxels of a tile: spectra and maps take 2 bytes each a voxel and volume.

    A wide basis gets more memory: small tiles are mostly halo.
    """
    share = min(3.0, max(1.0, table.n_scanned / 50.0))
    return int(params.tile_bytes * share / (4.0 * table.n_scanned))


def sample_voxels(volume: MatchedVolume, region: Tile, rng: np.random.Generator) -> Ints:
    """Random voxels of the searched region."""
    if volume.search is None:
        columns = [
            rng.integers(low, high, size=N_SAMPLES)
            for low, high in zip(region.start, region.stop, strict=True)
        ]
        return np.stack(columns, axis=1)
    inside = np.flatnonzero(volume.search[region.slices].ravel())
    if not len(inside):
        raise BadInputError(
            "the mask lies wholly at the faces of the tomogram, where nothing is searched; give "
            "one with a region inside"
        )
    chosen = inside[rng.integers(0, len(inside), size=N_SAMPLES)]
    places = np.stack(np.unravel_index(chosen, region.shape), axis=1) + np.array(region.start)
    return np.asarray(places, dtype=np.int64)


def scan_setup(
    setup: Setup, store: ScoreStore, device: torch.device, report: Callable[[float], None]
) -> None:
    """Scan every tile that the store does not have yet; `report` takes a fraction in [0, 1]."""
    waiting = [i for i in range(len(setup.plan.tiles)) if not store.is_done(i)]
    if not waiting:
        return
    spectra = basis_spectra(setup.basis, setup.table.n_scanned, setup.plan.fft_shape, device)
    plan = TilePlan(
        tuple(setup.plan.tiles[i] for i in waiting), setup.plan.fft_shape, setup.plan.halo_vox
    )
    scores = store.scores()
    maps = tile_maps(setup.volume, spectra, plan, device)
    for count, (index, tile) in enumerate(zip(waiting, maps, strict=True)):
        scores[(slice(None), *tile.tile.slices)] = scan_tile(
            setup.volume, setup.table, spectra, tile
        )
        store.done(index)
        report((len(setup.plan.tiles) - len(waiting) + count + 1) / len(setup.plan.tiles))
