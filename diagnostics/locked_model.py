"""A fitted model that can no longer change: its file says what it is and checks its own hash."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from cohorts.tables import DonorMeans, FeatureTable, donor_means
from diagnostics.classifiers import (
    CLASSIFIERS,
    FirthLogistic,
    LinearDiscriminant,
    ModelName,
    classifier_from_state,
)
from diagnostics.model_validation import ValidationSummary, summary_from_json
from diagnostics.panels.rules import Panel
from diagnostics.training_table import table_sha256
from diagnostics.validation import THRESHOLD, validate_leave_one_donor_out
from engine import __version__
from engine.data.arrays import Bools, Float64s
from engine.errors import BadInputError, ModelFileError, PipelineError

FORMAT = "tomodx locked model 1"
MIN_DONORS = 8


@dataclass(frozen=True)
class TrainingDonor:
    """A donor of the training table: means of the model's features, in their order."""

    donor: str
    group: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class ClassShape:
    """Centre of the positive donors or of the controls; `name` is the group or `controls`."""

    name: str
    n_donors: int
    means: tuple[float, ...]


@dataclass(frozen=True)
class LockedModel:
    """A classifier with everything needed to use, doubt and check it.

    Attributes
    ----------
    features
        Order of the classifier's columns; values in the stored unit of the feature table.
    threshold
        From the panel, fixed before any case is seen.
    classifier
        Fitted on all donors.
    refits
        The same fit without each donor in turn; their spread is how much single donors decide.
    donors
        The training donors.
    classes
        Positive donors, then controls.
    midpoint
        Midway between the two class centres.
    within_covariance
        Pooled over the two classes, N - 2 degrees of freedom.
    tomogram_scatter, tomogram_degrees
        Sum of squares and products of tomograms about their donor's mean, over all donors, with
        its degrees of freedom: how much tomograms of one donor differ, far better known from the
        cohort than from the few tomograms of one case.
    training_sha256
        Of the whole feature table.
    validation
        Leave-one-donor-out summary.
    simulated
        True where a training donor is simulated.
    """

    panel: str
    panel_version: str
    intended_use: str
    software_version: str
    classifier_name: ModelName
    features: tuple[str, ...]
    positive_group: str
    threshold: float
    classifier: LinearDiscriminant | FirthLogistic
    refits: tuple[LinearDiscriminant | FirthLogistic, ...]
    donors: tuple[TrainingDonor, ...]
    classes: tuple[ClassShape, ClassShape]
    midpoint: tuple[float, ...]
    within_covariance: tuple[tuple[float, ...], ...]
    tomogram_scatter: tuple[tuple[float, ...], ...]
    tomogram_degrees: int
    training_sha256: str
    validation: ValidationSummary
    simulated: bool

    @property
    def n_donors(self) -> int:
        """Training donors."""
        return len(self.donors)

    @property
    def lowest(self) -> tuple[float, ...]:
        """Smallest donor mean of each feature."""
        return tuple(min(column) for column in zip(*(d.values for d in self.donors), strict=True))

    @property
    def highest(self) -> tuple[float, ...]:
        """Largest donor mean of each feature."""
        return tuple(max(column) for column in zip(*(d.values for d in self.donors), strict=True))

    @property
    def slopes(self) -> Float64s:
        """Change of the log-odds per stored unit of each feature, (p,)."""
        scale = np.array(self.classifier.preparation.scale)
        weights = np.array(self.classifier.weights)
        slopes: Float64s = np.where(scale > 0, weights / np.where(scale > 0, scale, 1.0), 0.0)
        return slopes

    @property
    def sha256(self) -> str:
        """SHA-256 of the content, as the file carries it."""
        return _content_sha256(_content(self))

    def log_odds(self, values: Float64s) -> float:
        """Log-odds of the positive group for one case, (p,)."""
        return float(self.classifier.log_odds(values[None])[0])

    def refit_log_odds(self, values: Float64s) -> Float64s:
        """Log-odds of one case by each refit, (donors,)."""
        return np.array([float(refit.log_odds(values[None])[0]) for refit in self.refits])

    def probability(self, values: Float64s) -> float:
        """Probability of the positive group for one case, (p,)."""
        return float(self.classifier.probability(values[None])[0])


