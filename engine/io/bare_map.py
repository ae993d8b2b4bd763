"""An MRC map without a description beside it: its voxels, voxel size and whether to trust them."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine import __version__
from engine.data.arrays import Float32s
from engine.data.provenance import Provenance, parameters_digest
from engine.data.template import Template
from engine.errors import BadInputError, MissingFileError
from engine.io.digests import digest_of
from engine.io.mrc import tomogram_id_of
from engine.io.mrc_faults import claim_faults, structure_faults
from engine.io.mrc_header import MrcHeader, read_header
from engine.io.mrc_scan import slabs, summary_for
from engine.matching.template_masks import largest_radius_vox, sphere_around
from engine.matching.template_structure import find_structure

logger = logging.getLogger(__name__)

# A template beyond this many voxels is a tomogram given by mistake.
LARGEST_SIDE_VOX = 1024
SMALLEST_SIDE_VOX = 4
# Their squares must fit float32.
LARGEST_VALUE = 1e15


@dataclass(frozen=True)
class BareMap:
    """Voxels (z, y, x) as they are in the file, with their sampling."""

    voxels: Float32s
    voxel_size_angst: float
    simulated: bool


def read_bare_map(
    path: Path,
    *,
    voxel_size_angst: float | None = None,
    size_option: str = "--voxel-size-angst",
) -> BareMap:
    """Read a map of one structure from an MRC file, plain or compressed.

    A cubic file that is flagged as a stack of images (space group 0, which several programs write
    into maps) is taken as a volume; any other is refused unless its voxel size is given.

    Parameters
    ----------
    voxel_size_angst
        Overrides the header.
    size_option
        What an error calls the option that gives it.

    Raises
    ------
    MissingFileError
        No such file.
    BadInputError
        No MRC file, an image stack, a voxel size that is missing or implausible, values that are
        not finite or all the same, or a volume too large or small for one structure.
    """
    require_template_file(path)
    header = read_header(path)
    faults = structure_faults(header) + [
        fault
        for fault in claim_faults(header, voxel_size_angst)
        if not (fault.code == "image_stack" and _is_cubic_volume(header))
    ]
    errors = [fault for fault in faults if fault.level == "error"]
    if errors:
        message = "; ".join(fault.message for fault in errors)
        message = message.replace("--voxel-size-angst", size_option)
        raise BadInputError(message.replace("a tomogram", "a map"), path=str(path))
    _require_sides(header)
    sampling_angst = voxel_size_angst or header.voxel_xyz_angst[0]
    return BareMap(_voxels(header), sampling_angst, header.simulated)


def read_mask_map(path: Path) -> Float32s:
    """Read the weights of a mask (z, y, x) from an MRC file; its voxel size is not looked at.

    Raises
    ------
    MissingFileError
        No such file.
    BadInputError
        No MRC file, or weights that are empty, not finite or outside [0, 1].
    """
    require_template_file(path)
    header = read_header(path)
    errors = [fault.message for fault in structure_faults(header)]
    if errors:
        raise BadInputError("; ".join(errors).replace("a tomogram", "a mask"), path=str(path))
    _require_sides(header)
    # A mask may be the same everywhere.
    weights, _ = _voxels_and_faults(header)
    if not (np.isfinite(weights).all() and weights.min() >= 0.0 and weights.max() <= 1.0):
        raise BadInputError(
            f"{path.name}: expected mask weights in [0, 1], found others; scale the mask",
            path=str(path),
        )
    if not weights.any():
        raise BadInputError(
            f"{path.name}: expected a mask with a region, found an empty one; give another mask",
            path=str(path),
        )
    return weights


def require_template_file(path: Path) -> None:
    """Check that a file is there before it is opened as a template.

    Raises
    ------
    MissingFileError
        No such file.
    BadInputError
        A folder.
    """
    if path.is_dir():
        raise BadInputError(
            f"expected a template file, found the folder {path}; name a map in it", path=str(path)
        )
    if not path.is_file():
        raise MissingFileError(
            f"expected a template file, found no file at {path}; check the path", path=str(path)
        )


def bare_template(path: Path, bare: BareMap, symmetry: str, weights: Float32s | None) -> Template:
    """Make a template of a map as it is: nothing is resampled.

    The background becomes 0, a clearly dark map is inverted, one that is not cubic is padded about
    its centre, and a soft sphere that fits within the box is put around the structure.

    Parameters
    ----------
    path
        Where the map was read.
    weights
        (z, y, x) of a mask, the shape of the map or of the padded map; None for the sphere.

    Raises
    ------
    BadInputError
        The map or the mask cannot serve.
    """
    name = tomogram_id_of(path)
    structure = find_structure(bare.voxels)
    if not structure.stands_out:
        logger.warning("%s: nothing stands out of the background; the mask fills the box", name)
    if structure.contrast == "dark":
        logger.info("%s: protein is dark in this map; it is inverted", name)
    density = cubic(np.asarray(structure.density))
    radius_vox = min(structure.radius_vox(), largest_radius_vox(len(density)))
    mask = sphere_around(len(density), radius_vox) if weights is None else cubic(weights)
    return Template(
        template_id=name,
        voxels=density,
        mask=mask,
        voxel_size_angst=bare.voxel_size_angst,
        symmetry=symmetry,
        radius_angst=radius_vox * bare.voxel_size_angst,
        mass_kda=None,
        hand="as_given",
        resolution_angst=None,
        source=path.name,
        provenance=Provenance(
            software_version=__version__,
            parameters_sha256=parameters_digest({"voxel_size_angst": bare.voxel_size_angst}),
            inputs=(digest_of(path),),
            simulated=bare.simulated,
        ),
    )


def cubic(voxels: Float32s, fill: float = 0.0) -> Float32s:
    """Pad to a cube; the centre voxel `n // 2` of every axis stays the centre."""
    side = max(voxels.shape)
    before = [side // 2 - n // 2 for n in voxels.shape]
    widths = [(b, side - n - b) for b, n in zip(before, voxels.shape, strict=True)]
    return np.pad(voxels, widths, constant_values=fill)


def _is_cubic_volume(header: MrcHeader) -> bool:
    return len(set(header.stored_shape)) == 1 and header.path.suffix.lower() != ".mrcs"


def _require_sides(header: MrcHeader) -> None:
    smallest, largest = min(header.shape), max(header.shape)
    if smallest < SMALLEST_SIDE_VOX or largest > LARGEST_SIDE_VOX:
        sides = " x ".join(str(n) for n in header.shape)
        raise BadInputError(
            f"{header.path.name}: expected a map of one structure, {SMALLEST_SIDE_VOX} to "
            f"{LARGEST_SIDE_VOX} voxels a side, found {sides}; give a template, not a tomogram",
            path=str(header.path),
        )


def _voxels(header: MrcHeader) -> Float32s:
    voxels, faults = _voxels_and_faults(header)
    if faults:
        raise BadInputError(faults[0], path=str(header.path))
    return voxels


def _voxels_and_faults(header: MrcHeader) -> tuple[Float32s, list[str]]:
    summary = summary_for(header, None)
    voxels = np.empty(header.stored_shape, dtype=np.float32)
    for sections, slab in slabs(header):
        voxels[sections] = slab
        summary.add(slab)
    faults = [
        flag.message.replace("an image of a specimen", "the map of a structure").replace(
            "repeat the reconstruction", "give another map"
        )
        for flag in summary.faults(header.path.name)
    ]
    if not faults and max(abs(summary.smallest), abs(summary.largest)) > LARGEST_VALUE:
        faults = [f"{header.path.name}: expected values below {LARGEST_VALUE:g}, found larger ones"]
    return np.ascontiguousarray(voxels.transpose(header.to_zyx)), faults
