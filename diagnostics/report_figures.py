"""The picture of one feature: cohort donors by group, reference range, this case."""

import numpy as np
from matplotlib.axes import Axes

from diagnostics.panels.rules import Panel
from diagnostics.report_canvas import BAND, CASE, GROUP_STYLES, Picture, blank, dress, finish
from diagnostics.report_text import interval_text, with_unit
from diagnostics.report_values import MeasuredFeature

WIDTH_MM = 66.0
# Room for group names of 14 characters and for the numbers of the axis.
MARGINS_MM = (15.5, 4.2, 0.5)


def strip_plot(row: MeasuredFeature, panel: Panel) -> Picture:
    """Donor means by group, the reference range as a band, the case with its interval."""
    height = 20.0 if row.role == "model" else 15.0
    figure, axes = blank(WIDTH_MM, height, MARGINS_MM)
    factor = row.feature.display_factor
    n_groups = len(row.cohort)
    if row.reference.low is not None and row.reference.high is not None:
        axes.axvspan(row.reference.low * factor, row.reference.high * factor, color=BAND, lw=0)
    for index, (_, values) in enumerate(row.cohort):
        colour, marker = GROUP_STYLES[index % len(GROUP_STYLES)]
        x = np.array(values) * factor
        y = np.full(len(x), float(n_groups - index))
        axes.plot(x, y, marker, color=colour, ms=3.6, mec="white", mew=0.35, clip_on=False)
    labels = [panel.group_label(group) for group, _ in row.cohort]
    ticks = [float(n_groups - index) for index in range(n_groups)]
    if row.measured.value is not None:
        _draw_case(axes, row, n_groups + 1.0)
        labels.insert(0, "This case")
        ticks.insert(0, n_groups + 1.0)
    axes.set_ylim(0.4, n_groups + 1.6)
    axes.set_yticks(ticks, labels)
    axes.margins(x=0.05)
    left, right = axes.get_xlim()
    if left < 0:
        axes.set_xlim(-0.02 * right, right)
    dress(axes, size=6.4)
    axes.tick_params(axis="y", length=0, pad=2)
    return finish(figure, WIDTH_MM, height, _strip_alt(row, panel))


def _draw_case(axes: Axes, row: MeasuredFeature, y: float) -> None:
    factor = row.feature.display_factor
    value, low, high = row.measured.value, row.measured.low, row.measured.high
    if value is None:
        return
    axes.axvline(value * factor, color=CASE, lw=0.5, ls=(0, (2, 2)), zorder=1)
    if low is not None and high is not None:
        axes.plot([low * factor, high * factor], [y, y], "-", color=CASE, lw=1.3)
        for end in (low, high):
            axes.plot([end * factor] * 2, [y - 0.28, y + 0.28], "-", color=CASE, lw=1.0)
    axes.plot(value * factor, y, "D", color=CASE, ms=4.6, mec="white", mew=0.5)


def _strip_alt(row: MeasuredFeature, panel: Panel) -> str:
    feature = row.feature
    parts = [f"{feature.label}."]
    if row.measured.value is not None:
        limits = interval_text(feature, row.measured.low, row.measured.high)
        parts.append(f"This case: {with_unit(feature, row.measured.value)} ({limits}).")
    for group, values in row.cohort:
        if values:
            span = interval_text(feature, values[0], values[-1])
            parts.append(f"{panel.group_label(group)}: {len(values)} donors, {span}.")
    if row.reference.low is not None:
        span = interval_text(feature, row.reference.low, row.reference.high)
        parts.append(f"Reference range: {span}.")
    return " ".join(parts)
