"""Text tables of `tomodx cohort`."""

from collections.abc import Mapping, Sequence

from cohorts.statistics import FeatureComparison, GroupComparison
from cohorts.store import DonorRow
from diagnostics.validation import ValidationResult
from diagnostics.validation_metrics import Figure, Proportion

SIMULATED = "SIMULATED DATA: these figures say nothing about patients."


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out cells in columns: the first to the left, the others to the right."""
    table = [list(header), *[list(row) for row in rows]]
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]
    lines = [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def number(value: float | None, digits: int = 3) -> str:
    """Format with so many significant digits; a dash where there is none."""
    return "-" if value is None else f"{value:.{digits}g}"


def p_text(value: float | None) -> str:
    """Format a probability."""
    if value is None:
        return "-"
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def interval(low: float | None, high: float | None) -> str:
    """Format a 95 % interval."""
    return "-" if low is None or high is None else f"{low:.2f} to {high:.2f}"


def comparison_text(comparison: GroupComparison) -> str:
    """Lay out `cohort compare`."""
    header = (
        "feature",
        *(f"{group} (n)" for group in comparison.groups),
        *("p", "q", "effect", "95 % interval", "ICC"),
    )
    rows = [_comparison_row(feature) for feature in comparison.features]
    tests = dict.fromkeys(
        f"{item.test}" for item in comparison.features if item.p_value is not None
    )
    effects = dict.fromkeys(
        item.effect.name for item in comparison.features if item.p_value is not None
    )
    direction = (
        f", {comparison.groups[0]} less {comparison.groups[1]}"
        if len(comparison.groups) == 2
        else ""
    )
    lines = [
        f"{comparison.n_donors} donors; the donor is the unit: rows are averaged first.",
        "",
        aligned(header, rows),
        "",
        f"Test: {', '.join(tests) or 'none possible'}. Effect: {', '.join(effects) or 'none'}"
        f"{direction}. q: Benjamini-Hochberg. ICC: rows within donors.",
    ]
    lines += [
        f"{item.feature}: {item.test}." for item in comparison.features if item.p_value is None
    ]
    if comparison.simulated:
        lines.insert(0, SIMULATED)
    if comparison.n_excluded:
        lines.append(f"Left out, without a group: {comparison.n_excluded} donors.")
    return "\n".join(lines)


def _comparison_row(feature: FeatureComparison) -> tuple[str, ...]:
    means = (
        f"{number(mean)} ({feature.n_by_group[group]})"
        for group, mean in feature.mean_by_group.items()
    )
    return (
        feature.feature,
        *means,
        p_text(feature.p_value),
        p_text(feature.q_value),
        number(feature.effect.value, 2),
        interval(feature.effect.low, feature.effect.high),
        number(feature.icc, 2),
    )


def validation_text(result: ValidationResult) -> str:
    """Lay out `cohort validate`."""
    figures: Mapping[str, Figure] = {
        "accuracy": result.accuracy,
        "sensitivity": result.sensitivity,
        "specificity": result.specificity,
        "AUC": result.auc,
        "calibration intercept": result.calibration.intercept,
        "calibration slope": result.calibration.slope,
        "Brier score": result.calibration.brier,
        "calibration error": result.calibration.ece,
    }
    rows = [_figure_row(name, figure) for name, figure in figures.items()]
    negative = result.n_donors - result.n_positive
    lines = [
        f"{result.n_donors} donors ({result.n_positive} {result.params.positive}, {negative} "
        f"other), model {result.params.model} on {', '.join(result.features)}; {result.scheme}.",
        "",
        aligned(("figure", "value", "", "95 % interval"), rows),
        "",
        f"Permutation p {p_text(result.permutation_p)} ({result.params.n_permutations} "
        f"labellings of the donors); always calling the larger class is right in "
        f"{result.majority_share:.2f}.",
    ]
    if result.simulated:
        lines.insert(0, SIMULATED)
    lines += [f"Left out: {donor}, {reason}." for donor, reason in result.excluded]
    lines += [f"Note: {note}" for note in result.notes]
    missed = [item.donor for item in result.predictions if not item.correct]
    lines.append(f"Predicted wrongly: {', '.join(missed) or 'none'}.")
    return "\n".join(lines)


def _figure_row(name: str, figure: Figure) -> tuple[str, ...]:
    count = f"{figure.correct}/{figure.n}" if isinstance(figure, Proportion) else ""
    value = "not estimable" if figure.value is None else f"{figure.value:.3f}"
    return name, value, count, interval(figure.low, figure.high)


def donors_text(rows: Sequence[DonorRow]) -> str:
    """Lay out `cohort list`."""
    return aligned(
        ("donor", "group", "site", "tomograms", "analysed", "state"),
        [
            (
                row.donor,
                row.group or "-",
                row.site or "-",
                str(row.n_tomograms),
                str(row.n_analysed),
                row.state,
            )
            for row in rows
        ],
    )
