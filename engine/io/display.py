"""An 8-bit copy of a tomogram for the eye: served slice by slice from a memory map."""

from pathlib import Path

import numpy as np

from engine.data.arrays import Float32s, UInt8s
from engine.data.tomogram import Tomogram
from engine.io.digests import atomic_file
from engine.io.mrc_scan import SLAB_VOXELS

SAMPLE_VOXELS = 1_000_000
# Percentiles that become white and black: room for protein, gold and ice clipped.
LIGHT_PERCENT, DARK_PERCENT = 0.5, 99.5


def write_display(path: Path, tomogram: Tomogram) -> None:
    """Write uint8 (z, y, x) as `.npy`, protein dark as microscopists expect."""
    limits = display_limits(tomogram.voxels)
    n_z, n_y, n_x = tomogram.voxels.shape
    step = max(1, SLAB_VOXELS // (n_y * n_x))
    with atomic_file(path) as staging, staging.open("wb") as stream:
        form = {"descr": "|u1", "fortran_order": False, "shape": (n_z, n_y, n_x)}
        np.lib.format.write_array_header_1_0(stream, form)
        for start in range(0, n_z, step):
            grey = to_grey(tomogram.voxels[start : start + step], limits)
            stream.write(grey.tobytes())


def display_limits(voxels: Float32s) -> tuple[float, float]:
    """Values shown as white and as black, from an even sample of the voxels."""
    flat = voxels.reshape(-1)
    sample = flat[:: max(1, flat.size // SAMPLE_VOXELS)].astype(np.float64)
    light, dark = np.percentile(sample, (LIGHT_PERCENT, DARK_PERCENT))
    if light == dark:
        light, dark = float(flat.min()), float(flat.max())
    return float(light), float(dark)


def to_grey(voxels: Float32s, limits: tuple[float, float]) -> UInt8s:
    """Map `limits` to 255 and 0, so that bright protein becomes dark."""
    light, dark = limits
    span = (dark - light) or 1.0
    grey = np.clip((np.float32(dark) - voxels) * np.float32(255.0 / span), 0.0, 255.0)
    return np.asarray(np.rint(grey), dtype=np.uint8)