def lock_model(table: FeatureTable, panel: Panel, *, simulated: bool) -> LockedModel:
    """Fit a panel's model on the donors of a table and lock it.

    Parameters
    ----------
    table
        One row a tomogram; donors of groups that the panel does not name are left out, and so
        are donors without an assessable value of every feature of the model.
    panel
        Features, groups, classifier and threshold.
    simulated
        True where any donor is; every report then says so.

    Raises
    ------
    BadInputError
        The table lacks a feature, or too few donors of either class are left.
    """
    absent = [name for name in panel.features if name not in table.features]
    if absent:
        raise BadInputError(f"feature table: the panel needs the column {', '.join(absent)}")
    means = _usable(donor_means(table), panel)
    x = means.values[:, [means.features.index(name) for name in panel.features]]
    y = np.array([label == panel.positive_group for label in means.labels], dtype=bool)
    if min(int(y.sum()), int((~y).sum())) < 3 or len(y) < MIN_DONORS:
        raise BadInputError(
            f"panel {panel.name}: a model needs at least {MIN_DONORS} donors and 3 of each class, "
            f"found {int(y.sum())} {panel.positive_group} and {int((~y).sum())} controls"
        )
    if panel.threshold != THRESHOLD:
        raise BadInputError(
            f"panel {panel.name}: validation and model must share one threshold, expected "
            f"{THRESHOLD:g}, found {panel.threshold:g}"
        )
    kind = CLASSIFIERS[panel.model]
    # The share of the whole cohort also where one donor is left out, as validation does it.
    prior = float(y.mean())
    everyone = np.arange(len(y))
    scatter, degrees = _tomogram_scatter(table, means, panel)
    classes = (
        _class_shape(panel.positive_group, x[y]),
        _class_shape("controls", x[~y]),
    )
    return LockedModel(
        panel=panel.name,
        panel_version=panel.version,
        intended_use=panel.intended_use,
        software_version=__version__,
        classifier_name=panel.model,
        features=panel.features,
        positive_group=panel.positive_group,
        threshold=panel.threshold,
        classifier=kind.fit(x, y, prior=prior),
        refits=tuple(kind.fit(x[everyone != i], y[everyone != i], prior=prior) for i in everyone),
        donors=tuple(
            TrainingDonor(donor, label or "", tuple(row.tolist()))
            for donor, label, row in zip(means.donors, means.labels, x, strict=True)
        ),
        classes=classes,
        midpoint=tuple(((x[y].mean(axis=0) + x[~y].mean(axis=0)) / 2.0).tolist()),
        within_covariance=_within_covariance(x, y),
        tomogram_scatter=scatter,
        tomogram_degrees=degrees,
        training_sha256=table_sha256(table),
        validation=_validate(table, means, panel),
        simulated=simulated,
    )


def model_to_json(model: LockedModel) -> str:
    """The model file; the same model gives the same text."""
    content = _content(model)
    return _dumps({"sha256": _content_sha256(content), **content}, indent=1) + "\n"


