"""How a locked model did on donors it had not seen, as kept in the model file and printed."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.errors import ModelFileError

LABELS = {
    "accuracy": "Right",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "auc": "Area under the ROC curve",
    "intercept": "Calibration intercept (0 is best)",
    "slope": "Calibration slope (1 is best)",
    "brier": "Brier score (0 is best)",
    "ece": "Expected calibration error (0 is best)",
}


@dataclass(frozen=True)
class ValidationFigure:
    """One figure with its 95 % interval; `value` None where the donors do not allow it."""

    name: str
    value: float | None
    low: float | None
    high: float | None
    method: str


@dataclass(frozen=True)
class Accuracy:
    """Donors predicted right."""

    value: float
    low: float
    high: float
    correct: int
    n: int


@dataclass(frozen=True)
class LeftOutDonor:
    """Prediction of a donor by a model that never saw the donor."""

    donor: str
    group: str
    probability: float


@dataclass(frozen=True)
class ValidationSummary:
    """Leave-one-donor-out validation of a locked model."""

    accuracy: Accuracy
    figures: tuple[ValidationFigure, ...]
    permutation_p: float | None
    predictions: tuple[LeftOutDonor, ...]

    @classmethod
    def from_plain(cls, raw: Mapping[str, Any]) -> "ValidationSummary":
        """Rebuild from `dataclasses.asdict`; TypeError or KeyError where a field is absent."""
        return cls(
            accuracy=Accuracy(**raw["accuracy"]),
            figures=tuple(ValidationFigure(**item) for item in raw["figures"]),
            permutation_p=raw["permutation_p"],
            predictions=tuple(LeftOutDonor(**item) for item in raw["predictions"]),
        )


def summary_from_json(
    raw: Mapping[str, Any], groups: Mapping[str, str] | None = None
) -> ValidationSummary:
    """Read the JSON of `cohort validate`, or what a model file kept of it.

    Parameters
    ----------
    raw
        Keys as the design names them.
    groups
        Donor → group of the cohort, where a prediction's `label` is only positive or not.
    """
    try:
        accuracy = raw["accuracy"]
        figures = [
            _figure(name, raw[name]) for name in ("accuracy", "sensitivity", "specificity", "auc")
        ]
        figures += [
            _figure(name, raw["calibration"][name])
            for name in ("intercept", "slope", "brier", "ece")
        ]
        permutation = raw.get("permutation_p")
        if isinstance(permutation, Mapping):
            permutation = permutation["value"]
        return ValidationSummary(
            accuracy=Accuracy(
                value=float(accuracy["value"]),
                low=float(accuracy["low"]),
                high=float(accuracy["high"]),
                correct=int(accuracy["correct"]),
                n=int(accuracy["n"]),
            ),
            figures=tuple(figures),
            permutation_p=None if permutation is None else float(permutation),
            predictions=tuple(_left_out(item, groups) for item in raw["predictions"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"a model's validation lacks or garbles a field: {error}") from error


def _figure(name: str, raw: Mapping[str, Any]) -> ValidationFigure:
    value, low, high = raw["value"], raw["low"], raw["high"]
    return ValidationFigure(
        name=name,
        value=None if value is None else float(value),
        low=None if low is None else float(low),
        high=None if high is None else float(high),
        method=str(raw.get("method", "")),
    )


def _left_out(raw: Mapping[str, Any], groups: Mapping[str, str] | None) -> LeftOutDonor:
    donor = str(raw["donor"])
    group = str(raw["label"]) if groups is None else groups[donor]
    return LeftOutDonor(donor, group, float(raw["probability"]))


def shown_figures(summary: ValidationSummary) -> tuple[tuple[str, str, str, str], ...]:
    """Rows label, value, interval, method for printing."""
    rows = []
    for figure in summary.figures:
        value = "not estimable" if figure.value is None else f"{figure.value:.2f}".replace("-", "−")
        if figure.name == "accuracy":
            value = f"{summary.accuracy.correct} of {summary.accuracy.n} ({value})"
        limits = ""
        if figure.low is not None and figure.high is not None:
            limits = f"{figure.low:.2f} to {figure.high:.2f}"
        rows.append((LABELS[figure.name], value, limits.replace("-", "−"), figure.method))
    if summary.permutation_p is not None:
        p_value = summary.permutation_p
        shown = "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"
        rows.append(("Probability under no difference", shown, "", "labels permuted by donor"))
    return tuple(rows)
