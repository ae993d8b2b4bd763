"""One picture of a classification: how many of what, how sure, how they lie, how they look."""

import textwrap
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from engine.data.arrays import Float64s
from engine.data.classification import Classification
from engine.data.subtomograms import SubtomogramStack
from engine.io.colours import SERIES_COLOURS
from engine.io.digests import atomic_file

DPI = 100
N_EXAMPLES = 8
MOST_ROWS = 12
FEWEST_BARS = 5
# With fewer there are no two directions to show.
FEWEST_POINTS = 3
NONE_COLOUR = "#8a8f98"
MOST_POINTS = 4000


def write_classification_picture(
    path: Path, stack: SubtomogramStack, found: Classification, *, simulated: bool
) -> None:
    """Draw the picture as PNG; the same classification gives the same bytes."""
    figure = classification_figure(stack, found, simulated=simulated)
    with atomic_file(path) as staging, staging.open("wb") as stream:
        figure.savefig(stream, format="png", dpi=DPI, metadata={"Software": "TomoDx"})


def classification_figure(
    stack: SubtomogramStack, found: Classification, *, simulated: bool
) -> Figure:
    """Numbers a class, the embedding in two directions, the surest examples of each."""
    order = _by_number(found)
    rows = order[:MOST_ROWS]
    example_in = 0.85
    height_in = 4.6 + example_in * len(rows)
    figure = Figure(figsize=(13.6, height_in), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    top = figure.add_gridspec(
        1,
        2,
        left=0.13,
        right=0.98,
        top=1 - 0.5 / height_in,
        bottom=1 - 4.0 / height_in,
        wspace=0.12,
    )
    known = [kind for kind in order if kind >= 0]
    colours = {kind: SERIES_COLOURS[i % len(SERIES_COLOURS)] for i, kind in enumerate(known)}
    _draw_numbers(figure.add_subplot(top[0]), found, order, colours)
    _draw_embedding(figure.add_subplot(top[1]), found, colours)
    grid = figure.add_gridspec(
        max(1, len(rows)), N_EXAMPLES, left=0.13, right=0.98,
        top=1 - 4.45 / height_in, bottom=0.1 / height_in, wspace=0.03, hspace=0.08,
    )  # fmt: skip
    for row, kind in enumerate(rows):
        surest = _surest(found, kind)
        for column in range(N_EXAMPLES):
            axes = figure.add_subplot(grid[row, column])
            axes.set_axis_off()
            if column < len(surest):
                _draw_example(axes, stack, int(surest[column]))
            if column == 0:
                axes.text(
                    -0.08, 0.5, _label(_name(found, kind)), transform=axes.transAxes,
                    ha="right", va="center", fontsize=9, color=colours.get(kind, NONE_COLOUR),
                )  # fmt: skip
    origin = "simulated subtomograms; " if simulated else ""
    number = "1 subtomogram" if len(stack) == 1 else f"{len(stack)} subtomograms"
    figure.text(
        0.01, 1 - 0.22 / height_in,
        f"{number} of {stack.box_vox} voxels of {stack.voxel_size_angst / 10:g} nm; "
        f"{origin}middle sections of the surest below. Research use only.",
        fontsize=10,
    )  # fmt: skip
    return figure


def _by_number(found: Classification) -> list[int]:
    """Classes that were found, most frequent first; -1 (none of them) at the end."""
    kinds = found.kinds[~found.is_none]
    counts = np.bincount(kinds, minlength=len(found.class_names))
    order = [int(kind) for kind in np.argsort(-counts, kind="stable") if counts[kind]]
    return [*order, -1] if found.is_none.any() else order


def _name(found: Classification, kind: int) -> str:
    return "none of these" if kind < 0 else found.class_names[kind]


def _label(name: str) -> str:
    """A class as people read it, on two lines of the margin at most."""
    return "\n".join(textwrap.wrap(name.replace("_", " "), 24, max_lines=2, placeholder="…"))


def _is_of(found: Classification, kind: int) -> np.ndarray:
    return found.is_none if kind < 0 else (found.kinds == kind) & ~found.is_none


def _surest(found: Classification, kind: int) -> np.ndarray:
    index = np.flatnonzero(_is_of(found, kind))
    score = found.distances if kind < 0 else found.probabilities.max(axis=1)
    return np.asarray(index[np.argsort(-score[index], kind="stable")][:N_EXAMPLES])


def _draw_numbers(
    axes: Axes, found: Classification, order: list[int], colours: dict[int, str]
) -> None:
    shown = order[:MOST_ROWS]
    counts = [int(_is_of(found, kind).sum()) for kind in shown]
    bars = [colours.get(kind, NONE_COLOUR) for kind in shown]
    axes.barh(range(len(shown)), counts, color=bars, height=0.7)
    axes.set_yticks(range(len(shown)), [_label(_name(found, kind)) for kind in shown], fontsize=9)
    # Few classes get no thicker bars than many.
    axes.set_ylim(max(len(shown), FEWEST_BARS) - 0.5, -0.5)
    for place, (kind, count) in enumerate(zip(shown, counts, strict=True)):
        # Summed probabilities: what the number would be if every doubt were counted.
        expected = "" if kind < 0 else f" ({_summed(found, kind)})"
        axes.text(count, place, f" {count}{expected}", va="center", fontsize=9)
    axes.set_xlim(0, max([1, *counts]) * 1.22)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_title("found (sum of probabilities)", fontsize=10, loc="left")
    axes.spines[["top", "right"]].set_visible(False)


def _summed(found: Classification, kind: int) -> str:
    total = float(found.probabilities[~found.is_none, kind].sum())
    return f"{total:.0f}" if total >= 10 else f"{total:.1f}"


def _draw_embedding(axes: Axes, found: Classification, colours: dict[int, str]) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    if len(found.embeddings) < FEWEST_POINTS:
        axes.set_title("embedding: too few to show", fontsize=10, loc="left")
        return
    places, share = _two_directions(found.embeddings.astype(np.float64))
    step = max(1, len(places) // MOST_POINTS)
    of_each = [colours.get(int(kind), NONE_COLOUR) for kind in found.kinds]
    shown = [NONE_COLOUR if none else colour
             for none, colour in zip(found.is_none, of_each, strict=True)]  # fmt: skip
    axes.scatter(
        places[::step, 0], places[::step, 1], s=9, c=shown[::step], alpha=0.7, linewidths=0
    )
    axes.set_title(
        f"embedding, two directions of most variance ({share:.0%} of it)", fontsize=10, loc="left"
    )


def _two_directions(embeddings: Float64s) -> tuple[Float64s, float]:
    centred = embeddings - embeddings.mean(axis=0)
    _, strengths, directions = np.linalg.svd(centred, full_matrices=False)
    # A direction has two signs; the same one every time.
    signs = np.sign(directions[np.arange(2), np.abs(directions[:2]).argmax(axis=1)])
    total = float((strengths**2).sum()) or 1.0
    return centred @ (directions[:2] * signs[:, None]).T, float((strengths[:2] ** 2).sum()) / total


def _draw_example(axes: Axes, stack: SubtomogramStack, index: int) -> None:
    volume = stack.voxels[index]
    middle = volume.shape[0] // 2
    section = volume[max(0, middle - 1) : middle + 2].mean(axis=0)
    low, high = np.percentile(section, (1.0, 99.0))
    axes.imshow(-section, cmap="gray", vmin=-high, vmax=-low, interpolation="nearest")
