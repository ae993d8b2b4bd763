"""`tomodx picks`: lists of particles from and to other programs, and where they land."""

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer

from app.context import Settings
from engine.data.particles import ParticleSet
from engine.data.tomogram import Tomogram
from engine.errors import BadInputError
from engine.io.digests import fresh_folder
from engine.io.dynamo_table import (
    read_dynamo_table,
    recorded_table_sampling,
    write_dynamo_table,
)
from engine.io.em_motl import read_motl, write_motl
from engine.io.landing import landing_hint, lie_outside
from engine.io.landing_picture import write_landing_picture
from engine.io.mrc import read_tomogram
from engine.io.mrc_header import read_header
from engine.io.particle_coordinates import ORIENTATION_KNOWN, are_oriented, class_numbers
from engine.io.star import read_star, write_star
from engine.io.star_table import particle_table, recorded_voxel_size
from engine.matching.results import LARGEST_Q

Format = Literal["relion4", "relion5", "relion31", "dynamo", "motl"]

SUFFIX_OF: dict[Format, str] = {
    "relion4": ".star",
    "relion5": ".star",
    "relion31": ".star",
    "dynamo": ".tbl",
    "motl": ".em",
}
DEFAULT_FORMATS: dict[str, Format] = {".star": "relion4", ".tbl": "dynamo", ".em": "motl"}
PICTURE = "landing.png"
DEFAULT_RADIUS_NM = 10.0


@dataclass(frozen=True)
class Grid:
    """Shape (z, y, x) and sampling of a tomogram."""

    shape: tuple[int, int, int]
    voxel_size_angst: float


def register(cli: typer.Typer) -> None:
    """Add the commands of this file."""
    group = typer.Typer(no_args_is_help=True, help="Lists of picks: convert, check, pool.")
    group.command()(convert)
    group.command()(check)
    group.command()(pool)
    cli.add_typer(group, name="picks")


def convert(
    context: typer.Context,
    picks: Annotated[Path, typer.Argument(metavar="IN", help=".star, .tbl or .em.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help=".star, .tbl or .em.")],
    to: Annotated[
        Format | None, typer.Option("--to", help="Default by OUT's suffix: relion4, dynamo, motl.")
    ] = None,
    voxel_size_angst: Annotated[
        float | None, typer.Option(metavar="F", help="Of IN's coordinates; overrides IN.")
    ] = None,
    tomogram: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="MRC file whose voxels OUT counts in and from whose centre relion5 counts; "
            "its size stands for every tomogram in IN.",
        ),
    ] = None,
    allow_missing_angles: Annotated[
        bool, typer.Option("--allow-missing-angles", help="Take positions without orientation.")
    ] = False,
) -> None:
    """Convert a list of particles."""
    settings: Settings = context.obj
    file_format = _format_of(out, to)
    grid = None if tomogram is None else _grid_of(tomogram)
    particles = _read(picks, voxel_size_angst, grid, allow_missing_angles)
    sampling_angst = _sampling_of(picks, voxel_size_angst, grid)
    result = _write(out, particles, file_format, sampling_angst, grid)
    settings.emit(result, _as_text(result))


