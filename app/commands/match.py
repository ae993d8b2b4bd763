"""`tomodx match`: copies of known structures, with orientation and significance."""

from pathlib import Path
from typing import Annotated, Any

import typer

from app.context import Settings
from engine.data.tomogram import TiltRange
from engine.io.mrc import GivenContrast
from engine.matching.params import NullKind

TiltsFile = Annotated[
    Path | None,
    typer.Option(help=".tlt, .rawtlt, .mdoc, .aln, .xml, .tomostar: per-tilt CTF and dose."),
]
Defocus = Annotated[
    float | None, typer.Option(metavar="F", help="One defocus for all tilts, underfocus > 0.")
]
SearchMask = Annotated[
    Path | None, typer.Option(metavar="M.mrc", help="Search where it is above 0.5.")
]
VoxelSize = Annotated[
    float | None, typer.Option(metavar="F", help="In Å; overrides the tomogram's header.")
]


def register(cli: typer.Typer) -> None:
    """Add the commands of this file."""
    cli.command()(match)


def match(
    context: typer.Context,
    tomogram: Annotated[Path, typer.Argument(help="MRC file (.mrc, .rec, .map; .gz, .bz2).")],
    template: Annotated[
        list[Path],
        typer.Option("--template", metavar="T.mrc", help="Map or library template; repeatable."),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the results.")],
    angular_step: Annotated[
        float, typer.Option(metavar="DEG", help="Of the search grid; picks are refined beyond it.")
    ] = 16.3,
    symmetry: Annotated[
        str | None, typer.Option(metavar="C1", help="C1, Cn or Dn about the template's z axis.")
    ] = None,
    tilt_range: Annotated[
        tuple[float, float] | None, typer.Option(metavar="MIN MAX", help="In degrees.")
    ] = None,
    n_false_positives: Annotated[
        float, typer.Option(metavar="N", help="Noise picks to be expected among the results.")
    ] = 1.0,
    tilts: TiltsFile = None,
    defocus_um: Defocus = None,
    mask: SearchMask = None,
    voxel_size_angst: VoxelSize = None,
    contrast: Annotated[
        GivenContrast, typer.Option(help="Of protein in the tomogram; auto estimates it.")
    ] = "auto",
    low_pass_angst: Annotated[float | None, typer.Option(metavar="F")] = None,
    high_pass_angst: Annotated[float | None, typer.Option(metavar="F")] = None,
    whiten: Annotated[
        bool, typer.Option("--whiten", help="Divide by the tomogram's radial amplitude.")
    ] = False,
    null: Annotated[
        NullKind,
        typer.Option(help="What a pick must beat: scrambled templates, drawn structures, both."),
    ] = "scrambled",
    seed: Annotated[int, typer.Option(help="Of control noise and scrambled templates.")] = 0,
) -> None:
    """Find copies of known structures, with orientation and significance."""
    # torch and scipy take seconds that other commands should not wait for.
    from app.matching import MatchRequest, match_file  # noqa: PLC0415
    from app.tilt_options import tilt_metadata  # noqa: PLC0415
    from engine.matching.params import MatchParams  # noqa: PLC0415

    settings: Settings = context.obj
    request = MatchRequest(
        tomogram=tomogram,
        templates=tuple(template),
        symmetry=symmetry,
        voxel_size_angst=voxel_size_angst,
        contrast=contrast,
        tilt_range=TiltRange(*tilt_range) if tilt_range else None,
        tilts=tilt_metadata(tilts, defocus_um),
        mask=mask,
        low_pass_angst=low_pass_angst,
        high_pass_angst=high_pass_angst,
        whiten=whiten,
        params=MatchParams(
            angular_step_deg=angular_step,
            n_false_positives=n_false_positives,
            null=null,
            seed=seed,
        ),
    )
    with settings.progress(f"matching {tomogram.name}") as on_progress:
        found = match_file(request, out, device=settings.device, on_progress=on_progress)
    settings.emit(_as_json(found, out), _as_text(found, out))


def _as_json(found: Any, out: Path) -> dict[str, Any]:  # noqa: ANN401 - imported lazily
    from engine.io.match_files import match_summary  # noqa: PLC0415

    summary = match_summary(
        found.result, found.tomogram, found.abundances, found.tomogram.provenance.simulated
    )
    flags = [
        {"level": flag.level, "code": flag.code, "message": flag.message} for flag in found.flags
    ]
    return {**summary, "out": str(out), "files": list(found.files), "flags": flags}


def _as_text(found: Any, out: Path) -> str:  # noqa: ANN401 - imported lazily
    from engine.matching.results import LARGEST_Q  # noqa: PLC0415

    simulated = " (simulated)" if found.tomogram.provenance.simulated else ""
    lines = [f"{found.tomogram.tomogram_id}{simulated}: results in {out}"]
    if found.n_tiles_resumed:
        lines.append(f"  went on from an interrupted run ({found.n_tiles_resumed} tiles were done)")
    for summary, copies in zip(found.result.summaries, found.abundances, strict=True):
        lines.append(
            f"  {summary.template_id}: {summary.n_picks} picks above {summary.threshold:.3f} "
            f"({summary.expected_noise_picks:g} expected of noise), {summary.n_significant} with "
            f"q up to {LARGEST_Q:g}; "
            f"{copies.per_um3:.4g} per um3 (95 % interval {copies.low_per_um3:.4g} to "
            f"{copies.high_per_um3:.4g}; seen at all from {copies.detection_limit_per_um3:.2g})"
        )
    lines += [f"  {flag.level}: {flag.message}" for flag in found.flags]
    return "\n".join([*lines, "Research use only."])
