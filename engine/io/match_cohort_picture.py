"""One picture of a cohort of matches: is there structure at all, and how much in each tomogram."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from engine.io.colours import SERIES_COLOURS
from engine.io.digests import atomic_file
from engine.matching.cohort import MatchCohort
from engine.matching.results import LARGEST_Q

DPI = 100
N_BINS = 20
WIDTH_IN, ROW_IN, HEAD_IN = 12.0, 0.32, 1.25
SMALLEST_HEIGHT_IN = 2.2


def write_match_cohort_picture(path: Path, cohort: MatchCohort, *, simulated: bool) -> None:
    """Draw the picture as PNG; the same cohort gives the same bytes."""
    figure = match_cohort_figure(cohort, simulated=simulated)
    with atomic_file(path) as staging, staging.open("wb") as stream:
        figure.savefig(stream, format="png", dpi=DPI, metadata={"Software": "TomoDx"})


def match_cohort_figure(cohort: MatchCohort, *, simulated: bool) -> Figure:
    """A row a template: its p-values, and its abundance in each tomogram with intervals."""
    numbers = [
        sum(row.template_id == total.template_id for row in cohort.rows) for total in cohort.totals
    ]
    heights = [max(SMALLEST_HEIGHT_IN, ROW_IN * (n + 1) + 0.8) for n in numbers]
    height_in = sum(heights) + HEAD_IN
    figure = Figure(figsize=(WIDTH_IN, height_in), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        len(heights), 2, height_ratios=heights, width_ratios=(1.0, 1.5), left=0.06, right=0.98,
        top=1.0 - 0.4 / height_in, bottom=0.85 / height_in, hspace=0.55, wspace=0.3,
    )  # fmt: skip
    for number, total in enumerate(cohort.totals):
        colour = SERIES_COLOURS[number % len(SERIES_COLOURS)]
        _draw_p_values(figure.add_subplot(grid[number, 0]), cohort, total.template_id, colour)
        _draw_abundance(figure.add_subplot(grid[number, 1]), cohort, total.template_id, colour)
    words = "SIMULATED tomograms, no patients.  " if simulated else ""
    figure.text(
        0.01, 0.12 / height_in, f"{words}Research use only. Not for clinical decisions.",
        fontsize=9, color="#555555",
    )  # fmt: skip
    return figure


def _draw_p_values(axes: Axes, cohort: MatchCohort, template: str, colour: str) -> None:
    own = np.array([name == template for name in cohort.picks.class_names], dtype=bool)
    values = cohort.picks.figures["p_value"][own]
    counts, _, _ = axes.hist(values, bins=N_BINS, range=(0.0, 1.0), color=colour, alpha=0.8)
    total = next(row for row in cohort.totals if row.template_id == template)
    axes.axhline(
        len(values) / N_BINS, color="black", linewidth=1, linestyle="--",
        label="other structures of its size only",
    )  # fmt: skip
    axes.set_title(
        f"{template}: {total.n_picks} picks, {total.n_significant} with q up to {LARGEST_Q:g} "
        "over the cohort",
        fontsize=10, loc="left",
    )  # fmt: skip
    axes.set_xlabel("p-value")
    axes.set_ylabel("picks")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlim(0.0, 1.0)
    # Room for the legend above the bars.
    axes.set_ylim(0.0, 1.25 * max(1.0, float(np.max(counts))))
    axes.legend(fontsize=8, frameon=False, loc="upper right")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _draw_abundance(axes: Axes, cohort: MatchCohort, template: str, colour: str) -> None:
    rows = [row for row in cohort.rows if row.template_id == template]
    total = next(row for row in cohort.totals if row.template_id == template)
    for place, row in enumerate([*rows, total]):
        found = row.abundance
        is_total = row is total
        axes.plot(
            [found.low_per_um3, found.high_per_um3], [place, place],
            color="black" if is_total else colour, linewidth=2.5 if is_total else 1.8,
        )  # fmt: skip
        axes.plot(
            found.per_um3, place, "D" if is_total else "o",
            color="black" if is_total else colour, markersize=6,
        )  # fmt: skip
    axes.set_yticks(range(len(rows) + 1), [*(_short(row.tomogram_id) for row in rows), "all"])
    axes.tick_params(axis="y", labelsize=8)
    axes.set_ylim(len(rows) + 0.6, -0.6)
    axes.set_xlim(left=0.0)
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axes.set_xlabel("copies per µm³, with 95 % interval")
    axes.grid(axis="x", alpha=0.25)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _short(name: str | None, length: int = 26) -> str:
    text = name or ""
    return text if len(text) <= length else f"{text[: length - 1]}…"
