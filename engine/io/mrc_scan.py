"""The voxels of an MRC file, slab by slab, and what one pass over them tells."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO

import numpy as np

from engine.data.arrays import AnyArray, Float32s
from engine.data.measurements import QualityFlag
from engine.io.mrc_header import MrcHeader, open_stream, truncated

# About 32 MB of float32: large enough for disk speed, small beside any tomogram.
SLAB_VOXELS = 1 << 23
# Contrast is judged at about 1.2 nm and on at most this many voxels (seconds, 200 MB).
COARSE_VOXEL_ANGST = 12.0
COARSE_VOXELS = 16_000_000


@dataclass
class VolumeSummary:
    """Statistics gathered over slabs of sections, plus a binned copy for the contrast estimate.

    Attributes
    ----------
    binning
        Voxels averaged along each axis in the coarse copy.
    """

    binning: int
    n_voxels: int = 0
    n_not_finite: int = 0
    smallest: float = math.inf
    largest: float = -math.inf
    _coarse_slabs: list[Float32s] = field(default_factory=list)

    def add(self, slab: Float32s) -> None:
        """Take in the next sections; all slabs but the last are a multiple of `binning` thick."""
        self.n_voxels += slab.size
        low, high = float(slab.min()), float(slab.max())
        if not (math.isfinite(low) and math.isfinite(high)):
            finite = np.isfinite(slab)
            self.n_not_finite += int(slab.size - finite.sum())
            return
        self.smallest = min(self.smallest, low)
        self.largest = max(self.largest, high)
        if slab.shape[0] >= self.binning:
            self._coarse_slabs.append(bin_volume(slab, self.binning))

    @property
    def coarse(self) -> Float32s:
        """The binned copy, in the stored axis order."""
        return np.concatenate(self._coarse_slabs)

    def faults(self, name: str) -> list[QualityFlag]:
        """Find what forbids analysing these values."""
        if self.n_not_finite:
            return [
                QualityFlag(
                    "error",
                    "not_finite",
                    f"{name}: expected finite voxel values, found {self.n_not_finite} of "
                    f"{self.n_voxels} that are NaN or infinite; repeat the reconstruction",
                )
            ]
        if self.smallest == self.largest:
            return [
                QualityFlag(
                    "error",
                    "constant",
                    f"{name}: expected an image of a specimen, found the same value, "
                    f"{self.smallest:g}, in every voxel; repeat the reconstruction",
                )
            ]
        return []


def summary_for(header: MrcHeader, voxel_size_angst: float | None) -> VolumeSummary:
    """Choose the binning of the coarse copy: about 1.2 nm, few voxels, no axis below eight."""
    binning = max(1, round(COARSE_VOXEL_ANGST / voxel_size_angst)) if voxel_size_angst else 1
    n_voxels = math.prod(header.stored_shape)
    binning = max(binning, math.ceil((n_voxels / COARSE_VOXELS) ** (1 / 3)))
    return VolumeSummary(max(1, min(binning, min(header.stored_shape) // 8)))


def slabs(header: MrcHeader, multiple_of: int = 1) -> Iterator[tuple[slice, Float32s]]:
    """Yield the sections of a file as float32, in stored axis order.

    Parameters
    ----------
    header
        One without structure faults.
    multiple_of
        Thickness of every slab but the last is a multiple of this.

    Raises
    ------
    BadInputError
        The data end too early or are damaged.
    """
    if header.dtype is None:
        raise ValueError("a header without structure faults is needed")
    n_sections, n_rows, n_columns = header.stored_shape
    thickness = max(1, SLAB_VOXELS // (n_rows * n_columns * multiple_of)) * multiple_of
    buffer = np.empty((min(thickness, n_sections), n_rows, n_columns), dtype=header.dtype)
    with open_stream(header.path) as stream:
        stream.seek(header.data_offset)
        for start in range(0, n_sections, thickness):
            part = buffer[: min(thickness, n_sections - start)]
            _fill(part, stream, header)
            yield slice(start, start + len(part)), part.astype(np.float32)


def bin_volume(volume: Float32s, factor: int) -> Float32s:
    """Average `factor` voxels along each axis; what does not fill a bin is left out."""
    if factor == 1:
        return volume
    z, y, x = (side // factor for side in volume.shape)
    whole = volume[: z * factor, : y * factor, : x * factor]
    bins = whole.reshape(z, factor, y, factor, x, factor)
    return np.asarray(bins.mean(axis=(1, 3, 5), dtype=np.float32), dtype=np.float32)


def _fill(part: AnyArray, stream: IO[bytes], header: MrcHeader) -> None:
    """Read until `part` is full; decompressing streams return less than asked for."""
    view = memoryview(part.reshape(-1).view(np.uint8).data)
    filled = 0
    while filled < len(view):
        n_read = stream.readinto(view[filled:])  # type: ignore[attr-defined]
        if not n_read:
            raise truncated(header.path, f"{len(view) - filled} bytes of a section are missing")
        filled += n_read
