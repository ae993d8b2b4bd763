"""A template's files from a source file: read, make, write, draw."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from engine import __version__
from engine.data.provenance import Provenance, parameters_digest
from engine.data.template import Template
from engine.errors import BadInputError, OutputNotWritableError, PipelineError
from engine.io.atomic_model import MODEL_SUFFIXES
from engine.io.bare_map import require_template_file
from engine.io.digests import digest_of
from engine.io.mrc import tomogram_id_of
from engine.io.template_description import TemplateDescription, read_description
from engine.io.template_files import (
    library_paths,
    make_folder,
    require_template_name,
    write_template,
)
from engine.io.template_picture import write_template_picture
from engine.io.template_source import SourceOptions, read_source
from engine.matching.template_making import TemplateParams, make_template

PICTURE_SUFFIX = ".png"
# Shares of the time, roughly: reading (or computing a model's density), making, writing.
READ, MADE = 0.6, 0.9


def make_template_files(
    source: Path,
    out: Path,
    params: TemplateParams,
    options: SourceOptions,
    *,
    name: str | None = None,
    on_progress: Callable[[float], None] | None = None,
) -> tuple[Template, TemplateDescription]:
    """Make a template of a map or a model and write it, with its picture, into a library.

    A template of the same name that an earlier run wrote is replaced; other files never.

    Raises
    ------
    PipelineError
        As the steps raise.
    """
    report = on_progress or (lambda fraction: None)
    require_template_file(source)
    template_id = name or source_name(source)
    require_template_name(template_id)
    _require_free(out, template_id)
    density = read_source(source, params, options, on_progress=lambda f: report(f * READ))
    report(READ)
    provenance = Provenance(
        software_version=__version__,
        parameters_sha256=parameters_digest({**asdict(params), **asdict(options)}),
        inputs=(digest_of(source),),
        simulated=density.simulated,
    )
    made = make_template(
        density.voxels,
        density.voxel_size_angst,
        density.params,
        template_id=template_id,
        source=source.name,
        provenance=provenance,
    )
    report(MADE)
    make_folder(out)
    _, _, yaml_path = write_template(out, made.template, source_contrast=made.source_contrast)
    description = read_description(yaml_path)
    if description is None:
        raise PipelineError(f"expected the description just written, found none at {yaml_path}")
    write_template_picture(out / f"{template_id}{PICTURE_SUFFIX}", made.template, description)
    report(1.0)
    return made.template, description


def source_name(source: Path) -> str:
    """File name of a source without the suffixes of maps and models."""
    name = tomogram_id_of(source)
    for suffix in MODEL_SUFFIXES:
        if name.lower().endswith(suffix):
            name = name[: -len(suffix)]
    return name or source.name


def _require_free(out: Path, template_id: str) -> None:
    """Check that nothing but an earlier template of this name would be replaced."""
    paths = library_paths(out / f"{template_id}.mrc")
    targets = (*paths, out / f"{template_id}{PICTURE_SUFFIX}")
    present = [path for path in targets if path.exists()]
    try:
        ours = read_description(paths[2]) is not None
    except BadInputError:
        ours = False
    if present and not ours:
        raise OutputNotWritableError(
            f"expected no file of another origin in the way, found {present[0].name} in {out}; "
            "give another --name or --out",
            path=str(present[0]),
        )