def check(
    context: typer.Context,
    picks: Annotated[Path, typer.Argument(metavar="PICKS", help=".star, .tbl or .em.")],
    tomogram: Annotated[Path, typer.Option(metavar="FILE", help="MRC file.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the picture.")],
    radius_nm: Annotated[
        float, typer.Option(metavar="F", help="Of the circles.")
    ] = DEFAULT_RADIUS_NM,
    voxel_size_angst: Annotated[
        float | None, typer.Option(metavar="F", help="Of the picks' coordinates; overrides PICKS.")
    ] = None,
    tomogram_name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="In PICKS; default the tomogram's file name."),
    ] = None,
) -> None:
    """Draw where picks land in a tomogram."""
    settings: Settings = context.obj
    if not (np.isfinite(radius_nm) and radius_nm > 0):
        raise BadInputError(f"expected a positive radius in nm, found {radius_nm:g}")
    volume = read_tomogram(tomogram)
    depth, height, width = volume.voxels.shape
    grid = Grid((depth, height, width), volume.voxel_size_angst)
    everything = _read(picks, voxel_size_angst, grid, True)
    particles = _of_tomogram(everything, picks, volume, tomogram_name)
    n_outside = int(lie_outside(particles.positions_angst, volume).sum())
    hint = landing_hint(particles.positions_angst, volume)
    with fresh_folder(out) as staging:
        write_landing_picture(staging / PICTURE, particles, volume, radius_angst=radius_nm * 10.0)
    result = {
        "picks": str(picks),
        "tomogram": volume.tomogram_id,
        "n_particles": len(particles),
        "n_outside": n_outside,
        "n_other_tomograms": len(everything) - len(particles),
        "oriented": are_oriented(particles),
        "fitting_binning": hint.binning if hint and hint.code == "binning" else None,
        "hint_code": hint.code if hint else None,
        "hint": hint.message if hint else None,
        "out": str(out),
        "files": [PICTURE],
        "simulated": volume.provenance.simulated,
    }
    line = f"{volume.tomogram_id}: {len(particles)} picks, {n_outside} outside; see {out / PICTURE}"
    lines = [line, *([f"  {hint.message}"] if hint else []), "Research use only."]
    settings.emit(result, "\n".join(lines))


def pool(
    context: typer.Context,
    matches: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="Folders that `tomodx match` wrote.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the results.")],
) -> None:
    """Take the matches of several tomograms together: q-values and abundance over all of them."""
    # matplotlib takes a second that the other commands should not wait for.
    from app.match_cohort import pool_matches  # noqa: PLC0415

    settings: Settings = context.obj
    found = pool_matches(tuple(matches), out)
    templates = [
        {
            "template": row.template_id,
            "n_tomograms": sum(one.template_id == row.template_id for one in found.cohort.rows),
            "n_picks": row.n_picks,
            "n_significant": row.n_significant,
            "abundance": asdict(row.abundance),
        }
        for row in found.cohort.totals
    ]
    result = {
        "out": str(out),
        "n_tomograms": len(matches),
        "templates": templates,
        "files": list(found.files),
        "simulated": found.simulated,
    }
    lines = [f"{out}: {len(matches)} tomograms"]
    for row in found.cohort.totals:
        copies = row.abundance
        lines.append(
            f"  {row.template_id}: {row.n_picks} picks, {row.n_significant} with a q-value over "
            f"the cohort of at most {LARGEST_Q:g}; {copies.per_um3:.3g} per µm³ "
            f"({copies.low_per_um3:.3g} to {copies.high_per_um3:.3g})"
        )
    lines.append("Research use only.")
    settings.emit(result, "\n".join(lines))


def _grid_of(path: Path) -> Grid:
    """From the header alone, which is refused where it needs a judgement."""
    header = read_header(path)
    x_angst, y_angst, z_angst = header.voxel_xyz_angst
    is_cubic = max(abs(y_angst - x_angst), abs(z_angst - x_angst)) <= 1e-3 * x_angst
    if header.is_image_stack or header.is_volume_stack or not (x_angst > 0 and is_cubic):
        raise BadInputError(
            f"{path.name}: expected one volume with cubic voxels, found a header with voxels of "
            f"{x_angst:g} x {y_angst:g} x {z_angst:g} Å; correct the header",
            path=path,
        )
    return Grid(header.shape, x_angst)


def _read(
    path: Path, voxel_size_angst: float | None, grid: Grid | None, may_lack_angles: bool
) -> ParticleSet:
    default_angst = None if grid is None else grid.voxel_size_angst
    suffix = _suffix_of(path)
    if suffix == ".star":
        return read_star(
            path,
            voxel_size_angst=voxel_size_angst,
            default_voxel_size_angst=default_angst,
            tomogram_shapes=None if grid is None else grid.shape,
            allow_missing_angles=may_lack_angles,
        )
    read = read_dynamo_table if suffix == ".tbl" else read_motl
    return read(
        path,
        voxel_size_angst=voxel_size_angst,
        default_voxel_size_angst=default_angst,
        allow_missing_angles=may_lack_angles,
    )


