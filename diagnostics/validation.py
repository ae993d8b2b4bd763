"""Validation of a classifier by leaving one donor (or one fold) out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cohorts.splits import splits
from cohorts.tables import DonorMeans, FeatureTable, donor_means
from diagnostics.calibration import Calibration, calibration
from diagnostics.classifiers import CLASSIFIERS, ModelName, batch_log_odds
from diagnostics.validation_metrics import (
    Figure,
    Proportion,
    auc_figure,
    batch_auc,
    proportion,
)
from engine.data.arrays import Bools, Float64s
from engine.errors import BadInputError

THRESHOLD = 0.5
"""Set before any data are seen; a donor at or above it is called positive."""

FEW_DONORS_PER_CLASS = 10


@dataclass(frozen=True)
class ValidationParams:
    """How to validate.

    Attributes
    ----------
    positive
        Label of the positive class; all other labels together are the negative one.
    model
        Which classifier.
    n_permutations
        The smallest p-value that can be shown is 1 / (this + 1).
    seed
        Of permutations and bootstrap.
    """

    positive: str
    model: ModelName
    n_permutations: int
    seed: int

    def __post_init__(self) -> None:
        if self.model not in CLASSIFIERS:
            raise BadInputError(
                f"model: expected one of {', '.join(CLASSIFIERS)}, found {self.model}"
            )
        if self.n_permutations < 1:
            raise BadInputError("permutations: expected at least 1")


@dataclass(frozen=True)
class Prediction:
    """What the model said of a donor it had not seen.

    Attributes
    ----------
    label
        As in the table.
    predicted
        The positive label, the negative one, or `not POSITIVE` where several are negative.
    """

    donor: str
    label: str
    probability: float
    predicted: str
    correct: bool


@dataclass(frozen=True)
class ValidationResult:
    """Everything `cohort validate` prints.

    Attributes
    ----------
    majority_share
        What always calling the larger class would get right.
    simulated
        True where any row comes from a simulated tomogram.
    excluded
        Donors left out and why.
    notes
        What a reader must know to judge the figures.
    """

    params: ValidationParams
    features: tuple[str, ...]
    scheme: str
    n_donors: int
    n_positive: int
    auc: Figure
    accuracy: Proportion
    sensitivity: Proportion
    specificity: Proportion
    calibration: Calibration
    permutation_p: float
    majority_share: float
    simulated: bool
    predictions: tuple[Prediction, ...]
    excluded: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of the command line."""
        return {
            "model": self.params.model,
            "positive": self.params.positive,
            "features": list(self.features),
            "scheme": self.scheme,
            "threshold": THRESHOLD,
            "n_donors": self.n_donors,
            "n_positive": self.n_positive,
            "auc": self.auc.to_json(),
            "accuracy": self.accuracy.to_json(),
            "sensitivity": self.sensitivity.to_json(),
            "specificity": self.specificity.to_json(),
            "calibration": self.calibration.to_json(),
            "permutation_p": self.permutation_p,
            "n_permutations": self.params.n_permutations,
            "seed": self.params.seed,
            "majority_share": self.majority_share,
            "simulated": self.simulated,
            "predictions": [vars(prediction) for prediction in self.predictions],
            "excluded": [{"donor": donor, "reason": reason} for donor, reason in self.excluded],
            "notes": list(self.notes),
        }


def validate_leave_one_donor_out(
    table: FeatureTable,
    label: str,
    donor: str,
    positive: str,
    model: ModelName = "lda",
    folds: str | None = None,
    *,
    n_permutations: int = 1999,
    seed: int = 20_150_846,
) -> ValidationResult:
    """Predict every donor by a model that was fitted without it.

    Rows are averaged by donor first. Filling, scaling, shrinkage and fitting see the training
    donors alone. The prior probability is the share of positives in the whole cohort in every
    fold: were it learnt in the fold, leaving a positive out would lower it, and donors would be
    predicted from their own absence. The mean of a class still moves away from a donor that is
    left out, so that without any signal the AUC tends below one half; the permutation test
    repeats the whole procedure and is not affected.

    Parameters
    ----------
    table
        Features, several rows a donor.
    label, donor
        Columns of the group and of the pseudonym.
    positive
        Label of the positive class; all others together are the negative one.
    model
        Which classifier.
    folds
        Column of which each value is left out in turn, instead of each donor.
    n_permutations, seed
        See `ValidationParams`.

    Raises
    ------
    BadInputError
        A donor with two labels or on both sides of a fold; the positive label absent; fewer
        than two donors in a class; a fold whose removal leaves one class.
    """
    used = replace(table, label_column=label, donor_column=donor, fold_column=folds)
    means, excluded = _assessable(donor_means(used))
    params = ValidationParams(_as_written(positive, means), model, n_permutations, seed)
    y = np.array([found == params.positive for found in means.labels], dtype=bool)
    _check_classes(means, y, params.positive)
    rng = np.random.default_rng(params.seed)
    log_odds = _left_out(means, y[None], params.model)[0]
    probabilities = 1.0 / (1.0 + np.exp(-log_odds))
    called = probabilities >= THRESHOLD
    return ValidationResult(
        params=params,
        features=means.features,
        scheme="leave one donor out"
        if means.folds is None
        else f"leave one {folds} out, {len(set(means.folds))} folds",
        n_donors=len(y),
        n_positive=int(y.sum()),
        auc=auc_figure(y, log_odds),
        accuracy=proportion(called == y),
        sensitivity=proportion(called[y]),
        specificity=proportion(~called[~y]),
        calibration=calibration(y, probabilities, rng=rng),
        permutation_p=_permutation_p(means, y, log_odds, params, rng=rng),
        majority_share=max(float(y.mean()), float(1 - y.mean())),
        simulated=table.simulated,
        predictions=_predictions(means, probabilities, params.positive),
        excluded=excluded,
        notes=_notes(means, y),
    )


