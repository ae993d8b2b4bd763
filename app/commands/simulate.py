"""`tomodx simulate` and `tomodx reference`: simulated tomograms and the reference cohort."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from app.context import Settings
from app.simulation_recipe import member_params, read_simulation_recipe
from engine.io.digests import fresh_folder, require_writable, write_text_atomically
from engine.progress import part_of


def register(cli: typer.Typer) -> None:
    """Add the commands of this file."""
    cli.command()(simulate)
    cli.command()(reference)


def simulate(
    context: typer.Context,
    recipe: Annotated[str, typer.Argument(help="Shipped recipe or YAML file.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for the results.")],
    seed: Annotated[int | None, typer.Option(help="Instead of the recipe's.")] = None,
) -> None:
    """Simulate tomograms with exact truth: MRC volumes and tables."""
    # Importing torch takes seconds that other commands should not wait for.
    from engine.io.mrc import write_volume  # noqa: PLC0415
    from engine.io.mrc_header import SIMULATED_WORDS  # noqa: PLC0415
    from engine.io.truth_files import write_truth  # noqa: PLC0415
    from engine.simulation.case import simulate_tomogram  # noqa: PLC0415

    settings: Settings = context.obj
    chosen = read_simulation_recipe(recipe)
    if seed is not None:
        chosen = chosen.model_copy(update={"seed": seed})
    rows: list[dict[str, Any]] = []
    device = "cuda" if settings.device == "cuda" else "cpu"
    with fresh_folder(out) as folder, settings.progress("simulating") as on_progress:
        for index in range(chosen.n_tomograms):
            params, own_seed = member_params(chosen, index)
            name = f"tomogram_{index + 1:03d}"
            simulated = simulate_tomogram(
                params,
                seed=own_seed,
                tomogram_id=name,
                device=device,
                on_progress=part_of(on_progress, index, chosen.n_tomograms),
            )
            tomogram, truth = simulated.tomogram, simulated.truth
            write_truth(truth, folder / f"{name}_truth", tomogram.voxel_size_angst)
            write_volume(
                folder / f"{name}.mrc",
                tomogram.voxels,
                tomogram.voxel_size_angst,
                label=f"{SIMULATED_WORDS} platelet, seed {own_seed}",
            )
            write_text_atomically(
                folder / f"{name}_truth" / "parameters.json",
                json.dumps({"seed": own_seed, **asdict(params)}, indent=1) + "\n",
            )
            rows.append(
                {
                    "tomogram": f"{name}.mrc",
                    "voxel_size_angst": round(tomogram.voxel_size_angst, 4),
                    "mitochondria": truth.count("mitochondrion"),
                    "microtubules": len(truth.filaments),
                    "microtubule_length_nm": round(truth.microtubule_length_nm, 2),
                }
            )
    text = "\n".join(
        f"{row['tomogram']}: {row['mitochondria']} mitochondria, {row['microtubules']} "
        f"microtubules of {row['microtubule_length_nm']:.0f} nm in all"
        for row in rows
    )
    settings.emit({"out": str(out), "simulated": True, "tomograms": rows}, f"{text}\nin {out}")


def reference(
    context: typer.Context,
    work: Annotated[Path, typer.Option("--work", metavar="DIR", help="Kept between runs.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the cohort.")],
    workers: Annotated[int, typer.Option(min=1, max=64)] = 1,
) -> None:
    """Rebuild the simulated reference cohort: simulate, analyse, lock the panel's model."""
    from app.reference_cohort import build_reference  # noqa: PLC0415

    settings: Settings = context.obj
    # The cohort's folder holds its recipe too, so that only the three files are replaced.
    for folder in (work, out):
        require_writable(folder / ".probe")
        folder.mkdir(parents=True, exist_ok=True)
    with settings.progress("rebuilding the reference cohort") as on_progress:
        files = build_reference(work, settings, on_progress, workers)
    out.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        write_text_atomically(out / name, text)
    settings.emit({"out": str(out), "files": sorted(files)}, f"reference cohort written to {out}")
