"""What is really in a simulated tomogram, as tables and volumes."""

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from engine.data.arrays import AnyArray
from engine.io.digests import write_text_atomically
from engine.io.mrc import write_volume
from engine.simulation.case import Truth

INSTANCE_COLUMNS = (
    "instance_id",
    "class",
    "volume_um3",
    "z_nm",
    "y_nm",
    "x_nm",
    "touches_border",
)
POINT_COLUMNS = ("filament_id", "index", "z_nm", "y_nm", "x_nm")


def write_truth(truth: Truth, folder: Path, voxel_size_angst: float | None = None) -> None:
    """Write `instances.csv`, `filament_points.csv` and, with a voxel size, the label volumes.

    Volumes: `regions.mrc` (class ids without membranes and filaments), `instances.mrc`,
    `membrane.mrc` and `microtubule_core.mrc` (0 or 1).
    """
    folder.mkdir(parents=True, exist_ok=True)
    instances = (
        (
            one.instance_id,
            one.organelle_class,
            f"{one.volume_um3:.6g}",
            *(f"{angst / 10:.3f}" for angst in one.centroid_angst),
            "true" if one.touches_border else "false",
        )
        for one in truth.organelles
    )
    write_text_atomically(folder / "instances.csv", _csv(INSTANCE_COLUMNS, instances))
    points = (
        (line.filament_id, index, *(f"{angst / 10:.3f}" for angst in point))
        for line in truth.filaments
        for index, point in enumerate(line.points_angst)
    )
    write_text_atomically(folder / "filament_points.csv", _csv(POINT_COLUMNS, points))
    if voxel_size_angst is None:
        return
    volumes: dict[str, AnyArray] = {
        "regions": truth.regions,
        "instances": truth.instances,
        "membrane": truth.membrane.astype("uint8"),
        "microtubule_core": truth.microtubule_core.astype("uint8"),
    }
    for name, volume in volumes.items():
        write_volume(
            folder / f"{name}.mrc", volume, voxel_size_angst, label="TomoDx simulated truth"
        )


def _csv(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return stream.getvalue()
