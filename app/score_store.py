"""Scores of a running match on disk, so that it can be interrupted and goes on."""

import shutil
from pathlib import Path

import numpy as np

from engine.data.arrays import Float32s


class ScoresOnDisk:
    """A score volume as a memory map beside the results; removed when they are written.

    Parameters
    ----------
    folder
        Made where it does not exist; its name holds the match's content key, so that another
        match never goes on from it.
    """

    def __init__(self, folder: Path, n_templates: int, shape: tuple[int, int, int]) -> None:
        self._folder = folder
        self._list = folder / "tiles.txt"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "scores.npy"
        full = (n_templates, *shape)
        known = path.exists() and np.load(path, mmap_mode="r").shape == full
        if not known:
            self._list.unlink(missing_ok=True)
        self._scores = np.lib.format.open_memmap(
            path, mode="r+" if known else "w+", dtype=np.float32, shape=full
        )
        self._done = set(self._list.read_text().split()) if self._list.exists() else set()

    @property
    def n_done(self) -> int:
        """Tiles that an earlier run finished."""
        return len(self._done)

    def scores(self) -> Float32s:
        """Array (n_templates, z, y, x)."""
        return self._scores

    def is_done(self, tile: int) -> bool:
        """Whether a tile's scores are in."""
        return str(tile) in self._done

    def done(self, tile: int) -> None:
        """Note that a tile's scores are in, after they reached the disk."""
        self._scores.flush()
        self._done.add(str(tile))
        with self._list.open("a") as stream:
            stream.write(f"{tile}\n")

    def remove(self) -> None:
        """Delete everything."""
        del self._scores
        shutil.rmtree(self._folder, ignore_errors=True)
