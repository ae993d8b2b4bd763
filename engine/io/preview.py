"""One picture of an analysed tomogram: slices, overlays, legend, key numbers."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from engine.data.arrays import Bools, Float64s, UInt8s
from engine.data.labels import CLASS_IDS, INSTANCE_CLASSES
from engine.data.measurements import TomogramAnalysis
from engine.data.tomogram import Tomogram
from engine.io.colours import CLASS_COLOURS, SMALL
from engine.io.digests import atomic_file
from engine.io.preview_text import draw_side_column

FILLED = ("mitochondrion", "alpha_granule", "dense_granule", "vesicle", "artefact")
DPI = 100
LARGEST_PX = 700
SIDE_PX, SIDE_MINIMUM_PX = 400, 640
MARGIN_PX, GAP_PX, PANEL_GAP_PX = 24, 40, 16
FOOTER_PX, HEADER_PX = 34, 30
# Sections averaged for the picture: enough to see membranes through the noise.
SLICE_NM = 20.0
# A filament is drawn strongly where it lies this close to the section shown: it runs along xy
# and crosses xz.
NEAR_NM = (40.0, 12.0)
HALO = [withStroke(linewidth=2.5, foreground="black")]


@dataclass(frozen=True)
class Section:
    """A plane of the tomogram to draw.

    Attributes
    ----------
    axis
        0 for xy, 1 for xz.
    position_vox
        Index along that axis.
    """

    axis: int
    position_vox: int

    @property
    def name(self) -> str:
        """`xy` or `xz`."""
        return "xy" if self.axis == 0 else "xz"


def write_preview(path: Path, analysis: TomogramAnalysis, tomogram: Tomogram) -> None:
    """Draw the picture as PNG; the same analysis gives the same bytes."""
    figure = preview_figure(analysis, tomogram)
    with atomic_file(path) as staging, staging.open("wb") as stream:
        figure.savefig(stream, format="png", dpi=DPI, metadata={"Software": "TomoDx"})


def preview_figure(analysis: TomogramAnalysis, tomogram: Tomogram) -> Figure:
    """Lay out the xy section above the xz section, plain and marked, and the column of text."""
    n_z, n_y, n_x = tomogram.voxels.shape
    scale = min(LARGEST_PX / n_x, LARGEST_PX / n_y)
    main_w, main_h, strip_h = (max(8, round(n * scale)) for n in (n_x, n_y, n_z))
    width = MARGIN_PX * 3 + 2 * main_w + PANEL_GAP_PX + SIDE_PX
    content_h = max(HEADER_PX + main_h + GAP_PX + strip_h, SIDE_MINIMUM_PX)
    height = MARGIN_PX * 2 + content_h + FOOTER_PX
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)

    def place(left: float, top: float, w: float, h: float) -> Axes:
        box = (left / width, 1 - (top + h) / height, w / width, h / height)
        return figure.add_axes(box)

    xy, xz = best_sections(analysis)
    top = MARGIN_PX + HEADER_PX
    for left, marked in ((MARGIN_PX, False), (MARGIN_PX + main_w + PANEL_GAP_PX, True)):
        for section, y, h in ((xy, top, main_h), (xz, top + main_h + GAP_PX, strip_h)):
            axes = place(left, y, main_w, h)
            crossing = xz if section is xy else xy
            draw_section(axes, section, analysis, tomogram, crossing, marked)
    side_left = MARGIN_PX * 2 + 2 * main_w + PANEL_GAP_PX
    side = place(side_left, MARGIN_PX, SIDE_PX, content_h)
    draw_side_column(side, analysis, tomogram, CLASS_COLOURS)
    simulated = analysis.measurements.provenance.simulated or tomogram.provenance.simulated
    notice = "Research use only. Not for clinical decisions."
    if simulated:
        notice = f"SIMULATED tomogram, no patient.  {notice}"
    figure.text(
        MARGIN_PX / width, (FOOTER_PX / 2) / height, notice, fontsize=10, color="#555555", va="top"
    )
    return figure


def best_sections(analysis: TomogramAnalysis) -> tuple[Section, Section]:
    """Choose the xy and xz sections that show most: mitochondria first, then what there is."""
    labels = analysis.labels.labels
    weights = np.zeros(256)
    for name in INSTANCE_CLASSES:
        weights[CLASS_IDS[name]] = 1.0
    weights[CLASS_IDS["mitochondrion"]] = 5.0
    weights[CLASS_IDS["microtubule"]] = 0.2
    along_z = np.array([_weighted(plane, weights) for plane in labels])
    along_y = np.array([_weighted(labels[:, row], weights) for row in range(labels.shape[1])])
    return Section(0, _peak_near_middle(along_z)), Section(1, _peak_near_middle(along_y))


def draw_section(
    axes: Axes,
    section: Section,
    analysis: TomogramAnalysis,
    tomogram: Tomogram,
    crossing: Section,
    marked: bool,
) -> None:
    """Draw a section with its scale bar; where `marked`, also what was found in it."""
    voxel_nm = tomogram.voxel_size_angst / 10.0
    grey = _grey_section(tomogram, section, voxel_nm)
    axes.imshow(grey, cmap="gray", vmin=0, vmax=255, interpolation="bilinear", aspect="auto")
    if marked:
        labels = np.take(analysis.labels.labels, section.position_vox, axis=section.axis)
        axes.imshow(_overlay(labels), interpolation="nearest", aspect="auto")
        _outline_instances(axes, analysis, section)
        _draw_filaments(axes, analysis, section, voxel_nm)
        _number_instances(axes, analysis, section)
    else:
        at_nm = section.position_vox * voxel_nm
        title = f"{section.name} section at {'zy'[section.axis]} = {at_nm:.0f} nm"
        axes.set_title(title, fontsize=10, loc="left", color="#333333", pad=5)
    _draw_scale_bar(axes, grey.shape, voxel_nm)
    for start in (0.0, 0.98):
        axes.axhline(crossing.position_vox, start, start + 0.02, color="white", linewidth=1.5)
    axes.set_xlim(-0.5, grey.shape[1] - 0.5)
    axes.set_ylim(grey.shape[0] - 0.5, -0.5)
    axes.set_xticks([])
    axes.set_yticks([])


def nice_length_nm(width_nm: float) -> float:
    """Give the 1, 2 or 5 times a power of ten that is 12 to 30 % of the width."""
    target = 0.3 * width_nm
    power = 10.0 ** np.floor(np.log10(target))
    return float(max(step * power for step in (1, 2, 5) if step * power <= target))


def _weighted(plane: UInt8s, weights: Float64s) -> float:
    return float(np.bincount(plane.ravel(), minlength=256) @ weights)


def _peak_near_middle(profile: Float64s) -> int:
    """Index of the peak; between equals the one nearest the middle."""
    middle = len(profile) // 2
    best = np.flatnonzero(profile >= profile.max() * (1 - 1e-9))
    return int(best[np.argmin(np.abs(best - middle))])


def _grey_section(tomogram: Tomogram, section: Section, voxel_nm: float) -> UInt8s:
    half = round(SLICE_NM / voxel_nm / 2)
    n = tomogram.voxels.shape[section.axis]
    first, last = max(0, section.position_vox - half), min(n, section.position_vox + half + 1)
    slab = np.take(tomogram.voxels, np.arange(first, last), axis=section.axis)
    plane = slab.mean(axis=section.axis, dtype=np.float64)
    light, dark = np.percentile(plane, (0.3, 99.7))
    grey = (dark - plane) / ((dark - light) or 1.0) * 255.0
    return np.asarray(np.clip(grey, 0, 255), dtype=np.uint8)


def _rgb(name: str) -> tuple[float, float, float]:
    code = CLASS_COLOURS[name]
    red, green, blue = (int(code[i : i + 2], 16) / 255.0 for i in (1, 3, 5))
    return red, green, blue


def _overlay(labels: UInt8s) -> Float64s:
    """Give RGBA of the class fills: light, so that the image stays readable below."""
    rgba = np.zeros((*labels.shape, 4))
    for name in (*FILLED, *SMALL):
        where = labels == CLASS_IDS[name]
        rgba[where] = (*_rgb(name), 0.35 if name in SMALL else 0.28)
    return rgba


def _outline_instances(axes: Axes, analysis: TomogramAnalysis, section: Section) -> None:
    ids = np.take(analysis.instances.ids, section.position_vox, axis=section.axis)
    for organelle in analysis.instances.organelles:
        mask: Bools = ids == organelle.instance_id
        if mask.any() and min(mask.shape) > 1:
            colour = CLASS_COLOURS[organelle.organelle_class]
            padded = np.pad(mask.astype(np.float64), 1)
            span_y, span_x = np.arange(-1, mask.shape[0] + 1), np.arange(-1, mask.shape[1] + 1)
            axes.contour(span_x, span_y, padded, levels=[0.5], colors=[colour], linewidths=1.6)


def _draw_filaments(
    axes: Axes, analysis: TomogramAnalysis, section: Section, voxel_nm: float
) -> None:
    colour = CLASS_COLOURS["microtubule"]
    for line in analysis.filaments:
        points_vox = line.points_angst / 10.0 / voxel_nm
        distance_nm = np.abs(points_vox[:, section.axis] - section.position_vox) * voxel_nm
        across = points_vox[:, 1 if section.axis == 0 else 0]
        path = np.column_stack((points_vox[:, 2], across))
        pieces = np.stack((path[:-1], path[1:]), axis=1)
        near = (distance_nm[:-1] + distance_nm[1:]) / 2 < NEAR_NM[section.axis]
        if section.axis == 0:
            axes.add_collection(LineCollection(list(pieces[~near]), colors=colour, alpha=0.4))
        axes.add_collection(
            LineCollection(list(pieces[near]), colors=colour, linewidths=2.4, capstyle="round")
        )


def _number_instances(axes: Axes, analysis: TomogramAnalysis, section: Section) -> None:
    """Write ids where the section cuts an instance, at the middle of the cut."""
    ids = np.take(analysis.instances.ids, section.position_vox, axis=section.axis)
    sizes = Counter(ids[ids > 0].tolist())
    for organelle in analysis.instances.organelles:
        n_pixels = sizes.get(organelle.instance_id, 0)
        if n_pixels * len(ids) < 20 or (section.axis == 1 and n_pixels < 60):
            continue
        rows, columns = np.nonzero(ids == organelle.instance_id)
        nearest = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
        axes.text(
            columns[nearest],
            rows[nearest],
            str(organelle.instance_id),
            color="white",
            fontsize=9,
            fontweight="bold",
            ha="center",
            va="center",
            path_effects=HALO,
            clip_on=True,
        )


def _draw_scale_bar(axes: Axes, shape: tuple[int, ...], voxel_nm: float) -> None:
    n_rows, n_columns = shape
    length_nm = nice_length_nm(n_columns * voxel_nm)
    length_vox = length_nm / voxel_nm
    box = axes.get_window_extent()
    row_px, column_px = n_rows / box.height, n_columns / box.width
    left = n_columns - 14 * column_px - length_vox
    top = n_rows - 18 * row_px
    axes.add_patch(
        Rectangle((left, top), length_vox, 5 * row_px, facecolor="white", edgecolor="black")
    )
    text = f"{length_nm / 1000:g} µm" if length_nm >= 1000 else f"{length_nm:g} nm"
    axes.text(
        left + length_vox / 2,
        top - 4 * row_px,
        text,
        color="white",
        fontsize=10,
        ha="center",
        va="bottom",
        path_effects=HALO,
    )
