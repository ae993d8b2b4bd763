"""The column of text beside the sections of a preview: name, numbers, legend, doubts."""

import textwrap
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from engine.data.labels import CLASS_IDS, INSTANCE_CLASSES
from engine.data.measurements import TomogramAnalysis
from engine.data.tomogram import Tomogram
from engine.io.colours import SMALL

SINGULAR_PLURAL = {
    "mitochondrion": ("mitochondrion", "mitochondria"),
    "alpha_granule": ("alpha granule", "alpha granules"),
    "dense_granule": ("dense granule", "dense granules"),
    "vesicle": ("vesicle", "vesicles"),
    "microtubule": ("microtubule", "microtubules"),
    "ribosome": ("ribosome", "ribosomes"),
}
INK, FAINT, WARNING = "#1A1A1A", "#5B5F66", "#A03000"


@dataclass
class Column:
    """A cursor that moves down the axes, in pixels."""

    axes: Axes
    width_px: float
    height_px: float
    top_px: float = field(default=0.0)

    def text(self, text: str, size: float = 11, colour: str = INK, bold: bool = False) -> None:
        """Write lines at the cursor and move below them."""
        self.axes.text(
            0,
            self.height_px - self.top_px,
            text,
            fontsize=size,
            color=colour,
            fontweight="bold" if bold else "normal",
            va="top",
            linespacing=1.35,
        )
        self.top_px += size * 100 / 72 * 1.42 * (text.count("\n") + 1)

    def swatch(self, colour: str, text: str, line: bool = False) -> None:
        """Write a legend entry."""
        y = self.height_px - self.top_px - 15
        low, thick = (y + 5, 3) if line else (y, 14)
        self.axes.add_patch(
            Rectangle((0, low), 22, thick, facecolor=colour, edgecolor="#333333", linewidth=0.5)
        )
        self.axes.text(32, y + 7, text, fontsize=11, color=INK, va="center")
        self.top_px += 25

    def gap(self, height_px: float = 12) -> None:
        """Leave room."""
        self.top_px += height_px


def draw_side_column(
    axes: Axes, analysis: TomogramAnalysis, tomogram: Tomogram, colours: Mapping[str, str]
) -> None:
    """Fill the axes with the name, the key numbers, the legend and the quality flags."""
    axes.set_axis_off()
    box = axes.get_window_extent()
    axes.set_xlim(0, box.width)
    axes.set_ylim(0, box.height)
    column = Column(axes, box.width, box.height)
    column.text("\n".join(textwrap.wrap(analysis.measurements.tomogram_id, 30)), 15, bold=True)
    if analysis.measurements.provenance.simulated or tomogram.provenance.simulated:
        column.gap(4)
        _badge(column, "SIMULATED")
    column.gap(4)
    column.text(_field_text(tomogram), 10, FAINT)
    column.gap(16)
    _draw_numbers(column, analysis)
    column.gap(16)
    _draw_legend(column, analysis, colours)
    _draw_flags(column, analysis)


def _field_text(tomogram: Tomogram) -> str:
    z_nm, y_nm, x_nm = tomogram.size_nm
    tilts = tomogram.tilt_range
    lines = [
        f"field {x_nm:.0f} × {y_nm:.0f} × {z_nm:.0f} nm (x, y, z)",
        f"voxel {tomogram.voxel_size_angst:.2f} Å",
    ]
    if tilts:
        lines.append(f"tilt {tilts.min_deg:.1f} to {tilts.max_deg:.1f}°")
    return "\n".join(lines)


def _draw_numbers(column: Column, analysis: TomogramAnalysis) -> None:
    column.text("Found", 12, bold=True)
    counts = Counter(one.organelle_class for one in analysis.instances.organelles)
    measured = analysis.measurements.values
    for name in INSTANCE_CLASSES:
        if f"{name}_count" in measured and measured[f"{name}_count"].value is None:
            column.text(f"{SINGULAR_PLURAL[name][1]}: not assessable")
        elif name in ("mitochondrion", "alpha_granule") or counts[name]:
            column.text(_counted(counts[name], name))
    lengths_nm = [line.length_nm for line in analysis.filaments]
    text = _counted(len(lengths_nm), "microtubule")
    if lengths_nm:
        total_nm = sum(lengths_nm)
        length = f"{total_nm / 1000:.2f} µm" if total_nm >= 1000 else f"{total_nm:.0f} nm"
        text += f", {length} in all"
    column.text(text)
    ribosomes = measured.get("ribosome_count")
    if ribosomes is not None and ribosomes.value is not None:
        column.text(_counted(len(analysis.ribosomes_angst), "ribosome"))


def _counted(count: int, name: str) -> str:
    return f"{count} {SINGULAR_PLURAL[name][count != 1]}"


def _draw_legend(column: Column, analysis: TomogramAnalysis, colours: Mapping[str, str]) -> None:
    present = {one.organelle_class for one in analysis.instances.organelles}
    if analysis.filaments:
        present.add("microtubule")
    for name in (*SMALL, "artefact"):
        if bool((analysis.labels.labels == CLASS_IDS[name]).any()):
            present.add(name)
    entries = [name for name in colours if name in present]
    if not entries:
        return
    column.text("Legend", 12, bold=True)
    column.gap(4)
    for name in entries:
        column.swatch(colours[name], name.replace("_", " "), line=name == "microtubule")
    if analysis.filaments:
        column.text("microtubules far from the section are thin", 9, FAINT)
    if analysis.instances.organelles:
        column.text("numbers: instance_id in instances.csv", 9, FAINT)
    column.text("white ticks: where the other section cuts", 9, FAINT)


def _draw_flags(column: Column, analysis: TomogramAnalysis) -> None:
    flags = [flag for flag in analysis.measurements.flags if flag.level != "info"]
    if not flags:
        return
    column.gap(16)
    column.text("Doubts", 12, bold=True)
    for flag in flags:
        lines = textwrap.wrap(flag.message, 52)
        if column.top_px + 20 * len(lines) > column.height_px:
            column.text("more in provenance.json", 9.5, WARNING)
            return
        column.text("\n".join(lines), 9.5, WARNING)
        column.gap(4)


def _badge(column: Column, text: str) -> None:
    y = column.height_px - column.top_px - 26
    column.axes.add_patch(Rectangle((0, y), 118, 26, facecolor=WARNING, edgecolor="none"))
    column.axes.text(
        59, y + 12, text, fontsize=11, fontweight="bold", color="white", ha="center", va="center"
    )
    column.top_px += 32
