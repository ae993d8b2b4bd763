"""The pictures of the model's result: probability, feature plane, contributions."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from diagnostics.report_canvas import (
    CASE,
    GROUP_STYLES,
    INK,
    QUIET,
    Picture,
    blank,
    dress,
    finish,
    font,
)
from diagnostics.report_text import probability_text
from diagnostics.report_values import CaseReport, MeasuredFeature


def probability_plot(report: CaseReport) -> Picture | None:
    """Probabilities of the cohort's donors, each left out in turn, and that of the case."""
    prediction, model = report.prediction, report.model
    if prediction.probability is None:
        return None
    width, height = 84.0, 44.0
    figure, axes = blank(width, height, (17.0, 9.5, 0.8))
    groups = report.panel.groups
    for index, group in enumerate(groups):
        colour, marker = GROUP_STYLES[index % len(GROUP_STYLES)]
        x = sorted(item.probability for item in model.validation.predictions if item.group == group)
        y = len(groups) - index + _jitter(x)
        axes.plot(x, y, marker, color=colour, ms=4.6, mec="white", mew=0.4, clip_on=False)
    top = len(groups) + 1.0
    low, high = prediction.low or 0.0, prediction.high or 0.0
    axes.axvline(model.threshold, color=QUIET, lw=0.8)
    axes.axvline(prediction.probability, color=CASE, lw=0.5, ls=(0, (2, 2)), zorder=1)
    axes.plot([low, high], [top, top], "-", color=CASE, lw=1.6)
    axes.plot(prediction.probability, top, "D", color=CASE, ms=6.0, mec="white", mew=0.5)
    axes.set_yticks(
        [top, *[float(len(groups) - i) for i in range(len(groups))]],
        ["This case", *[report.panel.group_label(group) for group in groups]],
    )
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(0.4, top + 0.6)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1.0], ["0", "0.25", "0.5", "0.75", "1"])
    positive = report.panel.group_label(report.panel.positive_group).lower()
    axes.set_xlabel(f"model probability of the {positive} group")
    dress(axes, size=7.2)
    axes.tick_params(axis="y", length=0, pad=3)
    alt = (
        f"Model probability on a scale from 0 to 1, threshold {model.threshold:g}. This case: "
        f"{probability_text(prediction.probability)} ({probability_text(low)} to "
        f"{probability_text(high)}). Points: the cohort's donors, each predicted by a model that "
        "left the donor out."
    )
    return finish(figure, width, height, alt)


def _jitter(values: Sequence[float]) -> np.ndarray:
    """Small fixed offsets, so that donors with like probability stay apart."""
    pattern = np.array([0.0, 0.22, -0.22])
    return pattern[np.arange(len(values)) % 3]


def plane_plot(report: CaseReport) -> Picture | None:
    """The two features of the model against each other, with the line where it is undecided."""
    rows = report.rows("model")
    if len(rows) != 2 or len(report.model.features) != 2:
        return None
    width, height = 84.0, 46.0
    figure, axes = blank(width, height, (13.5, 9.5, 5.0))
    first, second = rows
    model, panel = report.model, report.panel
    for index, group in enumerate(panel.groups):
        colour, marker = GROUP_STYLES[index % len(GROUP_STYLES)]
        points = np.array([item.values for item in model.donors if item.group == group])
        points = points.reshape(-1, 2) * [f.feature.display_factor for f in rows]
        label = panel.group_label(group)
        axes.plot(*points.T, marker, color=colour, ms=4.8, mec="white", mew=0.4, label=label)
    _draw_case_in_plane(axes, first, second)
    axes.margins(0.06)
    axes.autoscale_view()
    limits = (axes.get_xlim(), axes.get_ylim())
    _draw_boundary(axes, report, limits)
    axes.set_xlim(max(limits[0][0], 0.0) if limits[0][0] < 0 else limits[0][0], limits[0][1])
    axes.set_ylim(max(limits[1][0], 0.0) if limits[1][0] < 0 else limits[1][0], limits[1][1])
    axes.set_xlabel(_axis_label(first))
    axes.set_ylabel(_axis_label(second).replace(" per tomogram", "\nper tomogram"))
    legend = axes.legend(
        prop=font(6.6),
        loc="upper center",
        bbox_to_anchor=(0.46, 1.16),
        ncols=4,
        frameon=False,
        handletextpad=0.2,
        columnspacing=1.2,
        borderaxespad=0.0,
    )
    for text in legend.get_texts():
        text.set_color(INK)
    dress(axes, size=7.2)
    alt = (
        f"{first.feature.label} across, {second.feature.label.lower()} upwards; one point per "
        "donor of the cohort by group, this case as a black diamond with its intervals. The line "
        "marks where the model is undecided."
    )
    return finish(figure, width, height, alt)


