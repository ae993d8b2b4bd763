"""Real files that are not part of the project: where they lie, or skip."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def real_data(name):
    """Path of a file of the validation data; skips the test that needs it where it is absent."""
    folder = Path(os.environ.get("TOMODX_DATA") or ROOT.parent / "shared" / "data")
    path = folder / name
    if not path.is_file():
        pytest.skip(f"validation file {name} is not in {folder}")
    return path
