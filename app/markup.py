"""Small pieces of HTML for the pages; everything that is not ours is escaped here."""

from collections.abc import Sequence
from html import escape

from app.drawings import probability_drawing, strip_drawing
from app.page_data import STATE_WORDS, ReportedResult, WorklistRow
from app.viewer import case_address
from diagnostics.panels.rules import Panel
from diagnostics.report_text import interval_text, measured_text, probability_text
from diagnostics.report_values import CaseReport, MeasuredFeature
from engine.data.measurements import FlagLevel, QualityFlag

FLAG_WORDS: dict[FlagLevel, str] = {"error": "Error", "warning": "Doubt", "info": "Note"}
ROLE_TITLES = {
    "model": "Used by the model",
    "supporting": "Further measurements",
    "recording": "The recording",
}


def chip(text: str, kind: str) -> str:
    """Mark a word by a coloured chip; `kind` names the style."""
    return f'<span class="tdx-chip tdx-{escape(kind)}">{escape(text)}</span>'


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, kind: str = "") -> str:
    """Build a table; the head is plain text, cells are HTML made by functions of this file."""
    cells = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return (
        f'<div class="tdx-scroll"><table class="tdx-table {escape(kind)}">'
        f"<thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def probability_bar(result: ReportedResult | None) -> str:
    """Draw a probability with its interval on a line from 0 to 1, and print it."""
    if result is None:
        return '<span class="tdx-quiet">no report</span>'
    if result.probability is None or result.low is None or result.high is None:
        return f'<span class="tdx-quiet" title="{escape(result.title)}">withheld</span>'
    text = (
        f"{probability_text(result.probability)} "
        f"({probability_text(result.low)} to {probability_text(result.high)})"
    )
    width = 100 * (result.high - result.low)
    return (
        '<span class="tdx-bar" aria-hidden="true">'
        f'<i class="range" style="left:{100 * result.low:.1f}%;width:{width:.1f}%"></i>'
        f'<i class="dot" style="left:{100 * result.probability:.1f}%"></i></span>'
        f'<span class="tdx-number">{escape(text)}</span>'
    )


def worklist_table(rows: Sequence[WorklistRow], *, show_group: bool) -> str:
    """Build the worklist; each donor links to the case page."""
    head = ["Donor", "State", "Tomograms", "Doubts", "Model probability (95 %)", "Report", "Site"]
    if show_group:
        head.append("Group")
    return table(head, [_worklist_cells(row, show_group) for row in rows], kind="tdx-worklist")


def _worklist_cells(row: WorklistRow, show_group: bool) -> list[str]:
    link = escape(case_address(row.donor), quote=True)
    mark = " " + chip("simulated", "simulated-small") if row.simulated else ""
    doubts = chip(str(row.n_doubts), "warning") if row.n_doubts else "–"
    cells = [
        f'<a href="{link}" target="_self">{escape(row.donor)}</a>{mark}',
        chip(STATE_WORDS.get(row.state, row.state), row.state),
        f"{row.n_analysed} of {row.n_tomograms}",
        doubts,
        probability_bar(row.result),
        "–" if row.reported_at is None else f"{row.reported_at:%Y-%m-%d}",
        escape(row.site or "–"),
    ]
    return [*cells, escape(row.group or "–")] if show_group else cells


def headline(report: CaseReport) -> str:
    """Say first what a reader takes away."""
    items = "".join(
        f"<li><b>{escape(lead)}</b> {escape(text)}</li>" for lead, text in report.headline.sentences
    )
    verdict = escape(report.headline.verdict, quote=True)
    return (
        f'<section class="tdx-headline tdx-{verdict}"><h2>{escape(report.headline.title)}</h2>'
        f"<ul>{items}</ul></section>"
    )


def probability_card(report: CaseReport) -> str:
    """Picture the model's probability for the case among the cohort's donors."""
    positive = report.panel.group_label(report.panel.positive_group).lower()
    note = (
        f"Model probability of the {positive} group. Points: donors of the reference cohort, "
        "each predicted by a model that never saw it. Line: threshold."
    )
    return (
        f'<div class="tdx-drawing">{probability_drawing(report)}</div>'
        f'<p class="tdx-quiet">{escape(note)}</p>'
    )


def measurement_table(
    rows: Sequence[MeasuredFeature], panel: Panel, tomogram_id: str | None
) -> str:
    """Set measurements against the reference range, each with its picture.

    Parameters
    ----------
    rows
        Of one role.
    panel
        Names the groups.
    tomogram_id
        The tomogram open in the viewer: its own value gets a column.
    """
    head = ["Measurement", "This case (95 %)", "Reference range", "Donors of the reference cohort"]
    if tomogram_id is not None:
        head.insert(2, "This tomogram")
    return table(head, [_measurement_cells(row, panel, tomogram_id) for row in rows])


def _measurement_cells(row: MeasuredFeature, panel: Panel, tomogram_id: str | None) -> list[str]:
    feature, reference = row.feature, row.reference
    span = interval_text(feature, reference.low, reference.high)
    cells = [
        f"<b>{escape(feature.label)}</b>"
        f'<br><span class="tdx-quiet">{escape(feature.definition)}</span>',
        f'<span class="tdx-number">{escape(measured_text(feature, row.measured))}</span>'
        f'<br><span class="tdx-quiet">{escape(row.remark)}</span>',
        f'<span class="tdx-number">{escape(span)}</span>'
        if reference.low is not None
        else f'<span class="tdx-quiet">{escape(reference.not_assessable or "–")}</span>',
        strip_drawing(row, panel) or "–",
    ]
    if tomogram_id is not None:
        own = dict(row.per_tomogram).get(tomogram_id)
        cells.insert(2, "–" if own is None else escape(measured_text(feature, own)))
    return cells


def flag_list(flags: Sequence[QualityFlag]) -> str:
    """List quality flags, worst first as they come."""
    items = "".join(
        f"<li>{chip(FLAG_WORDS[flag.level], flag.level)} {escape(flag.message)}</li>"
        for flag in flags
    )
    return f'<ul class="tdx-flags">{items}</ul>'


def bullet_list(lines: Sequence[str]) -> str:
    """List plain sentences."""
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """List names with their values."""
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in pairs)
    return f'<dl class="tdx-facts">{items}</dl>'


def plain(text: str) -> str:
    """Escape plain text for a piece of HTML."""
    return escape(text)
