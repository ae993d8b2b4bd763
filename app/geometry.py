"""From the folder of an analysis to surfaces and lines that other programs open."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage
from scipy.spatial.transform import Rotation

from engine.data.arrays import AnyArray
from engine.data.filaments import Filament
from engine.data.labels import CLASS_NAMES
from engine.data.meshes import SurfaceMesh, mesh_at_level
from engine.errors import BadInputError, OutputNotWritableError
from engine.io.analysis_files import (
    DISPLAY,
    FILAMENT_TABLE,
    INSTANCE_TABLE,
    INSTANCES,
    LABELS,
    POINT_TABLE,
    read_filament_points,
    read_filaments,
    read_instances,
    read_measurements,
)
from engine.io.colours import CLASS_COLOURS, SERIES_COLOURS
from engine.io.digests import digest_of, fresh_folder, require_writable
from engine.io.filament_star import write_filament_star
from engine.io.gltf import GltfScene, write_gltf
from engine.io.imod_model import write_imod_model
from engine.io.mrc import read_labels
from engine.io.ome_zarr import LabelImage, write_ome_zarr
from engine.io.ply import write_ply
from engine.io.provenance_file import write_provenance

STAR, MODEL, PLY, GLTF = "filaments.star", "filaments.mod", "organelles.ply", "organelles.glb"
ZARR = "analysis.ome.zarr"
FILES_READ = (INSTANCES, INSTANCE_TABLE, FILAMENT_TABLE, POINT_TABLE)
# Blur of a mask before its surface is taken, voxels: without it the voxels' staircase is seen.
BLUR_VOX = 0.8


@dataclass(frozen=True)
class Geometry:
    """What was written."""

    n_organelles: int
    n_filaments: int
    files: tuple[str, ...]
    simulated: bool


def geometry_of_analysis(
    analysis_folder: Path,
    out_folder: Path,
    *,
    ome_zarr: bool = False,
    on_progress: Callable[[float], None] | None = None,
) -> Geometry:
    """Write filaments as RELION STAR and IMOD model, organelles as PLY and glTF.

    Parameters
    ----------
    ome_zarr
        Write the tomogram as it is displayed, its classes and instances as OME-Zarr, too.

    Raises
    ------
    MissingPackageError
        OME-Zarr is asked for and zarr not installed.
    MissingFileError, BadInputError
        Not the folder of an analysis.
    OutputNotWritableError
        The folder cannot be made, holds files of others or is the analysis itself.
    """
    if analysis_folder.resolve() == out_folder.resolve():
        raise OutputNotWritableError(
            f"expected another folder than that of the analysis, found {out_folder} for both; "
            "choose another folder",
            path=str(out_folder),
        )
    require_writable(out_folder)
    measurements = read_measurements(analysis_folder)
    read = tuple(digest_of(analysis_folder / name) for name in FILES_READ)
    provenance = measurements.provenance
    provenance = replace(provenance, inputs=(*provenance.inputs, *read))
    filaments = _filaments(analysis_folder)
    instances = read_instances(analysis_folder)
    ids, voxel_size_angst = read_labels(analysis_folder / INSTANCES)
    meshes = _meshes(ids, instances, voxel_size_angst, on_progress or (lambda fraction: None))
    colours = [CLASS_COLOURS[name] for name in instances["class"]]
    names = [
        f"{name} {number}"
        for name, number in zip(instances["class"], instances["instance_id"], strict=True)
    ]
    shape = (ids.shape[0], ids.shape[1], ids.shape[2])
    with fresh_folder(out_folder) as staging:
        if filaments:
            write_filament_star(
                staging / STAR, filaments, tomogram_id=measurements.tomogram_id,
                voxel_size_angst=voxel_size_angst,
                tomogram_shapes={measurements.tomogram_id: shape},
            )  # fmt: skip
            write_imod_model(
                staging / MODEL, filaments, shape=shape, voxel_size_angst=voxel_size_angst,
                colour=CLASS_COLOURS["microtubule"],
            )  # fmt: skip
        if meshes:
            write_ply(staging / PLY, meshes, colours, instances["instance_id"].tolist())
            write_gltf(staging / GLTF, _scene(meshes, colours, names))
        if ome_zarr:
            _write_volumes(staging / ZARR, analysis_folder, ids, instances, voxel_size_angst)
        files = write_provenance(staging, provenance)
    return Geometry(len(meshes), len(filaments), files, provenance.simulated)


def _write_volumes(
    path: Path,
    analysis_folder: Path,
    ids: AnyArray,
    instances: pd.DataFrame,
    voxel_size_angst: float,
) -> None:
    classes, _ = read_labels(analysis_folder / LABELS)
    names = {number: name for number, name in CLASS_NAMES.items() if number > 0}
    rows = list(zip(instances["instance_id"], instances["class"], strict=True))
    write_ome_zarr(
        path,
        np.load(analysis_folder / DISPLAY, mmap_mode="r", allow_pickle=False),
        {
            "classes": LabelImage(
                classes.astype(np.uint8),
                names,
                {number: CLASS_COLOURS[name] for number, name in names.items()},
            ),
            "instances": LabelImage(
                ids,
                {int(number): str(name) for number, name in rows},
                {
                    int(number): SERIES_COLOURS[int(number) % len(SERIES_COLOURS)]
                    for number, _ in rows
                },
            ),
        },
        voxel_size_angst,
    )


def _filaments(folder: Path) -> list[Filament]:
    table, points = read_filaments(folder), read_filament_points(folder)
    found = []
    for row in table.to_dict("records"):
        own = points[points["filament_id"] == row["filament_id"]].sort_values("index")
        found.append(
            Filament(
                filament_id=int(row["filament_id"]),
                filament_class=str(row["class"]),
                points_angst=own[["z_nm", "y_nm", "x_nm"]].to_numpy(dtype=np.float64) * 10.0,
                starts_at_border=bool(row["starts_at_border"]),
                ends_at_border=bool(row["ends_at_border"]),
                confidence=float(row["confidence"]),
            )
        )
    return found


def _meshes(
    ids: AnyArray,
    instances: pd.DataFrame,
    voxel_size_angst: float,
    on_progress: Callable[[float], None],
) -> list[SurfaceMesh]:
    boxes = ndimage.find_objects(ids)
    meshes = []
    for count, number in enumerate(instances["instance_id"]):
        box = boxes[number - 1] if number <= len(boxes) else None
        if box is None:
            raise BadInputError(
                f"{INSTANCES}: expected voxels of instance {number}, found none; run the analysis "
                "again"
            )
        soft = ndimage.gaussian_filter(np.pad((ids[box] == number).astype(np.float32), 3), BLUR_VOX)
        start = [part.start for part in box]
        meshes.append(
            mesh_at_level(
                soft,
                min(0.5, 0.5 * float(soft.max())),
                voxel_size_nm=voxel_size_angst / 10.0,
                centre_vox=(3.0 - start[0], 3.0 - start[1], 3.0 - start[2]),
            )
        )
        on_progress((count + 1) / len(instances))
    return meshes


def _scene(meshes: list[SurfaceMesh], colours: list[str], names: list[str]) -> GltfScene:
    n = len(meshes)
    return GltfScene(
        names=tuple(names),
        meshes=tuple(meshes),
        colours=tuple(colours),
        kinds=np.arange(n),
        positions_nm=np.zeros((n, 3)),
        rotations=Rotation.identity(n),
        copy_names=tuple(names),
    )
