"""The file that says what ordinary tomograms look like."""

import json
from pathlib import Path

import numpy as np

from engine.errors import ModelFileError
from engine.segmentation.ordinary import DESCRIPTORS, Ordinary


def write_ordinary(ordinary: Ordinary, path: Path) -> None:
    """Write as JSON."""
    content = {
        "descriptors": list(DESCRIPTORS),
        "centre": [round(float(value), 6) for value in ordinary.centre],
        "whitening": [[round(float(value), 6) for value in row] for row in ordinary.whitening],
        "limit": round(ordinary.limit, 4),
        "coarse_sha256": ordinary.coarse_sha256,
    }
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_ordinary(path: Path) -> Ordinary:
    """Read what `write_ordinary` wrote.

    Raises
    ------
    ModelFileError
        Absent, or not of this version's descriptors.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if tuple(content["descriptors"]) != DESCRIPTORS:
            raise ModelFileError(f"{path.name}: made of other descriptors than this version's")
        return Ordinary(
            np.array(content["centre"]),
            np.array(content["whitening"]),
            float(content["limit"]),
            str(content["coarse_sha256"]),
        )
    except (OSError, ValueError, KeyError) as error:
        raise ModelFileError(f"{path.name}: not readable; install TomoDx again") from error
