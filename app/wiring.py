"""Which trained files fill which place of an analysis."""

from functools import lru_cache
from pathlib import Path

import engine.segmentation
from engine.data.provenance import FileDigest
from engine.io.ordinary_file import read_ordinary
from engine.matching.pseudo_source import PseudoStructureSource
from engine.segmentation.inference import Networks, load_network
from models.registry import model_folder

ORDINARY_FILE = Path(engine.segmentation.__path__[0]) / "ordinary.json"
COARSE_MODEL, FINE_MODEL, PSEUDO_MODEL = "coarse-3", "fine-4", "pseudo-1"


@lru_cache(maxsize=2)
def shipped_networks(device: str = "auto") -> Networks:
    """Open the networks of this version after checking their hashes, once a process.

    Raises
    ------
    ModelFileError
        A file was altered, or `cuda` is asked for and absent.
    """
    return Networks(
        coarse=load_network(model_folder(COARSE_MODEL), device),
        fine=load_network(model_folder(FINE_MODEL), device),
        ordinary=read_ordinary(ORDINARY_FILE),
    )


def network_digests(networks: Networks) -> tuple[FileDigest, ...]:
    """File digests of both networks, for content keys and provenance."""
    return (networks.coarse.spec.digest, networks.fine.spec.digest)


def structure_source() -> PseudoStructureSource:
    """Open the generator of pseudo-structures after checking its hash.

    Raises
    ------
    ModelFileError
        The file was altered.
    """
    return PseudoStructureSource(model_folder(PSEUDO_MODEL))
