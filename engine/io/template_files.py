"""The template library: a map, its mask and a description that vouches for both by hash.

`NAME.mrc` is the map (float32, protein bright), `NAME.mask.mrc` its mask, `NAME.yaml` everything
else. A map without a description is read as it comes; what it lacks is found from the density.
"""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from engine.data.provenance import FileDigest, Provenance
from engine.data.template import Template
from engine.data.tomogram import Contrast
from engine.errors import BadInputError, MissingFileError, OutputNotWritableError
from engine.io.bare_map import bare_template, read_bare_map, read_mask_map, require_template_file
from engine.io.digests import sha256_of, write_text_atomically
from engine.io.mrc import tomogram_id_of, write_volume
from engine.io.mrc_header import SIMULATED_WORDS
from engine.io.template_description import (
    InputFile,
    TemplateDescription,
    description_text,
    read_description,
)
from engine.matching.template_symmetry import require_symmetry

logger = logging.getLogger(__name__)

# Headers keep voxel sizes as float32.
SAME_SAMPLING = 1e-3


@dataclass(frozen=True)
class LibraryEntry:
    """A template of a folder: its map's path and description."""

    path: Path
    description: TemplateDescription


def read_template(
    path: Path,
    *,
    symmetry: str | None = None,
    voxel_size_angst: float | None = None,
    mask: Path | None = None,
) -> Template:
    """Read a template of the library, or a bare map.

    A bare map (no description beside it) is not resampled: its background becomes 0, a map that is
    clearly dark is inverted, a map that is not cubic is padded with background about its centre,
    and a soft sphere that fits within the box is put around the structure.

    Parameters
    ----------
    path
        `NAME.mrc` or `NAME.yaml` of the library, or any MRC map.
    symmetry
        `C1`, `Cn` or `Dn`; by default the library's, and C1 for a bare map. Checked.
    voxel_size_angst
        Overrides the header of a bare map; must agree with a template of the library.
    mask
        MRC file with weights in [0, 1], the shape of the map, in place of the template's own.

    Raises
    ------
    MissingFileError
        No such file.
    BadInputError
        A file of the library was altered; or a map that cannot serve: flat, not finite, without a
        voxel size, a stack of images, lacking the symmetry, an empty mask.
    """
    require_template_file(path)
    map_path, mask_path, description_path = library_paths(path)
    is_ours = path in (map_path, mask_path, description_path)
    description = read_description(description_path) if is_ours else None
    if path == mask_path and description:
        raise BadInputError(
            f"expected a template, found the mask of one, {path.name}; give {map_path.name}",
            path=str(path),
        )
    weights = read_mask_map(mask) if mask else None
    if description is None:
        bare = read_bare_map(path, voxel_size_angst=voxel_size_angst)
        template = bare_template(path, bare, symmetry or "C1", weights)
    else:
        _require_sampling(description, voxel_size_angst)
        template = _library_template(map_path, mask_path, description)
        if weights is not None:
            template = replace(template, mask=weights)
        if symmetry and symmetry != template.symmetry:
            template = replace(template, symmetry=symmetry)
    if symmetry:
        require_symmetry(template.voxels, template.mask, symmetry, template.template_id)
    return template


def write_template(
    folder: Path, template: Template, *, source_contrast: Contrast | None = None
) -> tuple[Path, Path, Path]:
    """Write a template into a library folder, which is made where it is missing.

    Every file is whole or not there, and the description, which makes the others a template, comes
    last: a run that stops midway leaves a template whose hashes do not fit, never a wrong one.

    Parameters
    ----------
    source_contrast
        Sign of protein in the source, for people.

    Returns
    -------
    tuple
        Paths of map, mask and description.

    Raises
    ------
    BadInputError
        A `template_id` that is no file name.
    OutputNotWritableError
        The folder cannot be made or written.
    """
    require_template_name(template.template_id)
    make_folder(folder)
    paths = library_paths(folder / f"{template.template_id}.mrc")
    label = SIMULATED_WORDS if template.provenance.simulated else ""
    write_volume(paths[0], template.voxels, template.voxel_size_angst, label=label)
    write_volume(paths[1], template.mask, template.voxel_size_angst, label=label)
    description = _description_of(template, source_contrast, sha256_of(paths[0]), paths[1])
    write_text_atomically(paths[2], description_text(description))
    return paths


