"""Particle STAR files of RELION 3.1, 4 and 5, pytom-match-pick and Warp.

Where a particle is:

* `rlnCoordinateX` and the like count voxels from the centre of the first voxel, which is 0 (RELION
  3 and 4, pytom-match-pick; Warp's reference of particle files says the same in words). RELION 4
  counts in voxels of the unbinned tilt series, whatever the tomogram.
* `rlnCenteredCoordinateXAngst` and the like (RELION 5) count Å from the centre of the tomogram,
  which is at `RELION5_CENTRE` times its size in voxels: `centre = size / 2.0`, a fraction for odd
  sizes, in `TomogramSet::loadTomogram`, added in `ParticleSet::getParticleCoordDecenteredPixel`
  (RELION 5 source). Its Python picker subtracts `size / 2 - 1`, as did pytom-match-pick before 2025
  (RELION issue 1137), which puts particles one unbinned voxel further on; files do not say.
* `rlnOriginXAngst` and the like are subtracted, turned by `rlnTomoSubtomogramRot`, `-Tilt`, `-Psi`
  where there are any; the orientation is then that of the box times that in the box
  (`ParticleSet::getPosition`, `getMatrix3x3`).
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from scipy.spatial.transform import Rotation

from engine.data.arrays import Float64s
from engine.data.orientations import relion_from_rotations, rotations_from_relion
from engine.data.particles import ParticleSet
from engine.errors import BadInputError
from engine.io import star_columns as columns
from engine.io.digests import write_text_atomically
from engine.io.particle_coordinates import (
    ORIENTATION_KNOWN,
    TomogramShapes,
    are_oriented,
    identities,
    positions_from_voxels,
    require_voxel_size,
    shape_of,
    voxel_sizes,
    voxels_from_positions,
)
from engine.io.star_table import (
    numbers_in,
    particle_table,
    recorded_voxel_size,
    refuse_unknown,
)

Flavour = Literal["relion4", "relion5", "relion31"]
# The centre of a tomogram of n voxels lies at coordinate 0.5 n, where voxel 0 is centred on 0.
RELION5_CENTRE = 0.5


def read_star(
    path: Path,
    *,
    voxel_size_angst: float | None = None,
    default_voxel_size_angst: float | None = None,
    tomogram_shapes: TomogramShapes | None = None,
    allow_missing_angles: bool = False,
) -> ParticleSet:
    """Read the particles of a STAR file.

    Numeric columns of note become figures, `rlnLCCmax` the `score`; names, optics, contrast
    transfer and priors are left out (`engine.io.star_columns`). Without a column of tomogram names
    the particles belong to one named as the file.

    Parameters
    ----------
    voxel_size_angst
        Overrides what the file records: of the coordinates, or of `tomogram_shapes` where the
        coordinates count from a centre.
    default_voxel_size_angst
        For files that do not record it.
    tomogram_shapes
        Shape (z, y, x) in voxels; needed for coordinates that count from a centre. A file's own
        pixel size is that of the unbinned tilt series and does not apply to them.
    allow_missing_angles
        Take particles without orientation. They get the identity, which is wrong for all of them,
        and the figure `orientation_known` 0.

    Raises
    ------
    MissingFileError
        No such file.
    BadInputError
        Not a particle file; a column of geometry that is not handled, or any that is not known, by
        name; a coordinate or angle that is missing; no voxel size.
    """
    table, optics = particle_table(path)
    refuse_unknown(table, path)
    n = len(table)
    shift_xyz_angst = np.zeros((n, 3))
    if any(name in table for name in columns.ORIGIN_COLUMNS):
        shift_xyz_angst = numbers_in(table, columns.ORIGIN_COLUMNS, path)
    rotations, oriented = _rotations(table, path, allow_missing_angles)
    if any(name in table for name in columns.BOX_ANGLE_COLUMNS) and n:
        of_box = rotations_from_relion(numbers_in(table, columns.BOX_ANGLE_COLUMNS, path))
        shift_xyz_angst = of_box.apply(shift_xyz_angst)
        rotations = of_box * rotations
    names = _tomogram_names(table, path)
    given = (voxel_size_angst, default_voxel_size_angst)
    if any(name in table for name in columns.CENTRED_COLUMNS):
        positions = _centred_positions(table, path, names, given, tomogram_shapes)
    else:
        recorded = recorded_voxel_size(table, optics, path, voxel_size_angst is None)
        sizes = _sizes(path, n, recorded, given)
        positions = positions_from_voxels(numbers_in(table, columns.CORNER_COLUMNS, path), sizes)
    figures = _figures(table, path)
    if not oriented:
        figures[ORIENTATION_KNOWN] = np.zeros(n)
    return ParticleSet(
        positions_angst=positions - shift_xyz_angst[:, ::-1],
        rotations=rotations,
        tomogram_ids=names,
        class_names=_class_names(table),
        figures=figures,
    )


def _sizes(
    path: Path, n: int, recorded: Float64s | None, given: tuple[float | None, float | None]
) -> Float64s:
    """Voxel size of each coordinate; `given` is what overrides the file and what stands in."""
    return voxel_sizes(
        path, n, recorded_angst=recorded, given_angst=given[0], default_angst=given[1]
    )


def _centred_positions(
    table: pd.DataFrame,
    path: Path,
    names: tuple[str, ...],
    given: tuple[float | None, float | None],
    shapes: TomogramShapes | None,
) -> Float64s:
    """Positions (n, 3) in (z, y, x), Å, of coordinates that count from the tomogram's centre."""
    centred = numbers_in(table, columns.CENTRED_COLUMNS, path)
    sizes = _sizes(path, len(table), None, given)
    known = {name: shape_of(name, shapes, path) for name in dict.fromkeys(names)}
    centres_vox = np.array([known[name] for name in names]).reshape(-1, 3) * RELION5_CENTRE
    return np.asarray(centred[:, ::-1] + centres_vox * sizes[:, np.newaxis])


