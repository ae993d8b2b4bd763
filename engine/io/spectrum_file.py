"""The file that says where the power spectra of known tomograms lie."""

import json
from pathlib import Path

import numpy as np

from engine.data.provenance import FileDigest
from engine.errors import ModelFileError
from engine.io.digests import sha256_of
from engine.segmentation.known_spectrum import N_SHELLS, SHELL, SpectrumRange


def write_spectrum_range(known: SpectrumRange, path: Path) -> None:
    """Write as JSON."""
    content = {
        "shell_cycles_per_voxel": SHELL,
        "low": [round(float(value), 4) for value in known.low],
        "high": [round(float(value), 4) for value in known.high],
    }
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_spectrum_range(path: Path) -> SpectrumRange:
    """Read what `write_spectrum_range` wrote.

    Raises
    ------
    ModelFileError
        Absent, or not of this version's shells.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        known = SpectrumRange(
            np.array(content["low"], float),
            np.array(content["high"], float),
            FileDigest(path.name, sha256_of(path)),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelFileError(f"{path.name}: not readable; install TomoDx again") from error
    shells = (len(known.low), len(known.high), content.get("shell_cycles_per_voxel"))
    if shells != (N_SHELLS, N_SHELLS, SHELL):
        raise ModelFileError(f"{path.name}: made of other shells than this version's")
    return known
