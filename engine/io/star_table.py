"""The table of a particle STAR file: found, screened, read as numbers."""

import linecache
import re
from pathlib import Path

import numpy as np
import pandas as pd
import starfile

from engine.data.arrays import Float64s
from engine.errors import BadInputError
from engine.io import star_columns as columns
from engine.io.particle_coordinates import require_finite, require_particle_file

# Pixel sizes of an optics group, the one that coordinates count in first.
OPTICS_PIXELS = ("rlnTomoTiltSeriesPixelSize", "rlnMicrographPixelSize", "rlnImagePixelSize")
BLOCK_NAME = re.compile(rb"^data_(\S*)\s*$", re.MULTILINE)


def particle_table(path: Path) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Find the block with coordinates, and the optics groups.

    Raises
    ------
    MissingFileError
        No such file.
    BadInputError
        Not one STAR table of particles.
    """
    tables = star_tables(path)
    known = (*columns.CORNER_COLUMNS, *columns.CENTRED_COLUMNS)
    name, table = one_table(tables, known, "rlnCoordinateX or rlnCenteredCoordinateXAngst", path)
    return table, tables.get("optics") if name != "optics" else None


def star_tables(path: Path) -> dict[str, pd.DataFrame]:
    """Every block of a STAR file, by name.

    Raises
    ------
    MissingFileError
        No such file.
    BadInputError
        No text that parses as STAR, or a block twice.
    """
    require_particle_file(path)
    data = path.read_bytes()
    names = BLOCK_NAME.findall(data)
    if not names or b"\0" in data or len(set(names)) != len(names):
        found = "a block twice" if names and b"\0" not in data else "none of its data blocks"
        raise BadInputError(f"{path.name}: expected a STAR file of particles, found {found}")
    # starfile's line cache outlives a file that it could not parse.
    linecache.checkcache(str(path))
    as_text = [*columns.TOMOGRAM_COLUMNS, *columns.CLASS_COLUMNS]
    try:
        blocks = starfile.read(path, always_dict=True, parse_as_string=as_text)
    except (ValueError, IndexError, KeyError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BadInputError(
            f"{path.name}: expected a STAR file of particles, found text that does not parse "
            f"({reason}); write it again",
            path=path,
        ) from error
    finally:
        linecache.clearcache()
    return {
        name: block if isinstance(block, pd.DataFrame) else pd.DataFrame([block])
        for name, block in blocks.items()
        if block is not None
    }


def one_table(
    tables: dict[str, pd.DataFrame], known: tuple[str, ...], wanted: str, path: Path
) -> tuple[str, pd.DataFrame]:
    """Name and table of the only block with a column of `known`, said as `wanted`.

    Raises
    ------
    BadInputError
        None or several have one, or a column is there twice.
    """
    found_in = [name for name, table in tables.items() if set(known) & set(table.columns)]
    if len(found_in) != 1:
        raise BadInputError(
            f"{path.name}: expected one STAR table with {wanted}, found {len(found_in)}; give the "
            "particle file",
            path=path,
        )
    table = tables[found_in[0]]
    if table.columns.has_duplicates:
        twice = table.columns[table.columns.duplicated()][0]
        raise BadInputError(f"{path.name}: expected each column once, found {twice} twice")
    return found_in[0], table


def refuse_unknown(table: pd.DataFrame, path: Path) -> None:
    """Refuse columns that may say where particles are in a way that TomoDx does not know.

    Raises
    ------
    BadInputError
        They are named.
    """
    handled = columns.handled_columns()
    unknown = [
        name for name in map(str, table) if name not in handled and columns.figure_of(name) is None
    ]
    if unknown:
        raise BadInputError(
            f"{path.name}: expected columns that TomoDx knows, found {', '.join(unknown)}, which "
            "may say where the particles are; remove what does not",
            path=path,
        )
    for name, meaning in columns.ZERO_COLUMNS.items():
        if name in table and (numbers_in(table, (name,), path) != 0).any():
            raise BadInputError(
                f"{path.name}: expected {name} to be 0 throughout, found {meaning}", path=path
            )


def numbers_in(table: pd.DataFrame, names: tuple[str, ...], path: Path) -> Float64s:
    """Columns as (n, k) float64.

    Raises
    ------
    BadInputError
        A column or a number is missing.
    """
    missing = [name for name in names if name not in table]
    if missing:
        raise BadInputError(
            f"{path.name}: expected the columns {', '.join(names)}, found no {', '.join(missing)}",
            path=path,
        )
    stacked = [pd.to_numeric(table[name], errors="coerce").to_numpy(np.float64) for name in names]
    return require_finite(np.stack(stacked, axis=1), ", ".join(names), path)


def recorded_voxel_size(
    table: pd.DataFrame, optics: pd.DataFrame | None, path: Path, is_needed: bool
) -> Float64s | None:
    """Sampling (n,), Å, that coordinates from the corner count in; None where the file is silent.

    Raises
    ------
    BadInputError
        The file names two samplings and `is_needed`, or a particle lacks its optics group.
    """
    if columns.DETECTOR_PIXEL in table:
        detector = numbers_in(table, (columns.DETECTOR_PIXEL,), path)[:, 0]
        if columns.MAGNIFICATION not in table:
            return detector  # pytom-match-pick: Å
        return detector * 1e4 / numbers_in(table, (columns.MAGNIFICATION,), path)[:, 0]
    per_particle = _by_optics_group(table, optics, path)
    for name in (*OPTICS_PIXELS, "rlnPixelSize"):
        if name in table and name not in per_particle:
            per_particle[name] = numbers_in(table, (name,), path)[:, 0]
    found = [name for name in OPTICS_PIXELS if name in per_particle]
    if not found:
        return per_particle.get("rlnPixelSize")
    sizes = per_particle[found[0]]
    if found[0] != OPTICS_PIXELS[0] and is_needed:
        for other in found[1:]:
            if (np.abs(per_particle[other] / sizes - 1.0) > 1e-3).any():
                raise BadInputError(
                    f"{path.name}: expected one voxel size, found {found[0]} {sizes[0]:g} and "
                    f"{other} {per_particle[other][0]:g}; say which the coordinates count in",
                    path=path,
                )
    return sizes


def _by_optics_group(
    table: pd.DataFrame, optics: pd.DataFrame | None, path: Path
) -> dict[str, Float64s]:
    if optics is None or not len(optics):
        return {}
    wanted = [name for name in OPTICS_PIXELS if name in optics]
    if not wanted:
        return {}
    if columns.OPTICS_GROUP in table and columns.OPTICS_GROUP in optics:
        groups = numbers_in(optics, (columns.OPTICS_GROUP,), path)[:, 0].tolist()
        rows = [
            groups.index(group) if group in groups else -1
            for group in numbers_in(table, (columns.OPTICS_GROUP,), path)[:, 0].tolist()
        ]
        if -1 in rows:
            raise BadInputError(
                f"{path.name}: expected an optics group for each particle, found none for particle "
                f"{rows.index(-1) + 1}",
                path=path,
            )
    elif len(optics) == 1:
        rows = [0] * len(table)
    else:
        raise BadInputError(f"{path.name}: expected rlnOpticsGroup for each particle, found none")
    index = np.array(rows, dtype=np.int64)
    return {name: numbers_in(optics, (name,), path)[index, 0] for name in wanted}
