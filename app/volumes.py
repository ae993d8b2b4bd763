"""The volumes of one analysis, memory-mapped: what the slice routes cut from."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import mrcfile
import numpy as np
import pandas as pd

from app.palette import class_colour
from app.slices import (
    PLANES,
    Encoding,
    OverlayStyle,
    Plane,
    Window,
    apply_window,
    encode_grey,
    encode_overlay,
    paint_overlay,
    take_plane,
)
from engine.data.arrays import AnyArray, Bools, Float64s
from engine.data.labels import CLASS_NAMES
from engine.errors import BadInputError, MissingFileError

DISPLAY_FILE = "display.npy"
LABELS_FILE = "labels.mrc"
INSTANCES_FILE = "instances.mrc"
POINTS_FILE = "filament_points.csv"
# A drawn line needs no more: half a voxel at the finest sampling used here.
_LINE_TOLERANCE_NM = 1.0


@dataclass(frozen=True)
class VolumeKey:
    """An analysis folder at one moment: a folder written anew gets another key."""

    folder: Path
    stamp_ns: int


@dataclass(frozen=True)
class AnalysisVolumes:
    """Read-only arrays of one analysis, all (z, y, x) of the same shape.

    Attributes
    ----------
    display
        uint8, contrast-normalised, protein dark.
    labels, instances
        Class and instance ids.
    """

    display: AnyArray
    labels: AnyArray
    instances: AnyArray
    voxel_size_nm: float


def volume_key(folder: Path) -> VolumeKey:
    """Return the current key of an analysis folder.

    Raises
    ------
    MissingFileError
        There is no display copy in the folder.
    """
    try:
        stamp_ns = (folder / DISPLAY_FILE).stat().st_mtime_ns
    except FileNotFoundError:
        raise MissingFileError(
            f"expected {DISPLAY_FILE} in the analysis folder {folder.name}, found none; "
            "analyse the tomogram again"
        ) from None
    return VolumeKey(folder, stamp_ns)


def _map_mrc(path: Path) -> tuple[AnyArray, float]:
    """Map an MRC volume without holding its file open; voxel size in nanometre."""
    if not path.is_file():
        raise MissingFileError(f"expected {path.name} in the analysis folder, found none")
    with mrcfile.mmap(path, mode="r") as volume:
        shape, dtype = volume.data.shape, volume.data.dtype
        offset = 1024 + int(volume.header.nsymbt)
        voxel_size_nm = float(volume.voxel_size.x) / 10.0
    return np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=shape), voxel_size_nm


@lru_cache(maxsize=8)
def open_volumes(key: VolumeKey) -> AnalysisVolumes:
    """Map the volumes of an analysis; costs no memory until slices are cut.

    Raises
    ------
    MissingFileError, BadInputError
        A volume is absent, or their shapes differ.
    """
    display = np.load(key.folder / DISPLAY_FILE, mmap_mode="r", allow_pickle=False)
    labels, voxel_size_nm = _map_mrc(key.folder / LABELS_FILE)
    instances, _ = _map_mrc(key.folder / INSTANCES_FILE)
    shapes = {display.shape, labels.shape, instances.shape}
    if len(shapes) > 1 or display.dtype != np.uint8:
        raise BadInputError(
            f"{key.folder.name}: expected uint8 display, labels and instances of one shape, "
            f"found {display.dtype} and shapes {sorted(shapes)}"
        )
    return AnalysisVolumes(display, labels, instances, voxel_size_nm)


# 512 slices of 30 kB each: 15 MB.
@lru_cache(maxsize=512)
def grey_image(
    key: VolumeKey, plane: Plane, index: int, window: Window, encoding: Encoding
) -> bytes:
    """Encode one grey slice."""
    volumes = open_volumes(key)
    cut = take_plane(volumes.display, plane, index)
    return encode_grey(apply_window(cut, window), encoding)


@lru_cache(maxsize=512)
def overlay_image(
    key: VolumeKey,
    plane: Plane,
    index: int,
    shown_classes: frozenset[int],
    style: OverlayStyle,
    highlighted: int,
) -> bytes:
    """Encode the label overlay of one slice as a palette PNG."""
    volumes = open_volumes(key)
    labels = take_plane(volumes.labels, plane, index).astype(np.uint8)
    instances = take_plane(volumes.instances, plane, index).astype(np.uint16)
    painted = paint_overlay(labels, instances, shown_classes, style, highlighted)
    return encode_overlay(painted, class_colours())


def class_colours() -> Mapping[int, str]:
    """Colour of every class id but the background."""
    return {number: class_colour(name) for number, name in CLASS_NAMES.items() if number}


def present_classes(key: VolumeKey) -> tuple[int, ...]:
    """Class ids that occur, from every fourth voxel of each axis of the labels.

    A pixel-sized object may be missed; the tables name every object whatever its size.
    """
    sampled = open_volumes(key).labels[::4, ::4, ::4]
    return tuple(int(number) for number in np.unique(sampled) if number > 0)


def find_at(key: VolumeKey, z: int, y: int, x: int) -> tuple[int, int]:
    """Class id and instance id of one voxel; (0, 0) outside the volume."""
    volumes = open_volumes(key)
    inside = all(
        0 <= position < n for position, n in zip((z, y, x), volumes.labels.shape, strict=True)
    )
    if not inside:
        return 0, 0
    return int(volumes.labels[z, y, x]), int(volumes.instances[z, y, x])


def _kept_points(points_nm: Float64s) -> Bools:
    """Points to keep so that a polyline stays within the tolerance (Douglas and Peucker 1973)."""
    kept = np.zeros(len(points_nm), dtype=np.bool_)
    kept[[0, -1]] = True
    spans = [(0, len(points_nm) - 1)]
    while spans:
        first, last = spans.pop()
        if last - first < 2:
            continue
        chord = points_nm[last] - points_nm[first]
        offsets = points_nm[first + 1 : last] - points_nm[first]
        along = np.clip(offsets @ chord / max(float(chord @ chord), 1e-12), 0.0, 1.0)
        away = np.linalg.norm(offsets - along[:, None] * chord, axis=1)
        worst = int(away.argmax())
        if away[worst] > _LINE_TOLERANCE_NM:
            middle = first + 1 + worst
            kept[middle] = True
            spans += [(first, middle), (middle, last)]
    return kept


@lru_cache(maxsize=8)
def filament_lines(key: VolumeKey) -> dict[int, list[list[float]]]:
    """Centre lines by filament id: (z, y, x) in nanometre, thinned to 1 nm accuracy."""
    path = key.folder / POINTS_FILE
    if not path.is_file():
        return {}
    table = pd.read_csv(path).sort_values(["filament_id", "index"])
    lines: dict[int, list[list[float]]] = {}
    for filament_id, points in table.groupby("filament_id"):
        points_nm = points[["z_nm", "y_nm", "x_nm"]].to_numpy(dtype=np.float64)
        kept = points_nm[_kept_points(points_nm)]
        lines[int(str(filament_id))] = np.round(kept, 1).tolist()
    return lines


def slice_count(key: VolumeKey, plane: Plane) -> int:
    """Count the slices of a plane."""
    return int(open_volumes(key).display.shape[PLANES[plane].normal])
