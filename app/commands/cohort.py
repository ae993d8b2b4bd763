"""`tomodx cohort`: donors in, pipeline, tables, group statistics, validation."""

import json
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from app.cohort_figures import draw_comparison, draw_validation
from app.cohort_tables import comparison_text, donors_text, validation_text
from app.context import Settings
from app.pipeline import CohortRun, run_cohort
from cohorts.export import feature_table
from cohorts.manifest import read_manifest
from cohorts.statistics import GroupComparison, Rule, compare_groups
from cohorts.store import open_store
from cohorts.tables import (
    DonorMeans,
    csv_text,
    donor_means,
    read_feature_table,
    write_feature_table,
)
from diagnostics.classifiers import ModelName
from diagnostics.validation import ValidationResult, validate_leave_one_donor_out
from engine.io.digests import atomic_file, fresh_folder, require_writable

group = typer.Typer(help="Donors in, resumable pipeline, group statistics, model validation.")

FeaturesFile = Annotated[
    Path, typer.Option("--features", metavar="F.csv", help="Tidy table, several rows a donor.")
]
LabelColumn = Annotated[str, typer.Option("--label", metavar="COLUMN", help="Group of the donor.")]
DonorColumn = Annotated[str, typer.Option("--donor", metavar="COLUMN", help="Who the row is of.")]
FeatureNames = Annotated[
    list[str] | None,
    typer.Option("--feature", metavar="NAME", help="Use this column only; may be repeated."),
]
OutFolder = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Tables, figures.")]


def register(cli: typer.Typer) -> None:
    """Add the commands of this file."""
    cli.add_typer(group, name="cohort")


@group.command("import")
def import_cohort(
    context: typer.Context,
    manifest: Annotated[Path, typer.Argument(help="CSV file; see docs/cohorts.md.")],
    update: Annotated[
        bool, typer.Option("--update", help="Let the manifest change what is in the store.")
    ] = False,
) -> None:
    """Add the donors and tomograms of a manifest to the store."""
    settings: Settings = context.obj
    cohort = read_manifest(manifest)
    store = open_store(settings.store_url)
    added = store.add_cohort(cohort, update=update)
    result = {
        "n_donors": len(cohort.donors),
        "n_tomograms": len(cohort.tomograms),
        "n_new_tomograms": added,
        "donors": [donor.donor for donor in cohort.donors],
    }
    settings.emit(
        result,
        f"{len(cohort.donors)} donors, {len(cohort.tomograms)} tomograms ({added} new). "
        "Next: tomodx cohort run",
    )


@group.command("list")
def list_cohort(context: typer.Context) -> None:
    """Show the donors in the store and how far they are."""
    settings: Settings = context.obj
    rows = open_store(settings.store_url).donors()
    result = {
        "donors": [
            {
                "donor": row.donor,
                "group": row.group,
                "site": row.site,
                "n_tomograms": row.n_tomograms,
                "n_analysed": row.n_analysed,
                "state": row.state,
            }
            for row in rows
        ]
    }
    settings.emit(result, donors_text(rows))


@group.command("run")
def run(
    context: typer.Context,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Processes at a time.")] = 1,
) -> int:
    """Analyse every tomogram of the store that is not analysed yet; may be killed and run again."""
    settings: Settings = context.obj
    store = open_store(settings.store_url)
    with settings.progress("cohort run") as on_progress:
        outcome = run_cohort(store, settings, on_progress, workers)
    settings.emit(outcome.to_json(), _run_text(outcome))
    return 1 if outcome.failed else 0


def _run_text(outcome: CohortRun) -> str:
    lines = [
        f"{outcome.n_done} tomograms analysed, {outcome.n_skipped} were done before, "
        f"{len(outcome.failed)} failed."
    ]
    lines += [f"{tomogram}: {reason}" for tomogram, reason in outcome.failed]
    return "\n".join(lines)


