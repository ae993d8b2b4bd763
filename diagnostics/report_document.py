"""Lay a case report out: the page for the clinician, then the details."""

from diagnostics.features.table import FEATURES_BY_NAME
from diagnostics.model_figures import plane_plot, probability_plot
from diagnostics.report_blocks import (
    Bullets,
    Captioned,
    Column,
    Figures,
    Grid,
    Paragraphs,
    Part,
    ReportDocument,
    Slices,
)
from diagnostics.report_canvas import Picture
from diagnostics.report_details import (
    cohort_part,
    evidence_part,
    model_part,
    rules_part,
    single_case_part,
    tomograms_part,
    versions_part,
)
from diagnostics.report_figures import strip_plot
from diagnostics.report_text import interval_text, with_unit
from diagnostics.report_values import CaseReport, MeasuredFeature, Role

VERDICT_LABELS = {
    "positive": "Model result",
    "negative": "Model result",
    "undecided": "Model result",
    "withheld": "No model result",
}
LEVEL_WORDS = {"error": "Error", "warning": "Caution", "info": "Note"}
MAX_SUMMARY_FLAGS = 4
MAX_SUMMARY_SLICES = 4
MAX_SUMMARY_MISSING = 4


def document(report: CaseReport) -> ReportDocument:
    """Everything that is printed of a report, in order."""
    return ReportDocument(
        title=report.panel.title,
        subtitle=f"Case {report.donor}",
        subject=_subject(report),
        banners=report.banners,
        verdict=report.headline.verdict,
        verdict_label=VERDICT_LABELS[report.headline.verdict],
        headline=report.headline.title,
        sentences=report.headline.sentences,
        summary=_summary(report),
        details=_details(report),
        foot=(
            f"TomoDx {report.software_version} · panel {report.panel.name} "
            f"{report.panel.version} · reference {report.reference_name} "
            f"{report.reference_sha256[:12]} · model {report.model.sha256[:12]}"
        ),
    )


def _subject(report: CaseReport) -> tuple[tuple[str, str], ...]:
    groups = ", ".join(
        f"{group.n_donors} {report.panel.group_label(group.name).lower()}"
        for group in report.reference_groups
    )
    subject = [
        ("Case", report.donor),
        ("Tomograms", str(len(report.provenances))),
        ("Reference", f"{report.reference_name} ({groups})"),
    ]
    if report.date:
        subject.append(("Date", report.date))
    return tuple(subject)


def _summary(report: CaseReport) -> tuple[Part, ...]:
    parts = [Part("What was measured", "measured", (feature_grid(report, "model"),))]
    figures = []
    if (probability := probability_plot(report)) is not None:
        caption = "Model probability. Points: cohort donors, each left out of the model in turn."
        figures.append(Captioned(probability, caption))
    if (plane := plane_plot(report)) is not None:
        caption = "Both features together. Dashed: where the model is undecided."
        figures.append(Captioned(plane, caption))
    if figures:
        parts.append(Part("Where this case lies", "place", (Figures(tuple(figures)),)))
    images = [image for item in report.evidence for image in item.images[:1]]
    if images:
        parts.append(
            Part("What it looks like", "slices", (Slices(tuple(images[:MAX_SUMMARY_SLICES])),))
        )
    parts.append(Part("What to keep in mind", "caution", (_cautions(report),)))
    return tuple(parts)


def _cautions(report: CaseReport) -> Bullets:
    """The worst flags, the model's warnings and what is missing, short."""
    entries = [("Caution", text) for text in report.prediction.warnings]
    entries += [
        (LEVEL_WORDS[flag.level], flag.message) for flag in report.flags if flag.level != "info"
    ]
    hidden = len(entries) - MAX_SUMMARY_FLAGS
    entries = entries[:MAX_SUMMARY_FLAGS]
    if hidden > 0:
        entries.append(("More", f"{hidden} further cautions are listed under Quality."))
    missing = report.not_assessable
    if missing:
        names = ", ".join(label.lower() for label, _ in missing)
        if len(missing) > MAX_SUMMARY_MISSING:
            names = f"{len(missing)} features"
        entries.append(("Not assessable", f"{names}; the reasons are listed under Quality."))
    entries.append(("Limit", report.limits[0]))
    return Bullets(tuple(text for _, text in entries), tuple(mark for mark, _ in entries))


def feature_grid(report: CaseReport, role: Role) -> Grid:
    """Value, interval, reference range and picture of the features of one role."""
    columns = (
        Column("Feature", 27),
        Column("Value and 95 % interval", 19),
        Column("Reference range", 17),
        Column("Donors of the cohort; band: reference range", 37),
    )
    rows = tuple(_feature_row(report, row) for row in report.rows(role))
    return Grid(columns, rows, "Features with value, interval, reference range and cohort", 2)


def _feature_row(report: CaseReport, row: MeasuredFeature) -> tuple[str | Picture, ...]:
    feature, measured, reference = row.feature, row.measured, row.reference
    value = with_unit(feature, measured.value or 0.0)
    limits = interval_text(feature, measured.low, measured.high) or "interval not known"
    if reference.not_assessable is None:
        span = interval_text(feature, reference.low, reference.high)
        span = f"{span} {feature.display_unit}".strip() + f"\n{row.remark}; n = {reference.n}"
    else:
        span = f"none\n{reference.not_assessable}"
    return (
        f"{feature.label}\n{feature.definition}",
        f"{value}\n{limits}, n = {measured.n}",
        span,
        strip_plot(row, report.panel),
    )


def _details(report: CaseReport) -> tuple[Part, ...]:
    parts = [model_part(report), single_case_part(report)]
    if report.rows("supporting"):
        text = "These features do not move the model."
        blocks = (Paragraphs((text,)), feature_grid(report, "supporting"))
        parts.append(Part("Further measurements", "further", blocks))
    if report.rows("recording"):
        text = "Where these lie outside the cohort, counts per tomogram do not compare."
        blocks = (Paragraphs((text,)), feature_grid(report, "recording"))
        parts.append(Part("The recording against the cohort's", "recording", blocks))
    parts += [
        _quality(report),
        tomograms_part(report),
        evidence_part(report),
        cohort_part(report),
        rules_part(report),
        Part("Methods", "methods", (Paragraphs(report.methods),)),
        Part("Limits", "limits", (Bullets(report.limits),)),
        versions_part(report),
    ]
    return tuple(parts)


def _quality(report: CaseReport) -> Part:
    blocks: list[Grid | Bullets | Paragraphs] = []
    if report.flags:
        marks = tuple(LEVEL_WORDS[flag.level] for flag in report.flags)
        blocks.append(Bullets(tuple(flag.message for flag in report.flags), marks))
    else:
        blocks.append(Paragraphs(("No quality flag was raised.",)))
    if report.not_assessable:
        columns = (Column("Could not be assessed", 40), Column("Why", 60))
        blocks.append(Grid(columns, report.not_assessable, "Features without a value, and why"))
    else:
        n = len(FEATURES_BY_NAME)
        blocks.append(Paragraphs((f"All {n} features could be assessed.",)))
    return Part("Quality, and what could not be assessed", "quality", tuple(blocks))
