"""Per-tilt metadata from the options of a command."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from engine.data.tilt_series import TiltSeriesMetadata
from engine.errors import BadInputError
from engine.io.tilt_files import read_tilt_series


def tilt_metadata(path: Path | None, defocus_um: float | None) -> TiltSeriesMetadata | None:
    """Read a tilt file; a defocus given by hand holds for all its tilts.

    Raises
    ------
    MissingFileError, BadInputError
        The file cannot be used, or a defocus is given without tilts.
    """
    if path is None:
        if defocus_um is not None:
            raise BadInputError(
                "expected --tilts with --defocus-um: the contrast transfer needs the tilt angles"
            )
        return None
    series = read_tilt_series(path)
    if defocus_um is None:
        return series
    return replace(series, defocus_um=np.full(len(series.tilts_deg), defocus_um))