@group.command("features")
def features(
    context: typer.Context,
    out: Annotated[Path, typer.Option("--out", metavar="F.csv", help="The table to write.")],
) -> None:
    """Write the feature table of the store: one row a tomogram."""
    settings: Settings = context.obj
    table = feature_table(open_store(settings.store_url))
    with atomic_file(out) as staging:
        write_feature_table(table, staging)
    result = {
        "path": str(out),
        "n_rows": len(table.frame),
        "n_donors": len(set(table.donors)),
        "features": list(table.features),
    }
    settings.emit(result, f"{len(table.frame)} tomograms, {len(table.features)} features: {out}")


@group.command("compare")
def compare(
    context: typer.Context,
    features: FeaturesFile,
    label: LabelColumn,
    donor: DonorColumn,
    feature: FeatureNames = None,
    test: Annotated[str, typer.Option(metavar="welch|rank", help="One test for all.")] = "welch",
    out: OutFolder = None,
) -> None:
    """Compare groups feature by feature, the donor as the unit."""
    settings: Settings = context.obj
    if out is not None:
        require_writable(out)
    table = read_feature_table(features, donor=donor, label=label, features=feature or ())
    rule: Rule = test  # type: ignore[assignment]  # checked by compare_groups
    comparison = compare_groups(table, rule)
    if out is not None:
        _write_comparison(comparison, donor_means(table), out)
    settings.emit(comparison.to_json(), comparison_text(comparison))


def _write_comparison(comparison: GroupComparison, means: DonorMeans, out: Path) -> None:
    header = (
        *("feature", "test", "n", "statistic", "p_value", "q_value"),
        *("effect_name", "effect", "low", "high", "icc", "icc_within_groups"),
    )
    with fresh_folder(out) as folder:
        rows = [item.to_json() for item in comparison.features]
        _write_csv(folder / "comparison.csv", header, rows)
        (folder / "donor_means.csv").write_text(csv_text(means.frame()), encoding="utf-8")
        _write_json(folder / "comparison.json", comparison.to_json())
        draw_comparison(comparison, means, folder / "comparison.png")


@group.command("validate")
def validate(
    context: typer.Context,
    features: FeaturesFile,
    label: LabelColumn,
    donor: DonorColumn,
    positive: Annotated[str, typer.Option(metavar="VALUE", help="Label of the positive class.")],
    model: Annotated[str, typer.Option(metavar="lda|firth", help="Classifier.")] = "lda",
    folds: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Leave out its values, not single donors.")
    ] = None,
    feature: FeatureNames = None,
    permutations: Annotated[int, typer.Option(min=99, help="Labellings for the p-value.")] = 1999,
    out: OutFolder = None,
) -> None:
    """Validate a classifier by leaving one donor out."""
    settings: Settings = context.obj
    if out is not None:
        require_writable(out)
    table = read_feature_table(
        features, donor=donor, label=label, folds=folds, features=feature or ()
    )
    name: ModelName = model  # type: ignore[assignment]  # checked by ValidationParams
    result = validate_leave_one_donor_out(
        table, label, donor, positive, name, folds, n_permutations=permutations
    )
    if out is not None:
        _write_validation(result, out)
    settings.emit(result.to_json(), validation_text(result))


def _write_validation(result: ValidationResult, out: Path) -> None:
    header = ("donor", "label", "probability", "predicted", "correct")
    with fresh_folder(out) as folder:
        content = result.to_json()
        _write_csv(folder / "predictions.csv", header, content["predictions"])
        _write_json(folder / "validation.json", content)
        draw_validation(result, folder / "validation.png")


def _write_csv(path: Path, header: tuple[str, ...], rows: list[dict[str, object]]) -> None:
    frame = pd.DataFrame([[row[name] for name in header] for row in rows], columns=list(header))
    path.write_text(csv_text(frame.astype(object)), encoding="utf-8", newline="\n")


def _write_json(path: Path, content: dict[str, object]) -> None:
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")