def list_templates(folder: Path) -> tuple[LibraryEntry, ...]:
    """Find the templates of a folder, by name; hashes are not checked, voxels not read.

    Raises
    ------
    MissingFileError
        No such folder.
    BadInputError
        A description of ours that is damaged.
    """
    if not folder.is_dir():
        raise MissingFileError(
            f"expected a folder of templates, found none at {folder}; check the path",
            path=str(folder),
        )
    found = [(path, read_description(path)) for path in sorted(folder.glob("*.yaml"))]
    return tuple(
        LibraryEntry(library_paths(path)[0], description)
        for path, description in found
        if description
    )


def library_paths(path: Path) -> tuple[Path, Path, Path]:
    """Map, mask and description that belong to any of the three, or to a map of any suffix."""
    name = path.name
    if name.lower().endswith(".yaml"):
        name = name[: -len(".yaml")]
    else:
        name = tomogram_id_of(path).removesuffix(".mask")
    return (
        path.with_name(f"{name}.mrc"),
        path.with_name(f"{name}.mask.mrc"),
        path.with_name(f"{name}.yaml"),
    )


def make_folder(folder: Path) -> None:
    """Make a folder, with its parents, where it is missing.

    Raises
    ------
    OutputNotWritableError
        It cannot be made or is a file.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputNotWritableError(
            f"expected an output folder, found {folder} which cannot be made "
            f"({error.strerror or type(error).__name__}); choose another folder",
            path=str(folder),
        ) from error


def require_template_name(template_id: str) -> None:
    """Check that a name can be that of a file.

    Raises
    ------
    BadInputError
        It cannot.
    """
    if template_id != Path(template_id).name or template_id.startswith(".") or not template_id:
        raise BadInputError(
            f"expected a template name that can be a file name, found {template_id!r}; give --name"
        )


def _require_sampling(description: TemplateDescription, given_angst: float | None) -> None:
    known_angst = description.voxel_size_angst
    if given_angst is not None and abs(given_angst - known_angst) > SAME_SAMPLING * known_angst:
        raise BadInputError(
            f"{description.template_id}: expected the template's own voxel size of "
            f"{known_angst:g} Å, found {given_angst:g} Å given; make the template at that voxel "
            "size"
        )


def _library_template(
    map_path: Path, mask_path: Path, description: TemplateDescription
) -> Template:
    for path, sha256 in ((map_path, description.map_sha256), (mask_path, description.mask_sha256)):
        require_template_file(path)
        if sha256_of(path) != sha256:
            raise BadInputError(
                f"{path.name}: expected the file its description was written with, found one that "
                "was altered (SHA-256 differs); make the template again",
                path=str(path),
            )
    bare = read_bare_map(map_path, voxel_size_angst=description.voxel_size_angst)
    return Template(
        template_id=description.template_id,
        voxels=bare.voxels,
        mask=read_mask_map(mask_path),
        voxel_size_angst=description.voxel_size_angst,
        symmetry=description.symmetry,
        radius_angst=description.radius_angst,
        mass_kda=description.mass_kda,
        hand=description.hand,
        resolution_angst=description.resolution_angst,
        source=description.source,
        provenance=Provenance(
            software_version=description.software_version,
            parameters_sha256=description.parameters_sha256,
            inputs=tuple(FileDigest(file.name, file.sha256) for file in description.inputs),
            simulated=description.simulated,
        ),
    )


def _description_of(
    template: Template, source_contrast: Contrast | None, map_sha256: str, mask_path: Path
) -> TemplateDescription:
    provenance = template.provenance
    return TemplateDescription(
        tomodx_template=1,
        template_id=template.template_id,
        voxel_size_angst=template.voxel_size_angst,
        box_vox=template.box_vox,
        symmetry=template.symmetry,
        radius_angst=template.radius_angst,
        mass_kda=template.mass_kda,
        hand=template.hand,
        source_contrast=source_contrast,
        resolution_angst=template.resolution_angst,
        source=template.source,
        source_sha256=provenance.inputs[0].sha256 if provenance.inputs else None,
        map_sha256=map_sha256,
        mask_sha256=sha256_of(mask_path),
        software_version=provenance.software_version,
        parameters_sha256=provenance.parameters_sha256,
        inputs=tuple(InputFile(name=f.name, sha256=f.sha256) for f in provenance.inputs),
        simulated=provenance.simulated,
    )