def write_star(
    path: Path,
    particles: ParticleSet,
    *,
    flavour: Flavour,
    voxel_size_angst: float,
    tomogram_shapes: TomogramShapes | None = None,
) -> None:
    """Write particles as RELION reads them; the same particles give the same bytes.

    The `score` becomes `rlnLCCmax`; figures without a label in the field become columns such as
    `tomodxPValue`, and the class `tomodxTemplate`. RELION warns of labels that it does not know
    and carries their values along (`MetaDataTable::readStarLoop`; 3.1.0 and 3.1.1 crash on them
    when they write, RELION issue 744). Sets without known orientation get no angles.

    Parameters
    ----------
    flavour
        `relion4`: `rlnTomoName` and voxels, which RELION 4 takes for those of the unbinned tilt
        series. `relion31`: `rlnMicrographName`, voxels, origin shifts of 0. Both with an optics
        group of the voxel size. `relion5`: Å from the centre of the tomogram, without optics group:
        RELION 5 makes it from its tomograms.
    tomogram_shapes
        (z, y, x) in voxels of `voxel_size_angst`; for `relion5`.

    Raises
    ------
    BadInputError
        A voxel size that is not positive, a shape that is missing, a name with a quote or a line
        end.
    OutputNotWritableError
        The file cannot be written.
    """
    require_voxel_size(voxel_size_angst)
    name_column = columns.TOMOGRAM_COLUMNS[1 if flavour == "relion31" else 0]
    table = {name_column: [_quoted(name) for name in particles.tomogram_ids]}
    if flavour == "relion5":
        names = particles.tomogram_ids
        shapes = [shape_of(name, tomogram_shapes, path) for name in names]
        centres = np.array(shapes).reshape(-1, 3) * RELION5_CENTRE * voxel_size_angst
        coordinates = (particles.positions_angst - centres)[:, ::-1]
        labels = columns.CENTRED_COLUMNS
    else:
        coordinates = voxels_from_positions(particles.positions_angst, voxel_size_angst)
        labels = columns.CORNER_COLUMNS
    table |= _fixed_columns(labels, coordinates)
    if are_oriented(particles):
        table |= _fixed_columns(columns.ANGLE_COLUMNS, relion_from_rotations(particles.rotations))
    if flavour == "relion31":
        table |= _fixed_columns(columns.ORIGIN_COLUMNS, np.zeros((len(particles), 3)))
    version = "# version 50001" if flavour == "relion5" else "# version 30001"
    blocks = []
    if flavour != "relion5":
        table[columns.OPTICS_GROUP] = ["1"] * len(particles)
        pixel = "rlnImagePixelSize" if flavour == "relion31" else "rlnTomoTiltSeriesPixelSize"
        group = {columns.OPTICS_GROUP: ["1"], "rlnOpticsGroupName": ["opticsGroup1"]}
        blocks.append(_block("optics", {**group, pixel: [repr(float(voxel_size_angst))]}))
    table |= _figure_columns(particles)
    if any(particles.class_names):
        table[columns.CLASS_COLUMNS[0]] = [_quoted(name) for name in particles.class_names]
    blocks.append(_block("particles", table))
    write_text_atomically(path, "\n".join(f"{version}\n\n{block}" for block in blocks))


