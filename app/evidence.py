"""What a report shows of each analysed tomogram, read from the folders of the analyses."""

import io
import json
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from app.key_slices import JPEG_QUALITY, key_slice
from cohorts.store import TomogramRow
from diagnostics.report_values import KeyImage, TomogramEvidence, TracedFilament
from engine.data.organelles import Organelle
from engine.io.analysis_files import (
    PREVIEW,
    PROVENANCE,
    SHAPE_COLUMNS,
    STATE_COLUMNS,
    read_filament_points,
    read_filaments,
    read_instances,
)

PREVIEW_PX = 1500


def tomogram_evidence(rows: Sequence[TomogramRow]) -> list[TomogramEvidence]:
    """Evidence of every analysed tomogram, in the order given.

    Raises
    ------
    MissingFileError, BadInputError
        A file of an analysis is gone or not ours.
    """
    return [
        _evidence(row.tomogram_id, Path(row.analysis_folder))
        for row in rows
        if row.analysis_folder is not None
    ]


def organelles_of(instances: pd.DataFrame) -> tuple[Organelle, ...]:
    """The organelles of an analysis' table of instances, as far as every version wrote them."""
    return tuple(
        Organelle(
            instance_id=int(row["instance_id"]),
            organelle_class=str(row["class"]),
            volume_um3=float(row["volume_um3"]),
            surface_um2=float(row["surface_um2"]),
            sphericity=float(row["sphericity"]),
            centroid_angst=(10.0 * row["z_nm"], 10.0 * row["y_nm"], 10.0 * row["x_nm"]),
            touches_border=bool(row["touches_border"]),
            confidence=float(row["confidence"]),
            **_measured_too(row),
        )
        for row in instances.to_dict("records")
    )


def _measured_too(row: Mapping[Hashable, Any]) -> dict[str, Any]:
    """What later versions write beside: empty cells are None, numbers of things are whole."""
    names = [name for name in (*SHAPE_COLUMNS, *STATE_COLUMNS) if name in row]
    there = {name: row[name] for name in names if not pd.isna(row[name])}
    return {name: int(value) if name.startswith("n_") else value for name, value in there.items()}


def _evidence(tomogram_id: str, folder: Path) -> TomogramEvidence:
    instances, points = read_instances(folder), read_filament_points(folder)
    images = [key_slice(tomogram_id, folder, instances, points)]
    if (folder / PREVIEW).is_file():
        images.append(_preview(tomogram_id, folder / PREVIEW))
    return TomogramEvidence(
        tomogram_id=tomogram_id,
        facts=_facts(folder / PROVENANCE),
        organelles=organelles_of(instances),
        filaments=tuple(
            TracedFilament(
                filament_id=int(row["filament_id"]),
                length_nm=float(row["length_nm"]),
                starts_at_border=bool(row["starts_at_border"]),
                ends_at_border=bool(row["ends_at_border"]),
                confidence=float(row["confidence"]),
            )
            for row in read_filaments(folder).to_dict("records")
        ),
        images=tuple(images),
    )


def _facts(path: Path) -> tuple[tuple[str, str], ...]:
    recorded = json.loads(path.read_text(encoding="utf-8"))["tomogram"]
    size = " × ".join(str(n) for n in recorded["shape"])
    tilts = recorded["tilt_range_deg"]
    shown = f"{tilts[0]:g}° to {tilts[1]:g}°".replace("-", "−") if tilts else "not known"
    return (
        ("Size (z, y, x)", f"{size} voxels"),
        ("Voxel", f"{recorded['voxel_size_angst'] / 10:.3g} nm"),
        ("Tilt range", shown),
        ("Contrast as recorded", f"protein {recorded['recorded_contrast']}"),
    )


def _preview(tomogram_id: str, path: Path) -> KeyImage:
    """The analysis' own picture, as JPEG: noise makes PNG four times as large."""
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    picture.thumbnail((PREVIEW_PX, PREVIEW_PX))
    stream = io.BytesIO()
    picture.save(stream, format="JPEG", quality=JPEG_QUALITY, subsampling=0)
    return KeyImage(
        content=stream.getvalue(),
        media_type="image/jpeg",
        caption=f"{tomogram_id}: plain and marked sections as the analysis drew them.",
        alt=f"Plain and marked sections of tomogram {tomogram_id} with legend and key numbers.",
        wide=True,
    )