def _suffix_of(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in DEFAULT_FORMATS:
        raise BadInputError(
            f"{path.name}: expected a name ending in .star, .tbl or .em, found {suffix or 'none'!r}"
            "; rename the file",
            path=path,
        )
    return suffix


def _format_of(out: Path, to: Format | None) -> Format:
    suffix = _suffix_of(out)
    if to is not None and SUFFIX_OF[to] != suffix:
        raise BadInputError(
            f"{out.name}: expected a name ending in {SUFFIX_OF[to]} for {to}, found {suffix}; "
            "rename the output",
            path=out,
        )
    return to or DEFAULT_FORMATS[suffix]


def _sampling_of(path: Path, given_angst: float | None, grid: Grid | None) -> float:
    """Voxels that the output counts in: the tomogram's, those given, those that IN records."""
    if grid is not None:
        return grid.voxel_size_angst
    if given_angst is not None:
        return given_angst
    sizes = None
    if path.suffix.lower() == ".star":
        table, optics = particle_table(path)
        sizes = recorded_voxel_size(table, optics, path, True)
    elif path.suffix.lower() == ".tbl":
        sizes = recorded_table_sampling(path)
    found = [] if sizes is None else np.unique(sizes).tolist()
    if len(found) != 1:
        raise BadInputError(
            f"{path.name}: expected one voxel size for the output, found {len(found)}; give "
            "--voxel-size-angst or --tomogram",
            path=path,
        )
    return float(found[0])


def _write(
    out: Path, particles: ParticleSet, file_format: Format, sampling_angst: float, grid: Grid | None
) -> dict[str, Any]:
    tomograms: dict[str, int] = {}
    classes: dict[str, int] = {}
    left_out: list[str] = []
    if SUFFIX_OF[file_format] != ".star":
        classes = class_numbers(particles.class_names)
        left_out = sorted(set(particles.figures) - {"score", ORIENTATION_KNOWN})
    if file_format == "dynamo":
        tomograms = write_dynamo_table(out, particles, voxel_size_angst=sampling_angst)
    elif file_format == "motl":
        tomograms = write_motl(out, particles, voxel_size_angst=sampling_angst)
    else:
        write_star(
            out,
            particles,
            flavour=file_format,
            voxel_size_angst=sampling_angst,
            tomogram_shapes=None if grid is None else grid.shape,
        )
    return {
        "out": str(out),
        "format": file_format,
        "n_particles": len(particles),
        "voxel_size_angst": sampling_angst,
        "oriented": are_oriented(particles),
        "tomograms": dict(sorted(Counter(particles.tomogram_ids).items())),
        "tomogram_numbers": tomograms,
        "class_numbers": classes,
        "figures_left_out": left_out,
    }


def _as_text(result: dict[str, Any]) -> str:
    lines = [
        f"{result['out']}: {result['n_particles']} particles as {result['format']}, voxels of "
        f"{result['voxel_size_angst']:g} Å"
    ]
    if not result["oriented"]:
        lines.append("  without orientations")
    for what in ("tomogram", "class"):
        numbers = result[f"{what}_numbers"].items()
        lines += [f"  {what} {n} is {name!r}" for name, n in numbers if str(n) != name]
    if result["figures_left_out"]:
        lines.append(f"  left out: {', '.join(result['figures_left_out'])}")
    return "\n".join(lines)


def _of_tomogram(
    everything: ParticleSet, picks: Path, tomogram: Tomogram, given_name: str | None
) -> ParticleSet:
    """The particles of one tomogram: by its name, or all where there is but one."""
    names = list(dict.fromkeys(everything.tomogram_ids))
    wanted = given_name or tomogram.tomogram_id
    if wanted in names:
        return everything.take(np.array([name == wanted for name in everything.tomogram_ids]))
    if given_name is None and len(names) <= 1:
        return everything
    some = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    raise BadInputError(
        f"{picks.name}: expected picks of tomogram {wanted!r}, found {some or 'no picks'}; give "
        "--tomogram-name",
        path=picks,
    )
