"""OME-Zarr: a volume and its labels in chunks and levels, for napari, Fiji and web viewers."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.data.arrays import AnyArray
from engine.errors import MissingPackageError

if TYPE_CHECKING:
    import zarr

VERSION = "0.4"
CHUNK_VOX, SMALLEST_LEVEL_VOX = 64, 192
AXES = [{"name": name, "type": "space", "unit": "nanometer"} for name in "zyx"]


@dataclass(frozen=True)
class LabelImage:
    """Ids (z, y, x) with what each means: name and colour `#RRGGBB` by id."""

    ids: AnyArray
    names: Mapping[int, str]
    colours: Mapping[int, str]


def write_ome_zarr(
    path: Path,
    image: AnyArray,
    labels: Mapping[str, LabelImage],
    voxel_size_angst: float,
) -> None:
    """Write an image (z, y, x) and label images of its shape; `path` is a new folder.

    Levels halve each side until none is longer than 192 voxels; images are averaged, labels take
    every second voxel. Scale and translation of every level say where its voxels are.

    Raises
    ------
    MissingPackageError
        zarr is not installed.

    References
    ----------
    OME-NGFF 0.4, https://ngff.openmicroscopy.org/0.4; Moore et al. (2021),
    doi:10.1038/s41592-021-01326-w.
    """
    try:
        import zarr  # noqa: PLC0415
    except ImportError as error:
        raise MissingPackageError(
            "OME-Zarr needs the package zarr; install it with pip install 'tomodx[interop]'"
        ) from error
    root = zarr.open_group(os.fspath(path), mode="w-", zarr_format=2)
    voxel_nm = voxel_size_angst / 10.0
    root.attrs.update(_write_levels(root, image, voxel_nm, is_label=False))
    if not labels:
        return
    group = root.create_group("labels")
    group.attrs["labels"] = list(labels)
    for name, label in labels.items():
        own = group.create_group(name)
        own.attrs.update(_write_levels(own, label.ids, voxel_nm, is_label=True))
        own.attrs["image-label"] = {
            "version": VERSION,
            "colors": [
                {"label-value": number, "rgba": [*_rgb(colour), 255]}
                for number, colour in label.colours.items()
            ],
            "properties": [
                {"label-value": number, "class": text} for number, text in label.names.items()
            ],
            "source": {"image": "../../"},
        }


def _write_levels(
    group: "zarr.Group", volume: AnyArray, voxel_nm: float, *, is_label: bool
) -> dict[str, Any]:
    """Write every level of a volume; returns the attributes that describe them."""
    datasets, level, n = [], np.asarray(volume), 0
    while True:
        chunks = tuple(min(CHUNK_VOX, side) for side in level.shape)
        array = group.create_array(str(n), shape=level.shape, chunks=chunks, dtype=level.dtype)
        array[...] = level
        # A level of averages lies between the voxels it was made of; one of labels does not.
        shift = 0.0 if is_label else 0.5 * (2**n - 1) * voxel_nm
        datasets.append(
            {
                "path": str(n),
                "coordinateTransformations": [
                    {"type": "scale", "scale": [2**n * voxel_nm] * 3},
                    {"type": "translation", "translation": [shift] * 3},
                ],
            }
        )
        if max(level.shape) <= SMALLEST_LEVEL_VOX:
            break
        level, n = level[::2, ::2, ::2] if is_label else _halved(level), n + 1
    return {"multiscales": [{"version": VERSION, "axes": AXES, "datasets": datasets}]}


def _halved(volume: AnyArray) -> AnyArray:
    """Mean of every 2^3 voxels; an odd last one is repeated."""
    padded = np.pad(volume, [(0, side % 2) for side in volume.shape], mode="edge")
    z, y, x = (side // 2 for side in padded.shape)
    halved = np.empty((z, y, x), dtype=volume.dtype)
    for index in range(z):
        pair = padded[2 * index : 2 * index + 2].astype(np.float32)
        mean = pair.reshape(2, y, 2, x, 2).mean(axis=(0, 2, 4))
        halved[index] = np.rint(mean) if volume.dtype.kind in "ui" else mean
    return halved


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
