"""Scores of single tomograms on disk: a stopped benchmark goes on where it was."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter

from app.bench.segmentation_scenes import BENCH_SEED, Scored
from engine import __version__
from engine.segmentation.inference import Networks

SCORES = TypeAdapter(dict[str, Scored])


class KeptScores:
    """Scores by tomogram, of one version of the program and one set of networks.

    Parameters
    ----------
    work
        Each set of networks has a folder below it. A program that was changed and kept its version
        is not noticed: remove the folder then.
    """

    def __init__(self, work: Path, networks: Networks) -> None:
        known = [__version__, str(BENCH_SEED), *(one.sha256 for one in networks.digests)]
        key = hashlib.sha256("\n".join(known).encode()).hexdigest()[:12]
        self._folder = work / f"bench-segmentation-{key}"

    def get(self, index: int, names: Sequence[str]) -> dict[str, Scored] | None:
        """Scores of a tomogram by all these networks; None where they are not all there."""
        path = self._path(index)
        if not path.is_file():
            return None
        found = SCORES.validate_json(path.read_bytes())
        return (
            {name: found[name] for name in found if name in names}
            if set(names) <= set(found)
            else None
        )

    def put(self, index: int, scored: dict[str, Scored]) -> None:
        """Keep scores; a file is whole or not there."""
        path = self._path(index)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part")
        part.write_bytes(SCORES.dump_json(scored))
        part.replace(path)

    def _path(self, index: int) -> Path:
        return self._folder / f"{index:03d}.json"
