"""The sentences of a report: plain words, every number with its interval."""

from collections.abc import Sequence

from diagnostics.case import CaseFeatures
from diagnostics.features.table import Feature, display_number
from diagnostics.locked_model import LockedModel
from diagnostics.panels.rules import Panel
from diagnostics.prediction import Prediction
from diagnostics.reference import Reference
from diagnostics.report_values import Headline, MeasuredFeature, Verdict
from diagnostics.single_case import ReferenceInterval, is_outside, measured_outside
from engine.data.measurements import Measurement

# Riley's third criterion (precise intercept) for two predictors at prevalence one half.
RILEY_DONORS = 385

NUMBER_WORDS = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")


def with_unit(feature: Feature, value: float) -> str:
    """`12.3 µm`, `3.0`, `4 %`."""
    return f"{display_number(feature, value)} {feature.display_unit}".strip()


def interval_text(feature: Feature, low: float | None, high: float | None) -> str:
    """`10.1–14.5`, empty where there is none."""
    if low is None or high is None:
        return ""
    return f"{display_number(feature, low)}–{display_number(feature, high)}"


def measured_text(feature: Feature, measured: Measurement) -> str:
    """`12.3 µm (95 % interval 10.1–14.5)` or the reason why there is no value."""
    if measured.value is None:
        return f"not assessable: {measured.not_assessable}"
    limits = interval_text(feature, measured.low, measured.high) or "not known"
    return f"{with_unit(feature, measured.value)} (95 % interval {limits})"


def percent(value: float, decimals: int = 0) -> str:
    """A share as `87 %`; never a bare 0 or 100 for what is not certain."""
    shown = 100.0 * value
    if 0.0 < shown < 0.5 and decimals == 0:
        return "under 1 %"
    if 99.5 < shown < 100.0 and decimals == 0:
        return "over 99 %"
    return f"{shown:.{decimals}f} %"


def probability_text(value: float) -> str:
    """A probability with two decimals, `< 0.01` and `> 0.99` at the ends."""
    if value < 0.01:
        return "< 0.01"
    return "> 0.99" if value > 0.99 else f"{value:.2f}"


def remark(feature: Feature, measured: Measurement, interval: ReferenceInterval) -> str:
    """One phrase on a measurement against the reference range."""
    if measured.value is None:
        return "not assessable"
    if interval.not_assessable is not None:
        return "no reference range"
    side = is_outside(measured.value, interval)
    if side == "within":
        return "within the range"
    found = f"{side} the range" if measured_outside(measured, interval) else f"{side}, unsure"
    looked_for = {"high": "above", "low": "below"}.get(feature.direction, side)
    return found if side == looked_for else f"{found}; not the side looked for"


def headline(
    case: CaseFeatures,
    reference: Reference,
    model: LockedModel,
    panel: Panel,
    prediction: Prediction,
    rows: Sequence[MeasuredFeature],
) -> Headline:
    """What was measured, what it means against the cohort, how sure that is."""
    verdict, title = _verdict(prediction, panel)
    model_rows = [row for row in rows if row.role == "model"]
    if prediction.probability is None:
        model_text = "Withheld: " + "; ".join(prediction.withheld) + "."
    else:
        model_text = _model_sentence(prediction.probability, model, panel, prediction)
    sentences = (
        ("Measured", _what_was_measured(case, model_rows)),
        ("Against controls", _against_range(model_rows)),
        ("Model", model_text),
        ("How sure", _how_sure(reference, model)),
    )
    return Headline(verdict, title, tuple((lead, text) for lead, text in sentences if text))


def _verdict(prediction: Prediction, panel: Panel) -> tuple[Verdict, str]:
    positive = panel.group_label(panel.positive_group).lower()
    controls = " and ".join(panel.group_label(group).lower() for group in panel.control_groups)
    if prediction.probability is None:
        return "withheld", "No model result: the measurements stand alone"
    if not prediction.decided:
        leaning = f"the {positive} group" if prediction.positive else "the control groups"
        return "undecided", f"Undecided: nearer to {leaning}, but the interval spans both"
    if prediction.positive:
        return "positive", f"Resembles the {positive} group of the reference cohort"
    return "negative", f"Resembles the control groups ({controls}) of the reference cohort"


def _what_was_measured(case: CaseFeatures, rows: Sequence[MeasuredFeature]) -> str:
    n = len(case.tomogram_ids)
    count = NUMBER_WORDS[n] if n < len(NUMBER_WORDS) else str(n)
    found = [
        f"{row.feature.label.lower()} {measured_text(row.feature, row.measured)}" for row in rows
    ]
    noun = "tomogram" if n == 1 else "tomograms"
    return f"{count} {noun} of donor {case.donor}, mean: " + "; ".join(found) + "."


