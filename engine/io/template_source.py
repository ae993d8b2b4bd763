"""What a template is made from: a map or an atomic model, as a density on a grid."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.data.arrays import Float32s
from engine.errors import BadInputError
from engine.io.atomic_model import is_atomic_model, model_density, read_atomic_model
from engine.io.bare_map import read_bare_map, require_template_file
from engine.matching.template_making import TemplateParams


@dataclass(frozen=True)
class SourceDensity:
    """A density to make a template from.

    Attributes
    ----------
    voxels
        (z, y, x), any box.
    params
        As given, with what the source settles: sign, resolution and mass of a model.
    """

    voxels: Float32s
    voxel_size_angst: float
    params: TemplateParams
    simulated: bool


@dataclass(frozen=True)
class SourceOptions:
    """How to read a source.

    Attributes
    ----------
    voxel_size_angst
        Of a map; overrides its header.
    assembly
        Of a model: biological assembly to build.
    """

    voxel_size_angst: float | None = None
    assembly: str | None = None


def read_source(
    path: Path,
    params: TemplateParams,
    options: SourceOptions,
    *,
    on_progress: Callable[[float], None] | None = None,
) -> SourceDensity:
    """Read a map, or the atoms of a model and compute their density.

    A model's density is computed at the voxel size and resolution of the template (two voxels
    where none is given); it is bright, and its mass is that of its atoms where none is given.

    Raises
    ------
    MissingFileError
        No such file.
    BadInputError
        The source cannot be used, or an option does not go with it.
    """
    require_template_file(path)
    if is_atomic_model(path):
        return _from_model(path, params, options, on_progress)
    if options.assembly is not None:
        raise BadInputError(
            f"expected an atomic model with --assembly, found the map {path.name}; leave the "
            "option out"
        )
    bare = read_bare_map(
        path, voxel_size_angst=options.voxel_size_angst, size_option="--source-voxel-size-angst"
    )
    return SourceDensity(bare.voxels, bare.voxel_size_angst, params, bare.simulated)


def _from_model(
    path: Path,
    params: TemplateParams,
    options: SourceOptions,
    on_progress: Callable[[float], None] | None,
) -> SourceDensity:
    if options.voxel_size_angst is not None or params.contrast == "dark":
        wrong = "--contrast dark" if params.contrast == "dark" else "--source-voxel-size-angst"
        raise BadInputError(
            f"expected a map with {wrong}, found the atomic model {path.name}; leave the option out"
        )
    model = read_atomic_model(path, assembly=options.assembly)
    settled = params.for_model(model.mass_kda)
    density = model_density(
        model,
        settled.voxel_size_angst,
        settled.resolution_angst or 2.0 * settled.voxel_size_angst,
        on_progress=on_progress,
    )
    return SourceDensity(density, settled.voxel_size_angst, settled, simulated=False)
