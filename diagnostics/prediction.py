"""What the locked model says of a case, what it rests on, and when it must say nothing."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from diagnostics.case import CaseFeatures
from diagnostics.features.table import display_number, feature_named
from diagnostics.locked_model import LockedModel
from diagnostics.panels.rules import Panel
from diagnostics.reference import Reference
from diagnostics.single_case import compare_single_case
from engine.data.arrays import Float64s
from engine.errors import BadInputError

# A field a tenth larger or thicker than any of the cohort's changes counts by a tenth, less than
# donors differ; a cohort recorded all alike has a spread of nanometres, and no case would fit. The
# range is that of single tomograms: a case may have fewer of them than the cohort's donors.
COMPARABLE = 1.1
# A case further from both groups than 99 of 100 of their own donors would be is not theirs.
MIN_TYPICALITY = 0.01
NORMAL_95 = 1.959963984540054


@dataclass(frozen=True)
class Contribution:
    """How far one feature moves the log-odds from the point midway between the groups.

    Attributes
    ----------
    log_odds, low, high
        Positive towards the positive group; the interval is that of the measurement, None where
        it has none.
    midpoint
        Value that moves nothing, stored unit.
    """

    feature: str
    value: float
    midpoint: float
    log_odds: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Typicality:
    """Share of a group's own donors expected at least as far from its centre as the case."""

    group: str
    p_value: float


@dataclass(frozen=True)
class Prediction:
    """Model result of a case.

    Attributes
    ----------
    probability, low, high
        Of the positive group on the scale of the reference cohort, with a 95 % interval from the
        spread of tomograms within a donor and from refits that leave each donor out; None where
        `withheld` says why.
    positive
        Probability at or above the threshold; None where withheld.
    decided
        False where the interval holds the threshold.
    midpoint_log_odds
        Log-odds of a case midway between the groups; the contributions add to it.
    warnings
        Doubts that do not withhold the result.
    """

    probability: float | None
    low: float | None
    high: float | None
    threshold: float
    positive: bool | None
    decided: bool
    midpoint_log_odds: float
    contributions: tuple[Contribution, ...]
    typicality: tuple[Typicality, ...]
    warnings: tuple[str, ...]
    withheld: tuple[str, ...]


def predict_case(
    case: CaseFeatures, reference: Reference, model: LockedModel, panel: Panel
) -> Prediction:
    """Apply a locked model to a case, or say why it is not applied.

    The result is withheld where a feature of the model is not assessable, where a flag of level
    `error` stands, where the case lies outside the reference cohort (see `typicality` and the
    panel's comparability features), and where a case that is not simulated meets a simulated
    cohort: a probability would then look like a diagnosis and mean nothing.
    """
    withheld = list(_reasons_before(case, reference, model))
    missing = [name for name in model.features if case.values[name].value is None]
    if missing:
        return _without_result(model, tuple(withheld))
    values = np.array([case.values[name].value for name in model.features], dtype=np.float64)
    likeness = typicality(values, model)
    if max(item.p_value for item in likeness) < MIN_TYPICALITY:
        withheld.append(
            "the case lies outside the reference cohort: fewer than 1 in 100 donors of any group "
            "would lie as far from its centre"
        )
    withheld.extend(_not_comparable(case, reference, panel))
    if withheld:
        return _without_result(model, tuple(withheld), likeness)
    log_odds = model.log_odds(values)
    error = math.hypot(_measurement_error(case, model), _refit_error(values, model))
    low, high = (_probability(log_odds + sign * NORMAL_95 * error) for sign in (-1, 1))
    probability = model.probability(values)
    return Prediction(
        probability=probability,
        low=min(low, probability),
        high=max(high, probability),
        threshold=model.threshold,
        positive=probability >= model.threshold,
        decided=not low < model.threshold <= high,
        midpoint_log_odds=model.log_odds(np.array(model.midpoint)),
        contributions=_contributions(case, model),
        typicality=likeness,
        warnings=(*_range_warnings(case, model), *_spread_warnings(case, model)),
        withheld=(),
    )


def typicality(values: Float64s, model: LockedModel) -> tuple[Typicality, ...]:
    """How usual a case is for the positive group and for the controls.

    References
    ----------
    Hotelling: for one further member of a group of n among N donors in g groups with pooled
    covariance, T² n / (n + 1) (N - g - p + 1) / ((N - g) p) follows F(p, N - g - p + 1).
    """
    inverse = np.linalg.pinv(np.array(model.within_covariance))
    n_features, degrees = len(values), sum(group.n_donors for group in model.classes) - 2
    found = []
    for group in model.classes:
        offset = values - np.array(group.means)
        scale = group.n_donors / (group.n_donors + 1.0)
        scale *= (degrees - n_features + 1) / (degrees * n_features)
        p_value = stats.f.sf(
            scale * float(offset @ inverse @ offset), n_features, degrees - n_features + 1
        )
        found.append(Typicality(group.name, float(p_value)))
    return tuple(found)


def _reasons_before(case: CaseFeatures, reference: Reference, model: LockedModel) -> Sequence[str]:
    reasons = [
        f"{feature_named(name).label} could not be assessed: {case.values[name].not_assessable}"
        for name in model.features
        if case.values[name].value is None
    ]
    reasons += [f"quality: {flag.message}" for flag in case.flags if flag.level == "error"]
    if reference.simulated and not case.simulated:
        reasons.append(
            "the reference cohort is simulated and the case is not: a probability from simulated "
            "donors would mean nothing for a person"
        )
    return reasons


