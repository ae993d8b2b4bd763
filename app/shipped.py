"""The analysis that this release ships, with its identity for content keys."""

from app.analysis import analyse_file
from app.context import Device
from app.method import AnalysisMethod
from app.wiring import network_digests, shipped_networks
from engine.segmentation.analyse import AnalysisParams


def shipped_method(device: Device) -> AnalysisMethod:
    """Return the analysis with the shipped networks.

    Raises
    ------
    ModelFileError
        A network file is absent or altered.
    """
    digests = network_digests(shipped_networks(device))
    return AnalysisMethod(analyse_file, AnalysisParams(), digests)