def _assessable(means: DonorMeans) -> tuple[DonorMeans, tuple[tuple[str, str], ...]]:
    """Leave out donors without a label or without a single assessable feature."""
    excluded = []
    for donor, label, row in zip(means.donors, means.labels, means.values, strict=True):
        if label is None:
            excluded.append((donor, "no label"))
        elif np.isnan(row).all():
            excluded.append((donor, "no feature is assessable"))
    left_out = {donor for donor, _ in excluded}
    return means.subset([donor not in left_out for donor in means.donors]), tuple(excluded)


def _as_written(positive: str, means: DonorMeans) -> str:
    """Return the label meant: `1` also means `1.0`, as tables with gaps write whole numbers."""
    labels = {str(label) for label in means.labels}
    if positive in labels:
        return positive
    alike = [label for label in labels if _number(label) == _number(positive) is not None]
    return alike[0] if len(alike) == 1 else positive


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _check_classes(means: DonorMeans, y: Bools, positive: str) -> None:
    found = sorted({str(label) for label in means.labels})
    if positive not in found:
        raise BadInputError(
            f"positive: expected one of the labels {', '.join(found) or '(none)'}, found {positive}"
        )
    n_positive, n_negative = int(y.sum()), int((~y).sum())
    if min(n_positive, n_negative) < 2:
        raise BadInputError(
            f"validation: expected at least two donors in each class, found {n_positive} "
            f"{positive} and {n_negative} other"
        )
    for split in splits(means):
        if y[split.train].all() or not y[split.train].any():
            raise BadInputError(
                f"fold {split.name}: without it only one class is left to train on; "
                "choose folds that each leave both classes"
            )


def _left_out(means: DonorMeans, labels: Bools, model: ModelName) -> Float64s:
    """Log-odds of every donor under each labelling (b, n), from models fitted without it."""
    log_odds = np.zeros(labels.shape)
    prior = float(labels[0].mean())
    for split in splits(means):
        train, test = means.values[split.train], means.values[split.test]
        if len(labels) == 1:
            fitted = CLASSIFIERS[model].fit(train, labels[0, split.train], prior=prior)
            log_odds[0, split.test] = fitted.log_odds(test)
        else:
            log_odds[:, split.test] = batch_log_odds(
                model, train, labels[:, split.train], test, prior
            )
    return log_odds


def _permutation_p(
    means: DonorMeans,
    y: Bools,
    log_odds: Float64s,
    params: ValidationParams,
    *,
    rng: np.random.Generator,
) -> float:
    """Share of labellings of the donors that reach the AUC seen, itself counted.

    References
    ----------
    Phipson and Smyth (2010), doi:10.2202/1544-6115.1585; Ojala and Garriga (2010), test 1.
    """
    observed = batch_auc(y[None], np.round(log_odds[None], 9))[0]
    reached = 0
    for start in range(0, params.n_permutations, 250):
        count = min(250, params.n_permutations - start)
        shuffled = np.array([rng.permutation(y) for _ in range(count)])
        found = batch_auc(shuffled, np.round(_left_out(means, shuffled, params.model), 9))
        reached += int(np.count_nonzero(found >= observed - 1e-9))
    return (1 + reached) / (1 + params.n_permutations)


def _predictions(
    means: DonorMeans, probabilities: Float64s, positive: str
) -> tuple[Prediction, ...]:
    others = sorted({str(label) for label in means.labels} - {positive})
    negative = others[0] if len(others) == 1 else f"not {positive}"
    rows = []
    for donor, label, probability in zip(
        means.donors, means.labels, probabilities.tolist(), strict=True
    ):
        called = probability >= THRESHOLD
        rows.append(
            Prediction(
                donor=donor,
                label=str(label),
                probability=probability,
                predicted=positive if called else negative,
                correct=called == (label == positive),
            )
        )
    return tuple(rows)


def _notes(means: DonorMeans, y: Bools) -> tuple[str, ...]:
    notes = [
        "Intervals treat the donors' predictions as independent; they do not include how much "
        "another cohort's model would differ.",
    ]
    smaller = int(min(y.sum(), (~y).sum()))
    if smaller < FEW_DONORS_PER_CLASS:
        notes.append(f"Only {smaller} donors in the smaller class: every figure is provisional.")
    if smaller < 100:
        notes.append(
            "Calibration figures need about 100 donors in the smaller class; here they are "
            "orientation only."
        )
    constant = _names(means.features, [len(seen) < 2 for seen in _distinct(means.values)])
    if constant:
        notes.append(f"Constant, so without effect: {constant}.")
    missing = _names(means.features, [bool(np.isnan(column).any()) for column in means.values.T])
    if missing:
        notes.append(
            f"Not assessable in some donors, filled with the training mean in each fold: {missing}."
        )
    return tuple(notes)


def _distinct(values: Float64s) -> list[set[float]]:
    """Values of each feature that occur."""
    return [set(column[~np.isnan(column)].tolist()) for column in values.T]


def _names(features: Sequence[str], marked: Sequence[bool]) -> str:
    return ", ".join(name for name, mark in zip(features, marked, strict=True) if mark)
