"""Blank axes in the report's manner, and finished drawings as reproducible bytes."""

import io
from dataclasses import dataclass

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.text import Text

from diagnostics.report_fonts import font_properties

# Okabe and Ito's colours, told apart under colour blindness; the marker says it a second time.
GROUP_STYLES = (("#D55E00", "^"), ("#E69F00", "s"), ("#0072B2", "o"), ("#009E73", "D"))
INK, QUIET, BAND, CASE = "#1b2733", "#6b7785", "#e3e9ef", "#000000"
PNG_DPI = 220


@dataclass(frozen=True)
class Picture:
    """A drawing in the two forms that the report needs.

    Attributes
    ----------
    svg, png
        For the HTML page and for the PDF.
    width_mm, height_mm
        Natural size.
    alt
        What the picture shows, in words.
    """

    svg: bytes
    png: bytes
    width_mm: float
    height_mm: float
    alt: str


def font(size: float, weight: str = "regular") -> FontProperties:
    """Return the report's typeface at a size in points."""
    font = font_properties(weight).copy()
    font.set_size(size)
    return font


def blank(
    width_mm: float, height_mm: float, margins_mm: tuple[float, float, float]
) -> tuple[Figure, Axes]:
    """Return an empty figure of that size with one axes inside (left, bottom, top) margins.

    Margins are fixed because fitting them to the labels takes three times as long.
    """
    left, bottom, top = margins_mm
    figure = Figure(figsize=(width_mm / 25.4, height_mm / 25.4))
    box = (left / width_mm, bottom / height_mm)
    size = (0.97 - box[0], 1.0 - (bottom + top) / height_mm)
    return figure, figure.add_axes((*box, *size))


def dress(axes: Axes, size: float) -> None:
    """Thin axes, quiet ticks, the report's typeface."""
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(side == "left" and bool(axes.get_ylabel()))
    for spine in axes.spines.values():
        spine.set_color(QUIET)
        spine.set_linewidth(0.6)
    axes.tick_params(width=0.6, length=2.4, color=QUIET, labelcolor=INK, labelsize=size, pad=1.5)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_fontsize(size)
        label.set_color(INK)


def finish(figure: Figure, width_mm: float, height_mm: float, alt: str) -> Picture:
    """Render a figure; no date, no name of a program, no random id gets into the bytes."""
    with mpl.rc_context({"svg.hashsalt": "tomodx", "svg.fonttype": "path"}):
        for axes in figure.axes:
            # Tick labels exist only once asked for; then they get the typeface as all text does.
            axes.get_xticklabels(), axes.get_yticklabels()
        for text in figure.findobj(Text):
            text.set_fontproperties(font(float(text.get_fontsize())))
        svg, png = io.BytesIO(), io.BytesIO()
        FigureCanvasSVG(figure)
        figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
        FigureCanvasAgg(figure)
        figure.savefig(png, format="png", dpi=PNG_DPI, metadata={"Software": None})
    return Picture(svg.getvalue(), png.getvalue(), width_mm, height_mm, alt)