def _without_result(
    model: LockedModel, reasons: tuple[str, ...], likeness: tuple[Typicality, ...] = ()
) -> Prediction:
    return Prediction(
        None, None, None, model.threshold, None, False, 0.0, (), likeness, (), reasons
    )


def _not_comparable(case: CaseFeatures, reference: Reference, panel: Panel) -> list[str]:
    """Recordings that differ from the cohort's: counts per tomogram would not compare."""
    reasons = []
    for name in panel.comparability:
        measured, feature = case.values[name], feature_named(name)
        cohort = reference.donor_values(name)
        known = cohort[np.isfinite(cohort)]
        if measured.value is None or len(known) == 0:
            continue
        compared = compare_single_case(measured.value, cohort)
        if compared is None or compared.p_value >= MIN_TYPICALITY:
            continue
        smallest, largest = reference.extremes[name]
        if smallest / COMPARABLE <= measured.value <= largest * COMPARABLE:
            continue
        reasons.append(
            f"the recording differs from the cohort's: {feature.label.lower()} is "
            f"{display_number(feature, measured.value)} {feature.display_unit}, in the cohort "
            f"{display_number(feature, smallest)} to {display_number(feature, largest)} "
            f"{feature.display_unit}".rstrip()
        )
    return reasons


def _range_warnings(case: CaseFeatures, model: LockedModel) -> list[str]:
    warnings = []
    for name, lowest, highest in zip(model.features, model.lowest, model.highest, strict=True):
        value, feature = case.values[name].value, feature_named(name)
        if value is None or lowest <= value <= highest:
            continue
        warnings.append(
            f"{feature.label}: {display_number(feature, value)} {feature.display_unit}".rstrip()
            + f" lies outside the donors the model was trained on "
            f"({display_number(feature, lowest)} to {display_number(feature, highest)}); "
            "the model extrapolates"
        )
    return warnings


def _probability(log_odds: float) -> float:
    return 1.0 / (1.0 + math.exp(-log_odds)) if log_odds > -700 else 0.0


def _contributions(case: CaseFeatures, model: LockedModel) -> tuple[Contribution, ...]:
    """Exact parts: the log-odds of every classifier of the table are linear in the features."""
    midpoint = np.array(model.midpoint)
    base = model.log_odds(midpoint)

    def part(index: int, value: float) -> float:
        moved = midpoint.copy()
        moved[index] = value
        return model.log_odds(moved) - base

    found = []
    for index, name in enumerate(model.features):
        measured = case.values[name]
        if measured.value is None:
            raise BadInputError(f"the model needs a value of {name}")
        limits = [part(index, end) for end in (measured.low, measured.high) if end is not None]
        found.append(
            Contribution(
                feature=name,
                value=measured.value,
                midpoint=float(midpoint[index]),
                log_odds=part(index, measured.value),
                low=min(limits, default=None),
                high=max(limits, default=None),
            )
        )
    return tuple(found)


def _tomogram_log_odds(case: CaseFeatures, model: LockedModel) -> Float64s:
    """Log-odds, up to a constant, of each tomogram that has every feature of the model."""
    complete = []
    for tomogram in case.tomograms:
        found = [tomogram.values.get(name) for name in model.features]
        values = [item.value for item in found if item is not None and item.value is not None]
        if len(values) == len(model.features):
            complete.append(values)
    return np.array(complete).reshape(-1, len(model.features)) @ model.slopes


def _measurement_error(case: CaseFeatures, model: LockedModel) -> float:
    """Standard error of the case's log-odds from how much tomograms of one donor differ.

    The variance is pooled over the cohort's donors and this case: two or three tomograms alone
    cannot tell it.
    """
    own = _tomogram_log_odds(case, model)
    slopes = model.slopes
    scatter = float(slopes @ np.array(model.tomogram_scatter) @ slopes)
    scatter += float(((own - own.mean()) ** 2).sum()) if len(own) else 0.0
    degrees = model.tomogram_degrees + max(len(own) - 1, 0)
    n = min(case.values[name].n for name in model.features)
    return math.sqrt(scatter / max(degrees, 1) / max(n, 1))


def _spread_warnings(case: CaseFeatures, model: LockedModel) -> list[str]:
    """Warn where the case's tomograms differ more than those of one donor usually do."""
    own, slopes = _tomogram_log_odds(case, model), model.slopes
    if len(own) < 2 or model.tomogram_degrees < 1:
        return []
    usual = float(slopes @ np.array(model.tomogram_scatter) @ slopes) / model.tomogram_degrees
    if usual <= 0.0:
        return []
    ratio = float(own.var(ddof=1)) / usual
    if stats.f.sf(ratio, len(own) - 1, model.tomogram_degrees) >= MIN_TYPICALITY:
        return []
    return [
        "the tomograms of this case differ more from each other than those of one donor in the "
        "cohort do; look at each of them"
    ]


def _refit_error(values: Float64s, model: LockedModel) -> float:
    """Jackknife standard error of the log-odds: how much the cohort's donors decide it."""
    found = model.refit_log_odds(values)
    n = len(found)
    return math.sqrt((n - 1) / n * float(((found - found.mean()) ** 2).sum()))