def _draw_case_in_plane(axes: Axes, first: MeasuredFeature, second: MeasuredFeature) -> None:
    x, y = first.measured, second.measured
    if x.value is None or y.value is None:
        return
    fx, fy = first.feature.display_factor, second.feature.display_factor
    if x.low is not None and x.high is not None:
        axes.plot([x.low * fx, x.high * fx], [y.value * fy] * 2, "-", color=CASE, lw=1.1)
    if y.low is not None and y.high is not None:
        axes.plot([x.value * fx] * 2, [y.low * fy, y.high * fy], "-", color=CASE, lw=1.1)
    axes.plot(
        x.value * fx,
        y.value * fy,
        "D",
        color=CASE,
        ms=6.4,
        mec="white",
        mew=0.6,
        zorder=5,
        label="This case",
    )


def _draw_boundary(
    axes: Axes,
    report: CaseReport,
    limits: tuple[tuple[float, float], tuple[float, float]],
) -> None:
    """The contour of the threshold, on a grid: right for any classifier."""
    rows, model = report.rows("model"), report.model
    x = np.linspace(*limits[0], 60)
    y = np.linspace(*limits[1], 60)
    factors = [row.feature.display_factor for row in rows]
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2) / factors
    grid = model.classifier.probability(points).reshape(len(y), len(x))
    if grid.min() < model.threshold < grid.max():
        axes.contour(
            x, y, grid, levels=[model.threshold], colors=QUIET, linewidths=0.9, linestyles="--"
        )


def contribution_plot(report: CaseReport) -> Picture | None:
    """How far each feature moves the log-odds, and where they add up."""
    parts = report.prediction.contributions
    if not parts:
        return None
    width, height = 92.0, 12.0 + 6.5 * (len(parts) + 1)
    figure, axes = blank(width, height, (39.0, 9.5, 0.8))
    labels = {row.feature.name: row.feature.label for row in report.features}
    total = sum(part.log_odds for part in parts)
    names = [*[labels[part.feature] for part in parts], "Together"]
    for index, part in enumerate(parts):
        y = len(parts) - index
        colour = GROUP_STYLES[0][0] if part.log_odds > 0 else GROUP_STYLES[2][0]
        axes.barh(y, part.log_odds, height=0.56, color=colour, lw=0)
        if part.low is not None and part.high is not None:
            axes.plot([part.low, part.high], [y, y], "-", color=CASE, lw=1.1)
    axes.barh(0, total, height=0.56, color=QUIET, lw=0)
    axes.axvline(0.0, color=INK, lw=0.8)
    axes.set_yticks([*range(len(parts), 0, -1), 0], names)
    ends = [abs(end) for part in parts for end in (part.low, part.high) if end is not None]
    reach = 1.08 * max([1.0, abs(total), *ends, *(abs(part.log_odds) for part in parts)])
    axes.set_xlim(-reach, reach)
    axes.set_ylim(-0.6, len(parts) + 0.6)
    positive = report.panel.group_label(report.panel.positive_group).lower()
    axes.set_xlabel(f"log-odds, to the right towards {positive}")
    dress(axes, size=7.2)
    axes.tick_params(axis="y", length=0, pad=3)
    alt = (
        "Contribution to the log-odds: "
        + "; ".join(f"{labels[part.feature]} {part.log_odds:+.1f}" for part in parts)
        + f"; together {total:+.1f}."
    )
    return finish(figure, width, height, alt)


def _axis_label(row: MeasuredFeature) -> str:
    unit = row.feature.display_unit
    return f"{row.feature.label.lower()} ({unit})" if unit else row.feature.label.lower()
