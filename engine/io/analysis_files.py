"""The folder that `tomodx analyze` writes, and its readers."""

import csv
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from engine.data.labels import CLASS_NAMES
from engine.data.measurements import (
    Measurement,
    OrganelleMeasurements,
    QualityFlag,
    TomogramAnalysis,
)
from engine.data.organelles import Organelle
from engine.data.provenance import FileDigest, Provenance
from engine.data.tomogram import Tomogram
from engine.errors import BadInputError, MissingFileError
from engine.io.digests import fresh_folder, sha256_of, write_text_atomically
from engine.io.display import write_display
from engine.io.mrc import write_volume
from engine.io.mrc_header import SIMULATED_WORDS
from engine.io.preview import write_preview

LABELS, LABEL_NAMES, INSTANCES = "labels.mrc", "labels.json", "instances.mrc"
INSTANCE_TABLE, FILAMENT_TABLE = "instances.csv", "filaments.csv"
POINT_TABLE, MEASUREMENTS = "filament_points.csv", "measurements.json"
RIBOSOME_TABLE = "ribosomes.csv"
PREVIEW, DISPLAY, PROVENANCE = "preview.png", "display.npy", "provenance.json"
# Provenance comes last: it holds the digests of the others.
ANALYSIS_FILES = (
    LABELS,
    LABEL_NAMES,
    INSTANCES,
    INSTANCE_TABLE,
    FILAMENT_TABLE,
    POINT_TABLE,
    RIBOSOME_TABLE,
    MEASUREMENTS,
    PREVIEW,
    DISPLAY,
    PROVENANCE,
)
INSTANCE_COLUMNS = {
    "instance_id": "int64",
    "class": "str",
    "volume_um3": "float64",
    "surface_um2": "float64",
    "sphericity": "float64",
    "z_nm": "float64",
    "y_nm": "float64",
    "x_nm": "float64",
    "touches_border": "bool",
    "confidence": "float64",
}
# Absent in folders of older versions; empty where not measured.
SHAPE_COLUMNS = (
    "length_nm",
    "smallest_diameter_nm",
    "n_branches",
    "membrane_distance_nm",
    "membrane_spacing_nm",
    "crista_volume_ratio",
    "n_crista_junctions",
    "n_matrix_granules",
    "matrix_granule_diameter_nm",
)
STATE_COLUMNS = ("state", "state_probability")
FILAMENT_COLUMNS = {
    "filament_id": "int64",
    "class": "str",
    "length_nm": "float64",
    "starts_at_border": "bool",
    "ends_at_border": "bool",
    "confidence": "float64",
}
POINT_COLUMNS = {
    "filament_id": "int64",
    "index": "int64",
    "z_nm": "float64",
    "y_nm": "float64",
    "x_nm": "float64",
}

RIBOSOME_COLUMNS = {
    "z_nm": "float64",
    "y_nm": "float64",
    "x_nm": "float64",
    "confidence": "float64",
}


def write_analysis(analysis: TomogramAnalysis, tomogram: Tomogram, folder: Path) -> None:
    """Write `ANALYSIS_FILES`; the folder appears when all of them are in it.

    Parameters
    ----------
    analysis
        Labels and instances have the shape of the tomogram.
    tomogram
        What was analysed.
    folder
        New, empty, or written by an earlier analysis, which is then replaced.

    Raises
    ------
    BadInputError
        Labels or instances of another shape than the tomogram.
    OutputNotWritableError
        The folder cannot be made or holds files of others.
    """
    shapes = {analysis.labels.labels.shape, analysis.instances.ids.shape, tomogram.voxels.shape}
    if len(shapes) > 1:
        raise BadInputError(
            f"{tomogram.tomogram_id}: labels, instances and tomogram must have one shape, "
            f"found {sorted(shapes)}"
        )
    simulated = analysis.measurements.provenance.simulated or tomogram.provenance.simulated
    words = f"{SIMULATED_WORDS}: " if simulated else ""
    with fresh_folder(folder) as staging:
        voxel_size_angst = tomogram.voxel_size_angst
        write_volume(
            staging / LABELS,
            analysis.labels.labels,
            voxel_size_angst,
            label=f"{words}class of every voxel, names in {LABEL_NAMES}",
        )
        write_volume(
            staging / INSTANCES,
            analysis.instances.ids,
            voxel_size_angst,
            label=f"{words}instance of every voxel, rows in {INSTANCE_TABLE}",
        )
        _write_tables(analysis, staging)
        write_display(staging / DISPLAY, tomogram)
        write_preview(staging / PREVIEW, analysis, tomogram)
        _write_json(staging / PROVENANCE, _provenance_json(analysis, tomogram, staging))