def model_from_json(text: str) -> LockedModel:
    """Read a model file.

    Raises
    ------
    ModelFileError
        Not a model file, or its content does not have the hash it carries.
    """
    try:
        content: dict[str, Any] = json.loads(text)
        found = content.pop("sha256")
        if content["format"] != FORMAT:
            raise ModelFileError(f"expected a {FORMAT}, found {content['format']!r}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, ModelFileError):
            raise
        raise ModelFileError(f"expected a {FORMAT} in JSON: {error}") from error
    expected = _content_sha256(content)
    if found != expected:
        raise ModelFileError(
            f"the locked model was altered: its content has SHA-256 {expected[:12]}, the file "
            f"says {str(found)[:12]}; restore the file or lock the model again"
        )
    try:
        return _model(content)
    except (KeyError, TypeError, ValueError, PipelineError) as error:
        raise ModelFileError(f"a {FORMAT} lacks or garbles a field: {error}") from error


def _usable(means: DonorMeans, panel: Panel) -> DonorMeans:
    columns = [means.features.index(name) for name in panel.features]
    known = [bool(np.isfinite(row).all()) for row in means.values[:, columns]]
    return means.subset(
        [label in panel.groups and k for label, k in zip(means.labels, known, strict=True)]
    )


def _class_shape(name: str, x: Float64s) -> ClassShape:
    return ClassShape(name, len(x), tuple(x.mean(axis=0).tolist()))


def _within_covariance(x: Float64s, y: Bools) -> tuple[tuple[float, ...], ...]:
    residuals = np.concatenate([x[y] - x[y].mean(axis=0), x[~y] - x[~y].mean(axis=0)])
    covariance = residuals.T @ residuals / (len(x) - 2)
    return tuple(tuple(row) for row in covariance.tolist())


def _tomogram_scatter(
    table: FeatureTable, means: DonorMeans, panel: Panel
) -> tuple[tuple[tuple[float, ...], ...], int]:
    """Scatter of complete tomograms about their donor's mean, with its degrees of freedom."""
    complete = table.frame.dropna(subset=list(panel.features))
    scatter, degrees = np.zeros((len(panel.features), len(panel.features))), 0
    for donor in means.donors:
        x = complete[complete[table.donor_column] == donor][list(panel.features)].to_numpy()
        if len(x) > 1:
            residuals = x - x.mean(axis=0)
            scatter += residuals.T @ residuals
            degrees += len(x) - 1
    return tuple(tuple(row) for row in scatter.tolist()), degrees


def _validate(table: FeatureTable, means: DonorMeans, panel: Panel) -> ValidationSummary:
    """Leave one donor out, with the panel's features on the very donors of the fit."""
    kept = table.frame[table.frame[table.donor_column].isin(list(means.donors))]
    trimmed = FeatureTable(kept, panel.features, table.donor_column, table.label_column)
    result = validate_leave_one_donor_out(
        trimmed, table.label_column, table.donor_column, panel.positive_group, panel.model
    )
    groups = {d: label or "" for d, label in zip(means.donors, means.labels, strict=True)}
    return summary_from_json(result.to_json(), groups)


def _content(model: LockedModel) -> dict[str, Any]:
    content = {
        name: value
        for name, value in asdict(model).items()
        if name not in ("classifier", "refits", "validation")
    }
    return {
        "format": FORMAT,
        **content,
        "classifier": model.classifier.to_state(),
        "refits": [refit.to_state() for refit in model.refits],
        "validation": asdict(model.validation),
    }


def _content_sha256(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(_dumps(content).encode()).hexdigest()


def _dumps(content: Mapping[str, Any], indent: int | None = None) -> str:
    return json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False, indent=indent)


def _model(content: dict[str, Any]) -> LockedModel:
    fields = {name: value for name, value in content.items() if name != "format"}
    positive, controls = (
        ClassShape(c["name"], c["n_donors"], tuple(c["means"])) for c in content["classes"]
    )
    fields.update(
        features=tuple(content["features"]),
        classifier=classifier_from_state(content["classifier"]),
        refits=tuple(classifier_from_state(state) for state in content["refits"]),
        donors=tuple(
            TrainingDonor(d["donor"], d["group"], tuple(d["values"])) for d in content["donors"]
        ),
        classes=(positive, controls),
        midpoint=tuple(content["midpoint"]),
        within_covariance=tuple(tuple(row) for row in content["within_covariance"]),
        tomogram_scatter=tuple(tuple(row) for row in content["tomogram_scatter"]),
        validation=ValidationSummary.from_plain(content["validation"]),
    )
    return LockedModel(**fields)
