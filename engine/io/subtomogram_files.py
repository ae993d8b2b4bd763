"""Stacks of subtomograms: HDF5, MRC volume stacks, STAR files that name one file a particle."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import mrcfile
import numpy as np
import pandas as pd

from engine import __version__
from engine.data.arrays import Float32s
from engine.data.provenance import Provenance, parameters_digest
from engine.data.subtomograms import SubtomogramStack
from engine.data.tomogram import Tomogram
from engine.errors import BadInputError, MissingFileError
from engine.io.bare_map import read_bare_map
from engine.io.digests import atomic_file, digest_of
from engine.io.mrc import GivenContrast, read_tomogram
from engine.io.mrc_header import SIMULATED_WORDS, read_header
from engine.io.star_table import one_table, star_tables

HDF5_SUFFIXES = (".h5", ".hdf5", ".hdf")
# Names under which others keep subtomograms and their classes.
IMAGE_SETS = ("subtomograms", "images", "data", "volumes")
LABEL_SETS = ("labels", "classes", "class_names")
VOXEL_ATTRIBUTES = ("voxel_size_angst", "voxel_size", "apix")
IMAGE_COLUMN = "rlnImageName"
# First in the list that a file has.
CLASS_COLUMNS = ("tomodxTemplate", "rlnClassNumber")


@dataclass(frozen=True)
class _Found:
    """What a file says; names and labels are empty where it does not."""

    voxels: Float32s
    voxel_size_angst: float | None
    labels: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    simulated: bool = False


def read_subtomograms(
    path: Path, *, voxel_size_angst: float | None = None, contrast: GivenContrast = "bright"
) -> SubtomogramStack:
    """Read a stack of subtomograms and turn protein bright.

    Parameters
    ----------
    path
        HDF5 with a data set `subtomograms` (n, z, y, x), its attribute `voxel_size_angst` and,
        where classes are known, a data set `labels` of texts; an MRC volume stack (4-D, or cubes
        one behind the other along z) or single map; or a STAR file with `rlnImageName`, one file
        each.
    voxel_size_angst
        Overrides the file's.
    contrast
        Of protein in the file; small boxes do not settle it by themselves, so that `auto` is
        refused.

    Raises
    ------
    MissingFileError
        No such file, or one that a STAR file names.
    BadInputError
        No stack of cubes, or no voxel size.
    """
    if contrast == "auto":
        raise BadInputError("expected a contrast of subtomograms, bright or dark: give --contrast")
    if not path.is_file():
        raise MissingFileError(f"no file {path}")
    suffix = path.suffix.lower()
    if suffix in HDF5_SUFFIXES:
        found = _from_hdf5(path)
    elif suffix == ".star":
        found = _from_star(path, voxel_size_angst)
    else:
        found = _from_mrc(path, voxel_size_angst)
    sampling = voxel_size_angst or found.voxel_size_angst
    if not sampling:
        raise BadInputError(f"{path.name}: no voxel size recorded; give --voxel-size-angst")
    n = len(found.voxels)
    return SubtomogramStack(
        -found.voxels if contrast == "dark" else found.voxels,
        sampling,
        found.names or tuple(str(index + 1) for index in range(n)),
        found.labels or ("",) * n,
        Provenance(
            software_version=__version__,
            parameters_sha256=parameters_digest(
                {"voxel_size_angst": voxel_size_angst, "contrast": contrast}
            ),
            inputs=(digest_of(path),),
            simulated=found.simulated,
        ),
    )


def is_subtomogram_file(path: Path) -> bool:
    """Whether a file holds or names subtomograms, not just where particles are."""
    if path.suffix.lower() == ".star":
        return any(IMAGE_COLUMN in table for table in star_tables(path).values())
    return path.suffix.lower() != ".csv"


def write_subtomograms(path: Path, stack: SubtomogramStack) -> None:
    """Write a stack as HDF5 that `read_subtomograms` reads again; whole or not at all."""
    h5py = _h5py()
    with atomic_file(path) as staging, h5py.File(staging, "w") as file:
        images = file.create_dataset("subtomograms", data=stack.voxels, compression="gzip")
        images.attrs["voxel_size_angst"] = stack.voxel_size_angst
        images.attrs["simulated"] = stack.provenance.simulated
        text = h5py.string_dtype()
        file.create_dataset("labels", data=list(stack.labels), dtype=text)
        file.create_dataset("names", data=list(stack.names), dtype=text)


def _h5py() -> ModuleType:
    try:
        return importlib.import_module("h5py")
    except ImportError as error:
        raise BadInputError(
            "HDF5 needs the extra `train`: pip install 'tomodx[train]', or give an MRC stack"
        ) from error


def _from_hdf5(path: Path) -> _Found:
    h5py = _h5py()
    try:
        with h5py.File(path, "r") as file:
            images = next((file[name] for name in IMAGE_SETS if name in file), None)
            if images is None:
                raise BadInputError(
                    f"{path.name}: expected a data set {IMAGE_SETS[0]!r} (n, z, y, x), found "
                    f"{', '.join(file) or 'nothing'}"
                )
            attributes = {**file.attrs, **images.attrs}
            labels = next((file[name][()] for name in LABEL_SETS if name in file), ())
            names = file["names"][()] if "names" in file else ()
            voxels = _cubes(np.asarray(images[()], dtype=np.float32), path)
    except OSError as error:
        raise BadInputError(f"{path.name}: not readable as HDF5") from error
    recorded = [float(attributes[name]) for name in VOXEL_ATTRIBUTES if name in attributes]
    return _Found(
        voxels,
        recorded[0] if recorded else None,
        tuple(_text(one) for one in labels),
        tuple(_text(one) for one in names),
        bool(attributes.get("simulated", False)),
    )


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _from_mrc(path: Path, voxel_size_angst: float | None) -> _Found:
    try:
        header = read_header(path)
    except BadInputError as error:
        raise BadInputError(f"{path.name}: no whole MRC file: {error}") from error
    if len(set(header.shape)) == 1 and not header.is_volume_stack:
        # One map, with all that maps are forgiven: an older header, the flag of an image stack.
        bare = read_bare_map(path, voxel_size_angst=voxel_size_angst)
        return _Found(bare.voxels[None], bare.voxel_size_angst, simulated=bare.simulated)
    try:
        with mrcfile.open(path, permissive=False) as file:
            data = np.asarray(file.data, dtype=np.float32)
            recorded = float(file.voxel_size.x) or None
            simulated = any(SIMULATED_WORDS in label for label in file.get_labels())
    except ValueError as error:
        raise BadInputError(f"{path.name}: no whole MRC file: {error}") from error
    return _Found(_cubes(data, path), recorded, simulated=simulated)


def _cubes(data: Float32s, path: Path) -> Float32s:
    """Cubes (n, side, side, side) of a 4-D array, or of one volume of cubes along z."""
    if data.ndim == 5 and 1 in (data.shape[1], data.shape[4]):
        data = data[:, 0] if data.shape[1] == 1 else data[..., 0]
    if data.ndim == 3 and data.shape[1] == data.shape[2] and data.shape[0] % data.shape[1] == 0:
        data = data.reshape(-1, *(data.shape[1],) * 3)
    if data.ndim != 4 or len(set(data.shape[1:])) != 1:
        raise BadInputError(
            f"{path.name}: expected cubic subtomograms (n, side, side, side), found {data.shape}"
        )
    return data


def _from_star(path: Path, voxel_size_angst: float | None) -> _Found:
    wanted = f"{IMAGE_COLUMN} (one file a particle)"
    _, table = one_table(star_tables(path), (IMAGE_COLUMN,), wanted, path)
    names = [str(one) for one in table[IMAGE_COLUMN]]
    volumes = [_one_volume(path, name, voxel_size_angst) for name in names]
    shapes = {volume.voxels.shape for volume in volumes}
    if len(shapes) > 1:
        raise BadInputError(f"{path.name}: subtomograms of several sizes: {sorted(shapes)}")
    stacked = _cubes(np.stack([volume.voxels for volume in volumes]), path)
    simulated = any(volume.provenance.simulated for volume in volumes)
    sampling = volumes[0].voxel_size_angst
    return _Found(stacked, sampling, _classes(table), tuple(names), simulated)


def _classes(table: pd.DataFrame) -> tuple[str, ...]:
    column = next((name for name in CLASS_COLUMNS if name in table), None)
    if column is None:
        return ()
    return tuple("" if pd.isna(one) else str(one) for one in table[column])


def _one_volume(path: Path, name: str, voxel_size_angst: float | None) -> Tomogram:
    place = Path(name)
    tried: Sequence[Path] = (place,) if place.is_absolute() else (path.parent / place, place)
    found = next((one for one in tried if one.is_file()), None)
    if found is None:
        raise MissingFileError(f"{path.name}: no file {name} that it names")
    return read_tomogram(found, voxel_size_angst=voxel_size_angst, contrast="bright")
