"""`tomodx template`: structures to look for, made from maps or models, and their library."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from app.context import Settings
from app.template_making import PICTURE_SUFFIX, make_template_files
from engine.data.template import Template
from engine.io.template_description import TemplateDescription, read_description
from engine.io.template_files import library_paths, list_templates, read_template
from engine.io.template_picture import text_lines
from engine.io.template_source import SourceOptions
from engine.matching.template_making import MaskKind, TemplateParams
from engine.matching.template_resampling import Axis

group = typer.Typer(help="Templates: structures to look for.", no_args_is_help=True)


def register(cli: typer.Typer) -> None:
    """Add the commands of this file."""
    cli.add_typer(group, name="template")


@group.command("make")
def make(
    context: typer.Context,
    source: Annotated[
        Path, typer.Argument(help="Map (.mrc, .map; .gz) or atomic model (.pdb, .cif; .gz).")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Library folder.")],
    voxel_size_angst: Annotated[
        float, typer.Option(metavar="F", help="Of the template and its tomograms, in Å.")
    ],
    name: Annotated[str | None, typer.Option(help="By default the source's.")] = None,
    resolution_angst: Annotated[
        float | None,
        typer.Option(metavar="F", help="Low-pass; by default none, for models two voxels."),
    ] = None,
    box: Annotated[
        int | None, typer.Option(metavar="N", help="In voxels; by default the smallest that fits.")
    ] = None,
    symmetry: Annotated[
        str, typer.Option(help="C1, Cn or Dn: n-fold along z, two-fold along x. Checked.")
    ] = "C1",
    mask: Annotated[MaskKind, typer.Option(help="Soft sphere, or the density's shape.")] = "sphere",
    mask_radius_angst: Annotated[
        float | None, typer.Option(metavar="F", help="Of the sphere without its edge, in Å.")
    ] = None,
    mirror: Annotated[bool, typer.Option("--mirror", help="Take the other hand.")] = False,
    mirror_axis: Annotated[Axis, typer.Option(help="Axis along which --mirror mirrors.")] = "z",
    contrast: Annotated[
        Literal["auto", "dark", "bright"],
        typer.Option(help="Of protein in the source; auto decides by the density."),
    ] = "auto",
    mass_kda: Annotated[
        float | None, typer.Option(metavar="F", help="By default a model's, for a map not known.")
    ] = None,
    centre: Annotated[
        bool, typer.Option("--centre/--no-centre", help="Centre of mass to the box centre.")
    ] = True,
    assembly: Annotated[
        str | None, typer.Option(metavar="ID", help="Biological assembly of a model to build.")
    ] = None,
    source_voxel_size_angst: Annotated[
        float | None, typer.Option(metavar="F", help="Of a map, in Å; overrides its header.")
    ] = None,
) -> None:
    """Make a template of a map or an atomic model."""
    settings: Settings = context.obj
    params = TemplateParams(
        voxel_size_angst=voxel_size_angst,
        resolution_angst=resolution_angst,
        box_vox=box,
        symmetry=symmetry,
        mask=mask,
        mask_radius_angst=mask_radius_angst,
        mirror_axis=mirror_axis if mirror else None,
        contrast=None if contrast == "auto" else contrast,
        mass_kda=mass_kda,
        centre=centre,
    )
    options = SourceOptions(source_voxel_size_angst, assembly)
    with settings.progress(f"making a template of {source.name}") as on_progress:
        template, description = make_template_files(
            source, out, params, options, name=name, on_progress=on_progress
        )
    files = [path.name for path in library_paths(out / f"{template.template_id}.mrc")]
    files.append(f"{template.template_id}{PICTURE_SUFFIX}")
    result = {**_as_json(template, description), "out": str(out), "files": files}
    settings.emit(result, f"{_as_text(template, description)}\nwritten to {out}")


@group.command("list")
def list_library(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Library folder.")],
) -> None:
    """List the templates of a folder."""
    settings: Settings = context.obj
    entries = list_templates(folder)
    rows = [{"file": entry.path.name, **_description_json(entry.description)} for entry in entries]
    lines = [
        f"{d.template_id}: {d.voxel_size_angst:g} Å, {d.symmetry}, radius {d.radius_angst:.0f} Å, "
        + ("mass not known" if d.mass_kda is None else f"{d.mass_kda:.4g} kDa")
        for d in (entry.description for entry in entries)
    ]
    settings.emit({"templates": rows}, "\n".join(lines) or f"no templates in {folder}")


@group.command("show")
def show(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="Template of a library, or a bare map.")],
    symmetry: Annotated[str | None, typer.Option(help="Symmetry to check.")] = None,
    voxel_size_angst: Annotated[
        float | None, typer.Option(metavar="F", help="Of a bare map, in Å; overrides its header.")
    ] = None,
) -> None:
    """Check a template's files and show its values; for a bare map those that would be used."""
    settings: Settings = context.obj
    template = read_template(file, symmetry=symmetry, voxel_size_angst=voxel_size_angst)
    map_path, mask_path, yaml_path = library_paths(file)
    is_ours = file in (map_path, mask_path, yaml_path)
    description = read_description(yaml_path) if is_ours else None
    settings.emit(_as_json(template, description), _as_text(template, description))


def _as_json(template: Template, description: TemplateDescription | None) -> dict[str, Any]:
    described = _description_json(description) if description else {}
    return {
        "in_library": description is not None,
        **described,
        "template_id": template.template_id,
        "voxel_size_angst": template.voxel_size_angst,
        "box_vox": template.box_vox,
        "symmetry": template.symmetry,
        "radius_angst": template.radius_angst,
        "mass_kda": template.mass_kda,
        "hand": template.hand,
        "resolution_angst": template.resolution_angst,
        "source": template.source,
        "mask_volume_angst3": float(template.mask.sum(dtype="float64"))
        * template.voxel_size_angst**3,
        "simulated": template.provenance.simulated,
    }


def _description_json(description: TemplateDescription) -> dict[str, Any]:
    return description.model_dump(mode="json", exclude={"tomodx_template"})


def _as_text(template: Template, description: TemplateDescription | None) -> str:
    heading = template.template_id if description else f"{template.template_id} (bare map)"
    return "\n".join(
        [heading, *(f"  {line}" for line in text_lines(template, description) if line)]
    )
