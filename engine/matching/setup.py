"""A search made ready."""

from dataclasses import dataclass

from engine.matching.basis import TemplateBasis
from engine.matching.correlation import Tile, TilePlan
from engine.matching.matched_volume import MatchedVolume
from engine.matching.search import SearchTable, Stage


@dataclass(frozen=True)
class Setup:
    """A search made ready: everything that does not depend on the tile."""

    volume: MatchedVolume
    basis: TemplateBasis
    table: SearchTable
    plan: TilePlan
    region: Tile
    stages: tuple[Stage, ...]
    n_searched_vox: int
