"""From the tomograms of one donor to the features of a case, with intervals that say why."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from scipy import stats

from diagnostics.features.table import FEATURES, Feature
from engine.data.measurements import Measurement, OrganelleMeasurements, QualityFlag
from engine.errors import BadInputError


@dataclass(frozen=True)
class CaseFeatures:
    """The features of one donor.

    Attributes
    ----------
    donor
        Pseudonym.
    values
        Feature name → mean over tomograms with a 95 % interval; `n` counts assessable tomograms.
    tomogram_ids
        In the order of `tomograms`.
    flags
        Flags of all tomograms, each named with its tomogram, and those of the aggregation.
    simulated
        True where any tomogram is simulated.
    tomograms
        The measurements that were aggregated, sorted by tomogram.
    """

    donor: str
    values: Mapping[str, Measurement]
    tomogram_ids: tuple[str, ...]
    flags: tuple[QualityFlag, ...]
    simulated: bool
    tomograms: tuple[OrganelleMeasurements, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", MappingProxyType(dict(self.values)))


def case_features(donor: str, measurements: Sequence[OrganelleMeasurements]) -> CaseFeatures:
    """Aggregate the tomograms of a donor.

    Parameters
    ----------
    donor
        Pseudonym.
    measurements
        One per tomogram, any order; BadInputError on none or on a repeated tomogram.

    Returns
    -------
    CaseFeatures
        Every feature of the table; a feature that no tomogram allows to assess is a
        `Measurement` with the reason, never a zero.
    """
    ordered = tuple(sorted(measurements, key=lambda item: item.tomogram_id))
    ids = tuple(item.tomogram_id for item in ordered)
    if not ids:
        raise BadInputError(f"donor {donor}: expected at least one analysed tomogram, found none")
    if len(set(ids)) < len(ids):
        raise BadInputError(f"donor {donor}: a tomogram occurs twice among {', '.join(ids)}")
    values = {feature.name: _aggregate(feature, ordered) for feature in FEATURES}
    return CaseFeatures(
        donor=donor,
        values=values,
        tomogram_ids=ids,
        flags=(*_tomogram_flags(ordered), *_aggregation_flags(ordered, values)),
        simulated=any(item.provenance.simulated for item in ordered),
        tomograms=ordered,
    )


def mean_measurement(feature: Feature, measured: Sequence[Measurement]) -> Measurement:
    """Mean over assessable tomograms with a 95 % interval.

    The half-width on each side is the larger of two: the t interval over tomograms, which carries
    how tomograms of one donor differ, and the tomograms' own measurement intervals combined in
    quadrature, which matters where tomograms happen to agree (three counts of 0 are not certain).
    With one tomogram only its own interval is there, or none. Limits are cut at 0 and at the
    feature's upper bound, which the true mean cannot pass.
    """
    values = np.array([item.value for item in measured], dtype=np.float64)
    n = len(values)
    mean = float(values.mean())
    spread = 0.0
    if n > 1:
        spread = float(stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / math.sqrt(n))
    if n == 1 and (measured[0].low is None or measured[0].high is None):
        return Measurement(mean, feature.unit, None, None, n)
    below = _combined(values, [item.low for item in measured])
    above = _combined(values, [item.high for item in measured])
    top = math.inf if feature.upper_bound is None else feature.upper_bound
    low = max(0.0, mean - max(spread, below))
    high = min(top, mean + max(spread, above))
    return Measurement(mean, feature.unit, min(low, mean), max(high, mean), n)


def _combined(values: np.ndarray, limits: Sequence[float | None]) -> float:
    """Half-width of the mean's interval from those of its terms, taken as independent."""
    widths = [
        abs(value - limit) for value, limit in zip(values, limits, strict=True) if limit is not None
    ]
    return math.sqrt(sum(width**2 for width in widths)) / len(values)


def _aggregate(feature: Feature, tomograms: Sequence[OrganelleMeasurements]) -> Measurement:
    found = [item.values[feature.name] for item in tomograms if feature.name in item.values]
    for measurement in found:
        if measurement.unit != feature.unit:
            raise BadInputError(
                f"{feature.name}: expected unit {feature.unit}, found {measurement.unit}"
            )
    assessable = [measurement for measurement in found if measurement.value is not None]
    if assessable:
        return mean_measurement(feature, assessable)
    reasons = sorted({item.not_assessable for item in found if item.not_assessable})
    reason = "; ".join(reasons) if reasons else "the analysis does not measure this feature"
    return Measurement(None, feature.unit, None, None, 0, reason)


def _tomogram_flags(tomograms: Sequence[OrganelleMeasurements]) -> list[QualityFlag]:
    return [
        QualityFlag(flag.level, flag.code, f"{item.tomogram_id}: {flag.message}")
        for item in tomograms
        for flag in item.flags
    ]


def _aggregation_flags(
    tomograms: Sequence[OrganelleMeasurements], values: Mapping[str, Measurement]
) -> list[QualityFlag]:
    flags = []
    if len(tomograms) == 1:
        message = (
            "only one tomogram: intervals carry the measurement of that tomogram alone, not how "
            "much tomograms of one donor differ, and are therefore too narrow"
        )
        flags.append(QualityFlag("warning", "single_tomogram", message))
    partly = [
        f"{feature.label} ({values[feature.name].n} of {len(tomograms)})"
        for feature in FEATURES
        if 0 < values[feature.name].n < len(tomograms)
    ]
    if partly and len(tomograms) > 1:
        message = "not assessable in every tomogram, mean over the others: " + ", ".join(partly)
        flags.append(QualityFlag("info", "partly_assessable", message))
    return flags
