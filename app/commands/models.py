"""`tomodx train`, `tomodx export`, `tomodx models`: networks and their registry."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from app.context import Settings
from engine.errors import BadInputError
from engine.io.digests import require_writable

group = typer.Typer(help="The registry of trained networks.", no_args_is_help=True)
RECIPE_HELP = "Shipped recipe (coarse, fine), pseudo, ordinary, spectrum, or YAML file."
# A card with more classes is not listed class by class.
MOST_NAMED = 24
PSEUDO, ORDINARY, SPECTRUM = "pseudo", "ordinary", "spectrum"


def register(cli: typer.Typer) -> None:
    """Add the commands of this file."""
    cli.command()(train)
    cli.command()(export)
    cli.add_typer(group, name="models")


def train(
    context: typer.Context,
    recipe: Annotated[str, typer.Argument(help=RECIPE_HELP)],
    work: Annotated[
        Path, typer.Option("--work", metavar="DIR", help="Pool and checkpoints; kept.")
    ] = Path("training"),
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Registry folder; default in work.")
    ] = None,
    densities: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Known structures (.mrc), for pseudo and classifiers."),
    ] = None,
    subtomograms: Annotated[
        Path | None,
        typer.Option(metavar="STACK", help="Labelled, in the place of simulation; classifiers."),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(metavar="F", help="Of training, for pseudo alone.")
    ] = None,
    unlabelled: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="Real tomograms (.mrc, a folder) whose spectra patches take on; for classifiers "
            "a stack to adapt to.",
        ),
    ] = None,
) -> None:
    """Train a network on simulation, or go on training, and export it."""
    if recipe == PSEUDO:
        _train_pseudo(context.obj, densities, work, out, minutes)
        return
    if recipe == ORDINARY:
        _train_ordinary(context.obj, work, out)
        return
    if recipe == SPECTRUM:
        _train_spectrum(context.obj, out)
        return
    from app.adapting import unlabelled_spectra  # noqa: PLC0415
    from models.classifier_recipe import is_classifier  # noqa: PLC0415
    from models.recipe import read_recipe, recipe_content  # noqa: PLC0415
    from models.training import train as train_network  # noqa: PLC0415
    from models.writing import write_model  # noqa: PLC0415

    settings: Settings = context.obj
    if is_classifier(recipe_content(recipe)):
        _train_classifier(settings, recipe, densities, subtomograms, unlabelled, work, out)
        return
    if subtomograms is not None:
        raise BadInputError(f"{recipe} is no classifier: --subtomograms teaches classifiers alone")
    chosen = read_recipe(recipe)
    target = _writable_target(work, out)
    device = "cuda" if settings.device == "cuda" else "cpu"
    spectra = [] if unlabelled is None else unlabelled_spectra(unlabelled, chosen)
    with settings.progress(f"training {chosen.name}") as on_progress:
        trained = train_network(chosen, work, device, on_progress, spectra=spectra)
    folder = target / chosen.name
    write_model(
        trained.network, chosen, trained.metrics, folder,
        f"tomodx train {recipe}" + (f" --unlabelled ({len(spectra)} tomograms)" if spectra else ""),
        trained.calibration,
    )  # fmt: skip
    _emit_written(settings, folder, trained.metrics)


def _writable_target(work: Path, out: Path | None) -> Path:
    """Registry folder of a training run; both folders are known to be writable before it begins."""
    from models.registry import own_models  # noqa: PLC0415

    target = out or own_models(work)
    require_writable(work / ".probe")
    require_writable(target / ".probe")
    return target


def _emit_written(settings: Settings, folder: Path, figures: Mapping[str, float]) -> None:
    """Say where a network is and what it reached; the folder has its name."""
    metrics = {name: round(value, 4) for name, value in figures.items()}
    lines = "\n".join(f"  {name}: {value:.3f}" for name, value in metrics.items())
    settings.emit(
        {"name": folder.name, "out": str(folder), "metrics": metrics},
        f"{folder.name} written to {folder}\n{lines}",
    )


def _train_classifier(
    settings: Settings,
    recipe: str,
    densities: Path | None,
    subtomograms: Path | None,
    unlabelled: Path | None,
    work: Path,
    out: Path | None,
) -> None:
    from app.classifier_model import ClassifierSources, train_classifier  # noqa: PLC0415
    from models.classifier_recipe import read_classifier_recipe  # noqa: PLC0415

    chosen = read_classifier_recipe(recipe)
    target = _writable_target(work, out)
    with settings.progress(f"training {chosen.name}") as on_progress:
        figures = train_classifier(
            chosen,
            ClassifierSources(densities, subtomograms, unlabelled),
            work,
            target,
            command=f"tomodx train {recipe}" + (" --unlabelled STACK" if unlabelled else ""),
            device="cuda" if settings.device == "cuda" else "cpu",
            on_progress=on_progress,
        )
    _emit_written(settings, target / chosen.name, figures)


def _train_pseudo(
    settings: Settings, densities: Path | None, work: Path, out: Path | None, minutes: float | None
) -> None:
    from app.pseudo_model import NAME, train_pseudo_model  # noqa: PLC0415

    if densities is None:
        raise BadInputError("expected --densities DIR with `train pseudo`: known structures (.mrc)")
    target = _writable_target(work, out)
    with settings.progress(f"training {NAME}") as on_progress:
        figures = train_pseudo_model(
            densities,
            work,
            target,
            minutes=minutes,
            device="cuda" if settings.device == "cuda" else "cpu",
            on_progress=on_progress,
        )
    _emit_written(settings, target / NAME, figures)


def _train_ordinary(settings: Settings, work: Path, out: Path | None) -> None:
    from app.ordinary_model import train_ordinary  # noqa: PLC0415
    from app.wiring import ORDINARY_FILE  # noqa: PLC0415

    target = out / ORDINARY_FILE.name if out else ORDINARY_FILE
    require_writable(work / ".probe")
    require_writable(target.parent / ".probe")
    device = "cuda" if settings.device == "cuda" else "cpu"
    with settings.progress("describing ordinary tomograms") as on_progress:
        count, limit = train_ordinary(work, target, device, on_progress)
    settings.emit(
        {"name": ORDINARY, "out": str(target), "n_tomograms": count, "limit": limit},
        f"{target} written: {count} tomograms, distances up to {limit:.2f} are ordinary",
    )


def _train_spectrum(settings: Settings, out: Path | None) -> None:
    from app.spectrum_model import train_spectrum  # noqa: PLC0415
    from app.wiring import SPECTRUM_FILE  # noqa: PLC0415

    target = out / SPECTRUM_FILE.name if out else SPECTRUM_FILE
    require_writable(target.parent / ".probe")
    device = "cuda" if settings.device == "cuda" else "cpu"
    with settings.progress("spectra of simulated tomograms") as on_progress:
        count = train_spectrum(target, device, on_progress)
    settings.emit(
        {"name": SPECTRUM, "out": str(target), "n_tomograms": count},
        f"{target} written: the spectra of {count} tomograms",
    )


def export(
    context: typer.Context,
    recipe: Annotated[str, typer.Argument(help=RECIPE_HELP)],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Registry folder.")],
    work: Annotated[Path, typer.Option("--work", metavar="DIR")] = Path("training"),
) -> None:
    """Export the last checkpoint of a training run to ONNX, with a parity check."""
    from models.recipe import read_recipe  # noqa: PLC0415
    from models.training import load_checkpoint  # noqa: PLC0415
    from models.writing import write_model  # noqa: PLC0415

    settings: Settings = context.obj
    chosen = read_recipe(recipe)
    require_writable(out / ".probe")
    trained = load_checkpoint(chosen, work)
    folder = out / chosen.name
    write_model(
        trained.network, chosen, trained.metrics, folder, f"tomodx train {recipe}",
        trained.calibration,
    )  # fmt: skip
    settings.emit({"name": chosen.name, "out": str(folder)}, f"{chosen.name} written to {folder}")


@group.command("list")
def list_cards(context: typer.Context) -> None:
    """List the shipped networks with what they reached."""
    from models.registry import list_models  # noqa: PLC0415

    settings: Settings = context.obj
    cards = list_models()
    rows: list[dict[str, Any]] = [
        {
            "name": card.name,
            "task": card.task,
            "voxel_size_nm": card.voxel_size_nm,
            "outputs": list(card.outputs),
            "class_names": list(card.class_names),
            "n_parameters": card.n_parameters,
            "size_mb": round(card.size_mb, 2),
            "sha256": card.sha256,
            "metrics": dict(card.metrics),
        }
        for card in cards
    ]
    text = "\n".join(
        f"{card.name}: {card.task}, {card.voxel_size_nm:g} nm/voxel, {card.n_parameters:,} "
        f"parameters, {card.size_mb:.1f} MB\n  {_given(card.outputs, card.class_names)}"
        for card in cards
    )
    settings.emit({"models": rows}, text or "no model is installed")


def _given(outputs: Sequence[str], names: Sequence[str]) -> str:
    """What a network is for: outputs, or the classes that it names."""
    if not names:
        return f"gives {', '.join(outputs)}"
    if len(names) > MOST_NAMED:
        return f"names {len(names)} classes, {names[0]} to {names[-1]}"
    return f"names {', '.join(names)}"


@group.command("verify")
def verify(context: typer.Context) -> None:
    """Compare every file of the registry with its manifest."""
    from models.registry import verify_models  # noqa: PLC0415

    settings: Settings = context.obj
    names = verify_models()
    settings.emit({"ok": True, "models": names}, f"{len(names)} models, every hash is right")