def _against_range(rows: Sequence[MeasuredFeature]) -> str:
    parts = []
    for row in rows:
        low, high = row.reference.low, row.reference.high
        if row.measured.value is None or low is None or high is None:
            continue
        side = is_outside(row.measured.value, row.reference)
        lies = "lie within" if side == "within" else f"lie {side}"
        lies = lies if row.feature.label.startswith("Mitochondria") else lies.replace("lie", "lies")
        shown = f"{interval_text(row.feature, low, high)} {row.feature.display_unit}".strip()
        unsure = side != "within" and not measured_outside(row.measured, row.reference)
        tail = ", though the interval of the measurement reaches into it" if unsure else ""
        parts.append(f"{row.feature.label.lower()} {lies} the reference range {shown}{tail}")
    if not parts:
        return ""
    text = "; ".join(parts)
    n = max(row.reference.n for row in rows)
    return f"Against {n} control donors, {text}."


def _model_sentence(
    probability: float, model: LockedModel, panel: Panel, prediction: Prediction
) -> str:
    low, high = prediction.low or 0.0, prediction.high or 0.0
    n_positive, n = model.classes[0].n_donors, model.n_donors
    label = panel.group_label(panel.positive_group).lower()
    return (
        f"A probability of {probability_text(probability)} (95 % interval "
        f"{probability_text(low)} to {probability_text(high)}) for the {label} group, on the "
        f"scale of this cohort, in which {n_positive} of {n} donors belong to it."
    )


def _how_sure(reference: Reference, model: LockedModel) -> str:
    accuracy = model.validation.accuracy
    origin = "simulated donors" if reference.simulated else "donors"
    return (
        f"Leaving one donor out at a time, the model was right for "
        f"{accuracy.correct} of {accuracy.n} {origin} ({percent(accuracy.value)}, exact 95 % "
        f"interval {percent(accuracy.low)} to {percent(accuracy.high)}). {model.n_donors} donors "
        f"are far short of the {RILEY_DONORS} that a calibrated risk would need: read the number "
        "as a place within this cohort, not as a person's risk."
    )


def methods(reference: Reference, model: LockedModel, panel: Panel) -> tuple[str, ...]:
    """How the numbers came about, in the order of the work."""
    names = {"lda": "linear discriminant", "firth": "logistic regression with Firth's penalty"}
    return (
        "Each tomogram was segmented by two convolutional networks that were trained on simulated "
        "tomograms alone; mitochondria, granules and vesicles were separated by a distance map, "
        "microtubules traced as splines. Lengths are arc lengths of the splines.",
        "A donor's value is the mean over the donor's tomograms. Its 95 % interval is the wider, "
        "on each side, of the t interval over tomograms and the tomograms' own measurement "
        "intervals combined; limits are cut at what the quantity can be.",
        "The reference range is where 95 % of further control donors are expected: below 39 "
        "donors the parametric prediction interval mean ± t s √(1 + 1/n), from 39 on percentiles. "
        "Donors, never tomograms, are counted. One case is compared with the controls by the "
        "test of Crawford and Howell.",
        f"The model is a {names[model.classifier_name]} on "
        f"{len(model.features)} donor means, trained on {model.n_donors} donors and locked with "
        f"its threshold {model.threshold:g} before this case was seen. The interval of its "
        "probability joins, on the log-odds scale, how much tomograms of one donor differ (pooled "
        "over the cohort and this case, since a few tomograms cannot tell it) with the jackknife "
        "over the cohort's donors.",
        "The result is withheld where a feature of the model is not assessable, where fewer than "
        "1 in 100 donors of either group would lie as far from its centre, where the "
        "recording differs from the cohort's, and where a real case meets a simulated cohort.",
    )


def limits(reference: Reference, model: LockedModel, panel: Panel) -> tuple[str, ...]:
    """What the report cannot tell."""
    found = [
        "The networks were trained on simulated tomograms; no clinical validation has been done.",
        f"The probability has the scale of a cohort in which {model.classes[0].n_donors} of "
        f"{model.n_donors} donors belong to the {panel.positive_group} group. Where the disease "
        "is rarer, the same measurements mean a far smaller probability.",
        f"{model.n_donors} donors are too few for a calibrated risk: two features at prevalence "
        f"one half need about {RILEY_DONORS} donors (criteria of Riley and others, precision of "
        "the average risk).",
        "Counts per tomogram depend on how much of the cell was imaged; they compare only with "
        "recordings of like size, thickness and tilt range.",
        "The missing wedge hides membranes that lie across the beam; what leaves the field of "
        "view is counted or measured only as far as it is seen.",
        "The interval of the probability leaves out errors that all tomograms share (preparation, "
        "instrument, network).",
    ]
    if reference.simulated:
        found.insert(
            0,
            f"The reference cohort “{reference.name}” is simulated. Its differences between "
            "groups are parameters of the simulation, not findings in patients.",
        )
    return tuple(found)
