"""One picture of class averages: three sections of each, with how many stand behind it."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from engine.data.arrays import Float32s
from engine.data.classification import ClassAverages
from engine.io.digests import atomic_file

DPI = 100
CELL_IN, HEAD_IN, GAP_IN = 1.25, 0.9, 0.45
# Blocks of three sections beside each other.
BLOCKS = 3
# Between darkest and lightest, in standard deviations of a subtomogram.
LEAST_CONTRAST = 0.6
SECTIONS = ("xy", "xz", "yz")


def write_averages_picture(path: Path, averages: ClassAverages, *, simulated: bool) -> None:
    """Draw the picture as PNG; the same averages give the same bytes."""
    figure = averages_figure(averages, simulated=simulated)
    with atomic_file(path) as staging, staging.open("wb") as stream:
        figure.savefig(stream, format="png", dpi=DPI, metadata={"Software": "TomoDx"})


def averages_figure(averages: ClassAverages, *, simulated: bool) -> Figure:
    """Middle sections of every average along the three axes, protein dark."""
    n = len(averages.names)
    columns = min(BLOCKS, n)
    rows = -(-n // columns)
    block_in = len(SECTIONS) * CELL_IN + GAP_IN
    row_in = CELL_IN + GAP_IN
    # The line of words above needs its room, however few there are.
    width_in = max(columns * block_in + GAP_IN, 8.5)
    height_in = HEAD_IN + rows * row_in
    figure = Figure(figsize=(width_in, height_in), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    for index, (name, volume, members) in enumerate(
        zip(averages.names, averages.volumes, averages.n_members, strict=True)
    ):
        left_in = GAP_IN + (index % columns) * block_in
        top_in = HEAD_IN + (index // columns) * row_in
        for place, axis in enumerate(range(len(SECTIONS))):
            axes = figure.add_axes(
                (
                    (left_in + place * CELL_IN) / width_in,
                    1 - (top_in + CELL_IN) / height_in,
                    0.96 * CELL_IN / width_in,
                    0.96 * CELL_IN / height_in,
                )
            )
            _draw_section(axes, volume, axis)
        figure.text(
            left_in / width_in, 1 - (top_in - 0.08) / height_in,
            f"{name.replace('_', ' ')}: {members:,}", fontsize=9, va="bottom",
        )  # fmt: skip
    origin = "simulated subtomograms; " if simulated else ""
    side = averages.volumes.shape[1]
    figure.text(
        GAP_IN / width_in, 1 - 0.25 / height_in,
        f"Class averages, {side} voxels of {averages.voxel_size_angst / 10:g} nm; {origin}sections "
        f"{', '.join(SECTIONS)}.\nContrast transfer is not corrected. Research use only.",
        fontsize=10, va="center",
    )  # fmt: skip
    return figure


def _draw_section(axes: Axes, volume: Float32s, axis: int) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    middle = volume.shape[axis] // 2
    section = volume.take(range(middle - 1, middle + 2), axis=axis).mean(axis=axis)
    # One grey scale for all three; where next to nothing was seen, nothing shows.
    low, high = np.percentile(volume, (0.2, 99.8))
    widened = max(0.0, LEAST_CONTRAST - (high - low)) / 2.0
    low, high = low - widened, high + widened
    axes.imshow(-section, cmap="gray", vmin=-high, vmax=-low, interpolation="bilinear")
