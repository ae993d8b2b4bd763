"""Pictures of a case as small SVG images: quick enough to be drawn at every run of a page.

The report draws the same pictures with matplotlib, which takes a quarter of a second each.
"""

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from app.palette import group_colours, group_markers
from diagnostics.panels.rules import Panel
from diagnostics.report_text import interval_text, measured_text, probability_text
from diagnostics.report_values import CaseReport, MeasuredFeature

INK, QUIET, BAND, GRID = "#17242e", "#5b6b77", "#dfe7ec", "#c9d2d9"
LABEL_WIDTH = 92.0
ROW_HEIGHT = 15.0
AXIS_HEIGHT = 17.0
FONT = "font-family=\"'Source Sans 3', 'Segoe UI', Helvetica, Arial, sans-serif\" font-size=\"11\""


@dataclass(frozen=True)
class Scale:
    """A value axis: `low` to `high` over `left` to `right` in SVG units."""

    low: float
    high: float
    left: float
    right: float

    def at(self, value: float) -> float:
        """Place of a value, kept inside the drawing."""
        share = (value - self.low) / (self.high - self.low)
        return self.left + min(1.0, max(0.0, share)) * (self.right - self.left)


@dataclass(frozen=True)
class Lane:
    """One line of points; `marker` is a plotly name."""

    label: str
    values: tuple[float, ...]
    colour: str
    marker: str


def nice_ticks(low: float, high: float, wanted: int = 4) -> list[float]:
    """Round numbers within a range, about as many as wanted."""
    raw = (high - low) / max(wanted, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def strip_drawing(row: MeasuredFeature, panel: Panel, width: float = 340.0) -> str:
    """Draw the case with its interval above the cohort's donors; the band is the reference range.

    Values are printed in the display unit of the feature.
    """
    factor = row.feature.display_factor
    lanes = _lanes([(group, [v * factor for v in values]) for group, values in row.cohort], panel)
    case = _times(factor, row.measured.value, row.measured.low, row.measured.high)
    band = _times(factor, row.reference.low, row.reference.high)
    known = [value for lane in lanes for value in lane.values] + [*(case or ()), *(band or ())]
    if not known:
        return ""
    low, high = min(known), max(known)
    room = 0.06 * (high - low) or max(abs(high), 1.0) * 0.1
    scale = Scale(
        max(0.0, low - room) if low >= 0 else low - room, high + room, LABEL_WIDTH, width - 8
    )
    alt = f"{row.feature.label}. This case: {measured_text(row.feature, row.measured)}."
    if row.reference.low is not None:
        limits = interval_text(row.feature, row.reference.low, row.reference.high)
        alt += f" Reference range: {limits}."
    return _draw(lanes, case, scale, alt, width, band=(band[0], band[-1]) if band else None)


def probability_drawing(report: CaseReport, width: float = 340.0) -> str:
    """Draw the case's probability above those of the cohort's donors, each left out in turn."""
    prediction, model = report.prediction, report.model
    case = _times(1.0, prediction.probability, prediction.low, prediction.high)
    if case is None:
        return ""
    by_group = [
        (group, [d.probability for d in model.validation.predictions if d.group == group])
        for group in report.panel.groups
    ]
    alt = (
        f"Model probability on a scale from 0 to 1. This case: {probability_text(case[0])} "
        f"({probability_text(case[1])} to {probability_text(case[2])}); "
        f"threshold {model.threshold:g}."
    )
    scale = Scale(0.0, 1.0, LABEL_WIDTH, width - 12)
    return _draw(_lanes(by_group, report.panel), case, scale, alt, width, mark=model.threshold)


def _times(factor: float, *values: float | None) -> tuple[float, ...] | None:
    """All values times a factor; None where one is absent."""
    known = [value for value in values if value is not None]
    return tuple(value * factor for value in known) if len(known) == len(values) else None


def _lanes(by_group: Sequence[tuple[str, Sequence[float]]], panel: Panel) -> list[Lane]:
    names = [group for group, _ in by_group]
    colours, markers = group_colours(names), group_markers(names)
    return [
        Lane(panel.group_label(group), tuple(values), colours[group], markers[group])
        for group, values in by_group
    ]


def _draw(
    lanes: Sequence[Lane],
    case: tuple[float, ...] | None,
    scale: Scale,
    alt: str,
    width: float,
    *,
    band: tuple[float, float] | None = None,
    mark: float | None = None,
) -> str:
    top = ROW_HEIGHT if case else 0.0
    bottom = top + ROW_HEIGHT * len(lanes) + 4
    parts = []
    if band:
        left, right = scale.at(band[0]), scale.at(band[1])
        parts.append(_rectangle(left, 0, right - left, bottom, BAND))
    if mark is not None:
        parts.append(_line(scale.at(mark), 0, scale.at(mark), bottom, QUIET, 1.2))
    parts.append(_axis(scale, bottom))
    for index, lane in enumerate(lanes):
        y = top + ROW_HEIGHT * (index + 0.5) + 2
        parts.append(_label(lane.label, y))
        parts += [
            _point(lane, scale.at(value), y + _jitter(i)) for i, value in enumerate(lane.values)
        ]
    if case:
        parts.append(_case(scale, case, bottom))
    height = bottom + AXIS_HEIGHT
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" '
        f'viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}" {FONT}>'
        f"{''.join(parts)}</svg>"
    )
    # As an image: Streamlit takes SVG elements out of the HTML it is given.
    data = base64.b64encode(svg.encode()).decode()
    return f'<img src="data:image/svg+xml;base64,{data}" alt="{escape(alt, quote=True)}">'


