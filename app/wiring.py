"""Which trained files fill which place of an analysis."""

from functools import lru_cache
from pathlib import Path

import engine.segmentation
from engine.classification.classifier import SubtomogramClassifier
from engine.classification.feature_spread import FeatureSpread
from engine.data.provenance import FileDigest
from engine.errors import ModelFileError
from engine.io.ordinary_file import read_ordinary
from engine.io.spectrum_file import read_spectrum_range
from engine.io.spread_file import read_spreads
from engine.matching.pseudo_source import PseudoStructureSource
from engine.segmentation.fine import CORE_OUTPUT
from engine.segmentation.inference import Networks, load_network
from engine.segmentation.network_files import MODEL_FILE, check_manifest
from models.registry import model_folder

ORDINARY_FILE = Path(engine.segmentation.__path__[0]) / "ordinary.json"
SPECTRUM_FILE = ORDINARY_FILE.with_name("spectrum.json")
COARSE_MODEL, FINE_MODEL, PSEUDO_MODEL = "coarse-4", "fine-8", "pseudo-1"
SMALL_BODIES_MODEL = "small-bodies-1"
STATES_MODEL = "mitochondrion-states-3"


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
        spectrum=read_spectrum_range(SPECTRUM_FILE),
        small_bodies=load_network(model_folder(SMALL_BODIES_MODEL), device),
        states=SubtomogramClassifier(model_folder(STATES_MODEL), device),
    )


def chosen_networks(coarse: str | None, fine: str | None, device: str = "auto") -> Networks:
    """The shipped networks, or others in their place: names in the registry or model folders.

    Raises
    ------
    MissingFileError
        Neither a name nor a folder.
    ModelFileError
        Altered, not ours, or a network for the other place.
    """
    shipped = shipped_networks(device)
    if coarse is None and fine is None:
        return shipped
    networks = Networks(
        coarse=shipped.coarse if coarse is None else load_network(_folder_of(coarse), device),
        fine=shipped.fine if fine is None else load_network(_folder_of(fine), device),
        # What is ordinary was described with the shipped coarse network.
        ordinary=shipped.ordinary if coarse is None else None,
        spectrum=shipped.spectrum,
        small_bodies=shipped.small_bodies,
        states=shipped.states,
    )
    for task, network in (("coarse", networks.coarse), ("fine", networks.fine)):
        if network.spec.task != task:
            raise ModelFileError(
                f"{network.spec.name} is a {network.spec.task} network; give a {task} one"
            )
    if CORE_OUTPUT not in networks.fine.spec.outputs:
        raise ModelFileError(
            f"{networks.fine.spec.name} does not look for microtubules: give a fine network that "
            f"has the output {CORE_OUTPUT}"
        )
    return networks


def _folder_of(name_or_path: str) -> Path:
    path = Path(name_or_path)
    return path if (path / MODEL_FILE).is_file() else model_folder(name_or_path)


def network_digests(networks: Networks) -> tuple[FileDigest, ...]:
    """File digests of what an analysis rests on, for content keys and provenance."""
    return networks.digests


def structure_source() -> PseudoStructureSource:
    """Open the generator of pseudo-structures after checking its hash.

    Raises
    ------
    ModelFileError
        The file was altered.
    """
    return PseudoStructureSource(model_folder(PSEUDO_MODEL))


def subtomogram_classifier(name_or_path: str, device: str) -> SubtomogramClassifier:
    """Open a classifier of subtomograms, shipped or a user's own folder.

    Raises
    ------
    MissingFileError
        Neither a shipped model nor a model folder.
    ModelFileError
        The file was altered, or the network is no classifier.
    """
    return SubtomogramClassifier(_folder_of(name_or_path), device)


def feature_spreads(name_or_path: str) -> tuple[FeatureSpread, ...]:
    """How features of unseen structures lie in a classifier, shipped or a user's own folder.

    Raises
    ------
    ModelFileError
        It does not say; or a file was altered.
    """
    folder = _folder_of(name_or_path)
    check_manifest(folder)
    return read_spreads(folder)
