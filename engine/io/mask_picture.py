"""One picture of separated bodies: what was taken for one."""

from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from engine.data.arrays import Ints
from engine.io.colours import SERIES_COLOURS
from engine.io.digests import atomic_file

DPI, MOST_WIDE_IN, MOST_HIGH_IN, SMALLEST_IN = 100, 12.0, 11.0, 4.0
LEFT_IN, RIGHT_IN, TOP_IN, GAP_IN, BOTTOM_IN = 0.7, 0.15, 0.4, 0.35, 0.55
MOST_NUMBERS = 80


def write_mask_picture(
    path: Path, ids: Ints, spacing_nm: tuple[float, float, float], name: str
) -> None:
    """Draw all bodies seen along z and along y, numbered; the same ids give the same bytes."""
    z, y, x = (n * nm for n, nm in zip(ids.shape, spacing_nm, strict=True))
    in_per_nm = min((MOST_WIDE_IN - LEFT_IN - RIGHT_IN) / x, MOST_HIGH_IN / (y + z))
    heights_in = [in_per_nm * y, max(0.8, in_per_nm * z)]
    panel_in = max(SMALLEST_IN, in_per_nm * x)
    width_in = panel_in + LEFT_IN + RIGHT_IN
    height_in = sum(heights_in) + TOP_IN + GAP_IN + BOTTOM_IN
    figure = Figure(figsize=(width_in, height_in), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        2, 1, height_ratios=heights_in, left=LEFT_IN / width_in, right=1.0 - RIGHT_IN / width_in,
        top=1.0 - TOP_IN / height_in, bottom=BOTTOM_IN / height_in,
        hspace=GAP_IN / (sum(heights_in) / 2),
    )  # fmt: skip
    colours = ListedColormap(["#ffffff", *SERIES_COLOURS])
    middles = _middles(ids)
    for row, axis in enumerate((0, 1)):
        seen = _foremost(ids, axis)
        axes = figure.add_subplot(grid[row])
        shown = np.where(seen > 0, (seen - 1) % len(SERIES_COLOURS) + 1, 0)
        height_um = (y, z)[row] * 1e-3
        axes.imshow(
            shown, cmap=colours, vmin=0, vmax=len(SERIES_COLOURS), interpolation="nearest",
            extent=(0.0, x * 1e-3, height_um, 0.0), aspect="equal" if row == 0 else "auto",
        )  # fmt: skip
        axes.set_ylabel(("y (µm)", "z (µm)")[row])
        if row == 0:
            axes.set_title(f"{name}: {_counted(len(middles))}", fontsize=11, loc="left")
            for number, middle in list(middles.items())[:MOST_NUMBERS]:
                axes.text(
                    middle[2] * spacing_nm[2] * 1e-3, middle[1] * spacing_nm[1] * 1e-3,
                    str(number), fontsize=8, ha="center", va="center",
                    bbox={"boxstyle": "round,pad=0.1", "fc": "white", "lw": 0, "alpha": 0.7},
                )  # fmt: skip
        else:
            axes.set_xlabel("x (µm)")
    with atomic_file(path) as staging, staging.open("wb") as stream:
        figure.savefig(stream, format="png", dpi=DPI, metadata={"Software": "TomoDx"})


def _counted(n: int) -> str:
    return "1 body" if n == 1 else f"{n} bodies"


def _foremost(ids: Ints, axis: int) -> Ints:
    """The first body along an axis."""
    first = (ids > 0).argmax(axis=axis)
    taken = np.take_along_axis(ids, np.expand_dims(first, axis), axis=axis)
    return np.asarray(taken.squeeze(axis))


def _middles(ids: Ints) -> dict[int, tuple[float, ...]]:
    numbers = np.unique(ids)
    numbers = numbers[numbers > 0]
    if not len(numbers):
        return {}
    sums = np.zeros((int(numbers.max()) + 1, 4))
    places = np.nonzero(ids)
    which = ids[places]
    for axis in range(3):
        np.add.at(sums[:, axis], which, places[axis])
    np.add.at(sums[:, 3], which, 1.0)
    return {int(n): tuple(sums[n, :3] / sums[n, 3]) for n in numbers}