def _rotations(table: pd.DataFrame, path: Path, may_lack: bool) -> tuple[Rotation, bool]:
    if any(name in table for name in columns.ANGLE_COLUMNS):
        return rotations_from_relion(numbers_in(table, columns.ANGLE_COLUMNS, path)), True
    if any(name in table for name in columns.BOX_ANGLE_COLUMNS):
        # As RELION does: no angle within the box that was cut in this orientation.
        return identities(len(table)), True
    if not may_lack:
        raise BadInputError(
            f"{path.name}: expected rlnAngleRot, rlnAngleTilt and rlnAnglePsi, found no angles; "
            "allow missing angles to use the positions alone",
            path=path,
        )
    return identities(len(table)), False


def _tomogram_names(table: pd.DataFrame, path: Path) -> tuple[str, ...]:
    for column in columns.TOMOGRAM_COLUMNS:
        if column in table:
            names = table[column]
            if names.isna().any():
                raise BadInputError(f"{path.name}: expected a {column} for each particle")
            return tuple(str(name) for name in names)
    return (path.stem,) * len(table)


def _class_names(table: pd.DataFrame) -> tuple[str, ...]:
    for column in columns.CLASS_COLUMNS:
        if column in table:
            return tuple("" if pd.isna(name) else str(name) for name in table[column])
    return ("",) * len(table)


def _figures(table: pd.DataFrame, path: Path) -> dict[str, Float64s]:
    figures: dict[str, Float64s] = {}
    for column in map(str, table):
        name = columns.figure_of(column)
        if name is None:
            continue
        if name in figures:
            raise BadInputError(f"{path.name}: expected one column of {name}, found {column} too")
        figures[name] = pd.to_numeric(table[column], errors="coerce").to_numpy(np.float64)
    return figures


def _fixed_columns(labels: tuple[str, ...], values: Float64s) -> dict[str, list[str]]:
    """Nine decimals: 1e-9 of a voxel, an Å or a degree."""
    return {
        label: [f"{value:.9f}" for value in values[:, i] + 0.0] for i, label in enumerate(labels)
    }


def _figure_columns(particles: ParticleSet) -> Mapping[str, list[str]]:
    table = {}
    for name, values in particles.figures.items():
        if name == ORIENTATION_KNOWN and not are_oriented(particles):
            continue
        label = columns.column_of(name)
        whole = label in columns.WHOLE_NUMBERS
        if whole and not np.array_equal(values, np.rint(values)):
            label, whole = columns.own_column_of(name), False
        table[label] = [str(int(value)) if whole else repr(float(value)) for value in values]
    return table


def _quoted(name: str) -> str:
    if any(character in name for character in "\"'\n\r#"):
        raise BadInputError(f"expected a name without quote, # or line end, found {name!r}")
    return f'"{name}"' if not name or re.search(r"\s", name) else name


def _block(name: str, table: Mapping[str, list[str]]) -> str:
    header = [f"data_{name}", "", "loop_"]
    header += [f"_{label} #{number}" for number, label in enumerate(table, start=1)]
    rows = [" ".join(row) for row in zip(*table.values(), strict=True)]
    return "\n".join([*header, *rows]) + "\n\n"
