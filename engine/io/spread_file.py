"""Spreads of features beside a classifier's network: one compressed NumPy file."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engine.classification.feature_spread import FeatureSpread
from engine.errors import ModelFileError

SPREADS_FILE = "spreads.npz"
NAMES = ("mean", "between", "within", "temperature", "limit")


def write_spreads(path: Path, spreads: Sequence[FeatureSpread]) -> None:
    """Write them one behind the other, each value as float32."""
    mean, between, within, temperature, limit = (
        np.stack([np.asarray(getattr(one, name), dtype=np.float32) for one in spreads])
        for name in NAMES
    )
    np.savez_compressed(
        path, mean=mean, between=between, within=within, temperature=temperature, limit=limit
    )


def read_spreads(folder: Path) -> tuple[FeatureSpread, ...]:
    """Those of a model folder whose hashes were checked.

    Raises
    ------
    ModelFileError
        The model has none, or a file that is not ours.
    """
    path = folder / SPREADS_FILE
    if not path.is_file():
        raise ModelFileError(
            f"model {folder.name}: it does not tell structures apart from few examples; use "
            "embedding-1, or train with n_unseen in the recipe"
        )
    try:
        with np.load(path, allow_pickle=False) as file:
            columns = [np.asarray(file[name], dtype=np.float64) for name in NAMES]
    except (OSError, KeyError, ValueError) as error:
        raise ModelFileError(f"model {folder.name}: {SPREADS_FILE} is not readable") from error
    return tuple(
        FeatureSpread(mean, between, within, float(temperature), float(limit))
        for mean, between, within, temperature, limit in zip(*columns, strict=True)
    )