def _jitter(index: int) -> float:
    """Small fixed offsets, so that like values stay apart."""
    return (0.0, 2.6, -2.6)[index % 3]


def _rectangle(x: float, y: float, width: float, height: float, colour: str) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>'
    )


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
        f'stroke-width="{width:g}"/>'
    )


def _label(text: str, y: float, *, bold: bool = False) -> str:
    weight = ' font-weight="650"' if bold else ""
    return (
        f'<text x="{LABEL_WIDTH - 10:g}" y="{y + 3.8:.1f}" text-anchor="end" fill="{INK}"{weight}>'
        f"{escape(text)}</text>"
    )


def _point(lane: Lane, x: float, y: float) -> str:
    style = f'fill="{lane.colour}" stroke="#fff" stroke-width="0.7"'
    if lane.marker == "square":
        return f'<rect x="{x - 3:.1f}" y="{y - 3:.1f}" width="6" height="6" {style}/>'
    if lane.marker == "triangle-up":
        return f'<path d="M{x:.1f} {y - 4:.1f}l3.8 6.8h-7.6z" {style}/>'
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.3" {style}/>'


def _case(scale: Scale, case: tuple[float, ...], bottom: float) -> str:
    value, low, high = (scale.at(number) for number in case)
    y = ROW_HEIGHT / 2 + 1
    guide = (
        f'<line x1="{value:.1f}" y1="{y:.1f}" x2="{value:.1f}" y2="{bottom:.1f}" stroke="{INK}" '
        'stroke-width="0.8" stroke-dasharray="2 2"/>'
    )
    ends = "".join(_line(x, y - 3.5, x, y + 3.5, INK, 1.2) for x in (low, high))
    diamond = f'<path d="M{value:.1f} {y - 5:.1f}l5 5l-5 5l-5 -5z" fill="{INK}" stroke="#fff"/>'
    return (
        guide
        + _line(low, y, high, y, INK, 1.8)
        + ends
        + diamond
        + _label("This case", y, bold=True)
    )


def _axis(scale: Scale, y: float) -> str:
    parts = [_line(scale.left, y, scale.right, y, GRID, 1)]
    for tick in nice_ticks(scale.low, scale.high):
        x = scale.at(tick)
        parts.append(_line(x, y, x, y + 3, QUIET, 1))
        parts.append(
            f'<text x="{x:.1f}" y="{y + 13:.1f}" text-anchor="middle" fill="{QUIET}" '
            f'font-size="10">{tick:g}</text>'
        )
    return "".join(parts)
