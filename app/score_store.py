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
        Made when the first score is written; its name holds the match's content key, so that
        another match never goes on from it.
    """

    def __init__(self, folder: Path, n_templates: int, shape: tuple[int, int, int]) -> None:
        self._folder = folder
        self._list = folder / "tiles.txt"
        self._shape = (n_templates, *shape)
        self._scores = self._earlier()
        known = self._scores is not None and self._list.exists()
        self._done = set(self._list.read_text().split()) if known else set()

    def _earlier(self) -> Float32s | None:
        """Scores of an interrupted run, unless it was stopped while it made the file."""
        path = self._folder / "scores.npy"
        if not path.exists():
            return None
        try:
            scores: Float32s = np.load(path, mmap_mode="r+")
        except (ValueError, EOFError):
            return None
        return scores if scores.shape == self._shape else None

    @property
    def n_done(self) -> int:
        """Tiles that an earlier run finished."""
        return len(self._done)

    def scores(self) -> Float32s:
        """Array (n_templates, z, y, x); its file is made when it is first asked for."""
        if self._scores is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._list.unlink(missing_ok=True)
            self._scores = np.lib.format.open_memmap(
                self._folder / "scores.npy", mode="w+", dtype=np.float32, shape=self._shape
            )
        return self._scores

    def is_done(self, tile: int) -> bool:
        """Whether a tile's scores are in."""
        return str(tile) in self._done

    def done(self, tile: int) -> None:
        """Note that a tile's scores are in, after they reached the disk."""
        assert isinstance(self._scores, np.memmap)
        self._scores.flush()
        self._done.add(str(tile))
        with self._list.open("a") as stream:
            stream.write(f"{tile}\n")

    def remove(self) -> None:
        """Delete everything."""
        self._scores = None
        shutil.rmtree(self._folder, ignore_errors=True)