def read_measurements(folder: Path) -> OrganelleMeasurements:
    """Read the features, flags and provenance of an analysis.

    Raises
    ------
    MissingFileError, BadInputError
        Not the folder of an analysis.
    """
    values = _read_json(folder / MEASUREMENTS)
    origin = _read_json(folder / PROVENANCE)
    try:
        return OrganelleMeasurements(
            tomogram_id=origin["tomogram"]["id"],
            values={name: Measurement(**fields) for name, fields in values.items()},
            flags=tuple(QualityFlag(**flag) for flag in origin["quality_flags"]),
            provenance=Provenance(
                software_version=origin["software_version"],
                parameters_sha256=origin["parameters_sha256"],
                inputs=tuple(FileDigest(**digest) for digest in origin["inputs"]),
                models=tuple(FileDigest(**digest) for digest in origin["models"]),
                seed=origin["seed"],
                simulated=origin["simulated"],
            ),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise _not_ours(folder, f"a {MEASUREMENTS} or {PROVENANCE} of another form") from error


def read_instances(folder: Path) -> pd.DataFrame:
    """Read `instances.csv`: one row an organelle."""
    return _read_table(folder / INSTANCE_TABLE, INSTANCE_COLUMNS)


def read_filaments(folder: Path) -> pd.DataFrame:
    """Read `filaments.csv`: one row a filament."""
    return _read_table(folder / FILAMENT_TABLE, FILAMENT_COLUMNS)


def read_filament_points(folder: Path) -> pd.DataFrame:
    """Read `filament_points.csv`: the centre lines, in order."""
    return _read_table(folder / POINT_TABLE, POINT_COLUMNS)


def read_ribosomes(folder: Path) -> pd.DataFrame:
    """Read `ribosomes.csv`: one row a ribosome; none in folders of older versions."""
    if not (folder / RIBOSOME_TABLE).is_file():
        return pd.DataFrame(columns=list(RIBOSOME_COLUMNS), dtype="float64")
    return _read_table(folder / RIBOSOME_TABLE, RIBOSOME_COLUMNS)


def measurement_json(measurement: Measurement) -> dict[str, Any]:
    """Give a measurement as in `measurements.json`, numbers to nine significant digits."""
    return {
        "value": rounded(measurement.value),
        "unit": measurement.unit,
        "low": rounded(measurement.low),
        "high": rounded(measurement.high),
        "n": measurement.n,
        "not_assessable": measurement.not_assessable,
    }


def rounded(value: float | None) -> float | None:
    """Round to nine significant digits, so that last-bit differences do not reach a file."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.9g}")


def _write_tables(analysis: TomogramAnalysis, folder: Path) -> None:
    _write_json(folder / LABEL_NAMES, {str(key): name for key, name in CLASS_NAMES.items()})
    write_text_atomically(
        folder / INSTANCE_TABLE, instance_table_text(analysis.instances.organelles)
    )
    _write_csv(
        folder / FILAMENT_TABLE,
        FILAMENT_COLUMNS,
        (
            (
                str(line.filament_id),
                line.filament_class,
                _number(line.length_nm, ".3f"),
                _truth(line.starts_at_border),
                _truth(line.ends_at_border),
                _number(line.confidence, ".4f"),
            )
            for line in analysis.filaments
        ),
    )
    _write_csv(
        folder / POINT_TABLE,
        POINT_COLUMNS,
        (
            (str(line.filament_id), str(index), *(_number(angst / 10, ".3f") for angst in point))
            for line in analysis.filaments
            for index, point in enumerate(line.points_angst)
        ),
    )
    _write_csv(
        folder / RIBOSOME_TABLE,
        RIBOSOME_COLUMNS,
        (
            (*(_number(angst / 10, ".3f") for angst in centre), _number(confidence, ".4f"))
            for centre, confidence in zip(
                analysis.ribosomes_angst, analysis.ribosome_confidence, strict=True
            )
        ),
    )
    values = analysis.measurements.values
    _write_json(
        folder / MEASUREMENTS, {name: measurement_json(value) for name, value in values.items()}
    )


def instance_table_text(organelles: Iterable[Organelle]) -> str:
    """The content of `instances.csv`."""
    columns = (*INSTANCE_COLUMNS, *SHAPE_COLUMNS, *STATE_COLUMNS)
    return _csv_text(columns, (_instance_row(one) for one in organelles))


def _instance_row(organelle: Organelle) -> tuple[str, ...]:
    return (
        str(organelle.instance_id),
        organelle.organelle_class,
        _number(organelle.volume_um3, ".6g"),
        _number(organelle.surface_um2, ".6g"),
        _number(organelle.sphericity, ".4f"),
        *(_number(angst / 10, ".3f") for angst in organelle.centroid_angst),
        _truth(organelle.touches_border),
        _number(organelle.confidence, ".4f"),
        *(_number(getattr(organelle, name), ".5g") for name in SHAPE_COLUMNS),
        organelle.state or "",
        _number(organelle.state_probability, ".4f"),
    )


def _provenance_json(
    analysis: TomogramAnalysis, tomogram: Tomogram, folder: Path
) -> dict[str, Any]:
    tilts = tomogram.tilt_range
    provenance = asdict(analysis.measurements.provenance)
    provenance["simulated"] = provenance["simulated"] or tomogram.provenance.simulated
    return {
        "tomogram": {
            "id": analysis.measurements.tomogram_id,
            "shape": list(tomogram.voxels.shape),
            "voxel_size_angst": rounded(tomogram.voxel_size_angst),
            "recorded_contrast": tomogram.recorded_contrast,
            "tilt_range_deg": [tilts.min_deg, tilts.max_deg] if tilts else None,
        },
        **provenance,
        "reader_parameters_sha256": tomogram.provenance.parameters_sha256,
        "quality_flags": [asdict(flag) for flag in analysis.measurements.flags],
        "files": {name: sha256_of(folder / name) for name in ANALYSIS_FILES if name != PROVENANCE},
        "notice": "Research use only.",
    }


def _number(value: float | None, form: str) -> str:
    """Format a number without regard to the locale; empty where there is none or no finite one."""
    if value is None or not math.isfinite(value):
        return ""
    text = format(value, form)
    return text[1:] if text.startswith("-") and float(text) == 0 else text


def _truth(value: bool) -> str:
    return "true" if value else "false"


def _write_csv(path: Path, columns: Iterable[str], rows: Iterable[Sequence[str]]) -> None:
    write_text_atomically(path, _csv_text(columns, rows))


def _csv_text(columns: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


def _write_json(path: Path, value: object) -> None:
    write_text_atomically(
        path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    )


def _read_json(path: Path) -> dict[str, Any]:
    _require(path)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise _not_ours(path.parent, f"a {path.name} that is no JSON") from error
    if not isinstance(value, dict):
        raise _not_ours(path.parent, f"a {path.name} of another form")
    return value


def _read_table(path: Path, columns: dict[str, str]) -> pd.DataFrame:
    _require(path)
    try:
        table = pd.read_csv(path, dtype={k: v for k, v in columns.items() if v != "bool"})
    except ValueError as error:
        raise _not_ours(path.parent, f"a {path.name} of another form ({error})") from error
    missing = [name for name in columns if name not in table]
    if missing:
        raise _not_ours(path.parent, f"a {path.name} without the column {missing[0]}")
    # A table without rows gives pandas nothing to tell a truth value by.
    return table.astype({name: np.bool_ for name, kind in columns.items() if kind == "bool"})


def _require(path: Path) -> None:
    if not path.is_file():
        raise MissingFileError(
            f"expected the folder of an analysis, found no {path.name} in {path.parent}; "
            "run tomodx analyze again",
            path=str(path),
        )


def _not_ours(folder: Path, found: str) -> BadInputError:
    return BadInputError(
        f"expected the folder of an analysis, found {found} in {folder}; run tomodx analyze again",
        path=str(folder),
    )
