"""Charts of a cohort and of a model's validation, as plotly figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from scipy import stats

from app.palette import group_colours, group_markers
from diagnostics.features.table import Feature
from diagnostics.model_validation import LeftOutDonor, ValidationFigure, ValidationSummary

INK, GRID = "#17242e", "#e3e9ed"


@dataclass(frozen=True)
class GroupValues:
    """Donor means of one feature in one group, stored unit."""

    group: str
    label: str
    donors: tuple[str, ...]
    values: tuple[float, ...]


def _dress(figure: go.Figure, height: int) -> go.Figure:
    figure.update_layout(
        template="plotly_white",
        height=height,
        margin={"l": 60, "r": 16, "t": 34, "b": 46},
        font={"size": 13, "color": INK},
        title={"x": 0.0, "xanchor": "left", "font": {"size": 15}},
        showlegend=False,
    )
    figure.update_xaxes(gridcolor=GRID, zeroline=False, linecolor="#8a99a5", ticks="outside")
    figure.update_yaxes(gridcolor=GRID, zeroline=False, linecolor="#8a99a5", ticks="outside")
    return figure


def spread(n: int, width: float = 0.22) -> list[float]:
    """Fixed sideways places of the points of a group, so that they do not hide each other."""
    pattern = np.array([0.0, 0.5, -0.5, 1.0, -1.0])
    return [float(offset) for offset in width * pattern[np.arange(n) % 5]]


def strip_chart(feature: Feature, groups: Sequence[GroupValues]) -> go.Figure:
    """Every donor by group, with the mean of each group and its 95 % t interval."""
    names = [item.group for item in groups]
    colours, markers = group_colours(names), group_markers(names)
    figure = go.Figure()
    for place, item in enumerate(groups):
        values = np.array(item.values) * feature.display_factor
        figure.add_scatter(
            x=[place + offset for offset in spread(len(values))],
            y=values,
            mode="markers",
            marker={
                "color": colours[item.group],
                "symbol": markers[item.group],
                "size": 10,
                "line": {"color": "white", "width": 1},
            },
            text=item.donors,
            hovertemplate="%{text}: %{y:.4g}<extra></extra>",
        )
        figure.add_trace(_mean_mark(place + 0.38, values))
    unit = f" ({feature.display_unit})" if feature.display_unit else ""
    figure.update_layout(title=f"{feature.label}{unit}")
    figure.update_xaxes(
        tickvals=list(range(len(groups))),
        ticktext=[f"{item.label} ({len(item.values)})" for item in groups],
        range=[-0.5, len(groups) - 0.35],
        showgrid=False,
    )
    figure.update_yaxes(rangemode="tozero")
    return _dress(figure, 320)


def _mean_mark(x: float, values: np.ndarray) -> go.Scatter:
    """Mean and 95 % t interval; without an interval below two donors."""
    mean = float(values.mean()) if len(values) else None
    half = 0.0
    if len(values) > 1:
        half = float(
            stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
        )
    return go.Scatter(
        x=[x],
        y=[mean],
        mode="markers",
        marker={"color": INK, "symbol": "diamond", "size": 9},
        error_y={"type": "data", "array": [half], "color": INK, "thickness": 1.6, "width": 5},
        hovertemplate="mean %{y:.4g}<extra></extra>",
    )


def roc_points(
    predictions: Sequence[LeftOutDonor], positive_group: str
) -> tuple[list[float], list[float]]:
    """False and true positive rates at every threshold, from (0, 0) to (1, 1)."""
    scores = np.array([item.probability for item in predictions])
    truth = np.array([item.group == positive_group for item in predictions])
    if not truth.any() or truth.all():
        return [], []
    thresholds = np.unique(scores)[::-1]
    true_rate = [float((scores[truth] >= level).mean()) for level in thresholds]
    false_rate = [float((scores[~truth] >= level).mean()) for level in thresholds]
    return [0.0, *false_rate], [0.0, *true_rate]


def roc_chart(summary: ValidationSummary, positive_group: str) -> go.Figure:
    """The ROC curve of the left-out predictions, area and interval in the title."""
    false_rate, true_rate = roc_points(summary.predictions, positive_group)
    figure = go.Figure()
    figure.add_scatter(
        x=[0, 1], y=[0, 1], mode="lines", line={"color": "#8a99a5", "dash": "dot"}, hoverinfo="skip"
    )
    figure.add_scatter(
        x=false_rate,
        y=true_rate,
        mode="lines+markers",
        line={"color": "#0B6E8A", "width": 2.5, "shape": "hv"},
        marker={"size": 5},
        hovertemplate="false positives %{x:.0%}, true positives %{y:.0%}<extra></extra>",
    )
    area = next((item for item in summary.figures if item.name == "auc"), None)
    figure.update_layout(title=f"ROC curve, area {figure_text(area)}")
    figure.update_xaxes(title="False positive rate", range=[-0.02, 1.02])
    figure.update_yaxes(title="True positive rate", range=[-0.02, 1.04])
    return _dress(figure, 380)


def probability_chart(
    summary: ValidationSummary, groups: Mapping[str, str], threshold: float
) -> go.Figure:
    """Left-out probability of every donor by group; the line is the threshold."""
    names = list(groups)
    colours, markers = group_colours(names), group_markers(names)
    figure = go.Figure()
    for place, group in enumerate(reversed(names)):
        found = [item for item in summary.predictions if item.group == group]
        figure.add_scatter(
            x=[item.probability for item in found],
            y=[place + offset for offset in spread(len(found))],
            mode="markers",
            marker={
                "color": colours[group],
                "symbol": markers[group],
                "size": 11,
                "line": {"color": "white", "width": 1},
            },
            text=[item.donor for item in found],
            hovertemplate="%{text}: %{x:.2f}<extra></extra>",
        )
    figure.add_vline(x=threshold, line={"color": "#5b6b77", "width": 1.5})
    figure.update_layout(title="Probability of each donor, predicted without that donor")
    figure.update_xaxes(title="Model probability", range=[-0.02, 1.02])
    figure.update_yaxes(
        tickvals=list(range(len(names))),
        ticktext=[groups[name] for name in reversed(names)],
        range=[-0.5, len(names) - 0.5],
        showgrid=False,
    )
    return _dress(figure, 380)


def figure_text(figure: ValidationFigure | None) -> str:
    """Print a figure with its interval; a dash where the donors do not allow it."""
    if figure is None or figure.value is None:
        return "–"
    if figure.low is None or figure.high is None:
        return f"{figure.value:.2f}"
    return f"{figure.value:.2f} (95 % interval {figure.low:.2f} to {figure.high:.2f})"


@dataclass(frozen=True)
class Confusion:
    """Donors by truth and prediction at the model's threshold."""

    true_positive: int
    false_negative: int
    false_positive: int
    true_negative: int


def confusion(
    predictions: Sequence[LeftOutDonor], positive_group: str, threshold: float
) -> Confusion:
    """Count donors; a probability at the threshold reads as positive."""
    pairs = [(d.group == positive_group, d.probability >= threshold) for d in predictions]
    return Confusion(
        true_positive=pairs.count((True, True)),
        false_negative=pairs.count((True, False)),
        false_positive=pairs.count((False, True)),
        true_negative=pairs.count((False, False)),
    )
