"""Figures of `tomodx cohort compare` and `validate`."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from app.palette import group_colours
from cohorts.statistics import GroupComparison
from cohorts.tables import DonorMeans
from diagnostics.validation import ValidationResult

MARKERS = ("o", "s", "^", "D", "v", "P")
CURVE = "#0072B2"
MAX_PANELS = 12


def draw_comparison(comparison: GroupComparison, means: DonorMeans, path: Path) -> None:
    """Draw every donor mean by group, one panel a feature (the twelve smallest q first)."""
    order = sorted(
        comparison.features, key=lambda item: 2.0 if item.q_value is None else item.q_value
    )[:MAX_PANELS]
    columns = min(4, len(order))
    rows = -(-len(order) // columns)
    figure = Figure(figsize=(2.7 * columns + 0.4, 2.7 * rows + 0.2), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel in panels[len(order) :]:
        panel.set_axis_off()
    labels = np.array(means.labels, dtype=object)
    for panel, feature in zip(panels, order, strict=False):
        values = means.values[:, means.features.index(feature.feature)]
        groups = [values[labels == group] for group in comparison.groups]
        _strip(panel, [group[~np.isnan(group)] for group in groups], comparison.groups)
        shown = "not tested" if feature.p_value is None else f"p {feature.p_value:.2g}"
        if feature.q_value is not None:
            shown += f", q {feature.q_value:.2g}"
        panel.set_title(f"{_wrapped(feature.feature)}\n{shown}", fontsize=8)
    _save(figure, path, comparison.simulated)


def _strip(panel: Axes, groups: Sequence[np.ndarray], names: Sequence[str]) -> None:
    colours = group_colours(list(names))
    for i, (name, values) in enumerate(zip(names, groups, strict=True)):
        offsets = (np.arange(len(values)) - (len(values) - 1) / 2) * 0.4 / max(len(values), 1)
        panel.plot(
            i + offsets,
            np.sort(values),
            linestyle="none",
            marker=MARKERS[i % len(MARKERS)],
            color=colours[name],
            markersize=4,
            alpha=0.85,
        )
        if len(values):
            panel.hlines(values.mean(), i - 0.3, i + 0.3, color="black", linewidth=1.2)
    panel.set_xlim(-0.6, len(groups) - 0.4)
    panel.set_xticks(
        range(len(groups)),
        [f"{name}\nn = {len(v)}" for name, v in zip(names, groups, strict=True)],
        fontsize=7,
    )
    panel.tick_params(axis="y", labelsize=7)
    panel.spines[["top", "right"]].set_visible(False)


def draw_validation(result: ValidationResult, path: Path) -> None:
    """Draw the ROC curve and each donor's probability by group."""
    figure = Figure(figsize=(8.6, 3.9), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.25))
    _roc(left, result)
    _probabilities(right, result)
    _save(figure, path, result.simulated)


def _roc(panel: Axes, result: ValidationResult) -> None:
    score = np.array([item.probability for item in result.predictions])
    positive = np.array([item.label == result.params.positive for item in result.predictions])
    cuts = np.concatenate([[np.inf], np.unique(score)[::-1]])
    true = [(score[positive] >= cut).mean() for cut in cuts]
    false = [(score[~positive] >= cut).mean() for cut in cuts]
    panel.plot([0, 1], [0, 1], color="0.7", linewidth=1, linestyle="--")
    panel.plot(false, true, color=CURVE, linewidth=1.8, drawstyle="default")
    auc, accuracy = result.auc, result.accuracy
    panel.set_title(
        f"AUC {auc.value:.2f} ({auc.low:.2f} to {auc.high:.2f})\n"
        f"{accuracy.correct} of {accuracy.n} right "
        f"({accuracy.low:.2f} to {accuracy.high:.2f})",
        fontsize=9,
    )
    panel.set_xlabel("1 - specificity", fontsize=8)
    panel.set_ylabel("sensitivity", fontsize=8)
    panel.set_aspect("equal")
    panel.tick_params(labelsize=7)
    panel.spines[["top", "right"]].set_visible(False)


def _probabilities(panel: Axes, result: ValidationResult) -> None:
    labels = sorted({item.label for item in result.predictions})
    colours = group_colours(labels)
    for i, label in enumerate(labels):
        values = np.sort([p.probability for p in result.predictions if p.label == label])
        offsets = (np.arange(len(values)) - (len(values) - 1) / 2) * 0.5 / len(values)
        panel.plot(
            values,
            i + offsets,
            linestyle="none",
            marker=MARKERS[i % len(MARKERS)],
            color=colours[label],
            markersize=5,
            alpha=0.85,
        )
    panel.axvline(0.5, color="0.4", linewidth=1, linestyle="--")
    panel.set_xlim(-0.02, 1.02)
    panel.set_ylim(-0.6, len(labels) - 0.4)
    panel.set_yticks(range(len(labels)), labels, fontsize=8)
    panel.set_xlabel(
        f"probability of {result.params.positive} from a model without the donor", fontsize=8
    )
    panel.set_title(f"permutation p {result.permutation_p:.2g}", fontsize=9)
    panel.tick_params(axis="x", labelsize=7)
    panel.spines[["top", "right"]].set_visible(False)


def _wrapped(name: str) -> str:
    words, lines = name.split("_"), [""]
    for word in words:
        if lines[-1] and len(lines[-1]) + len(word) > 27:
            lines.append("")
        lines[-1] += ("_" if lines[-1] or len(lines) > 1 else "") + word
    return "\n".join(lines)


def _save(figure: Figure, path: Path, simulated: bool) -> None:
    if simulated:
        figure.suptitle("Simulated data", fontsize=9, color="#B00020")
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=150, metadata={"Software": "TomoDx"})
