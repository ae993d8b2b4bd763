"""One picture of an atlas: three sections with the copies in them, and the copies in space."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from scipy.ndimage import gaussian_filter
from skimage.segmentation import expand_labels

from engine.data.arrays import Float64s
from engine.data.tomogram import Tomogram
from engine.io.colours import SERIES_COLOURS
from engine.io.digests import atomic_file
from engine.matching.atlas import Atlas, AtlasRow
from engine.matching.atlas_view import AtlasView

DPI = 100
SLAB_NM, SMOOTHING_NM = 12.0, 1.5
NOTCH = "#00a0c0"
# Of a large section on paper: outlines are at least that fraction wide.
SECTION_PX = 400
# Greys below the darkest voxels, so that colours are seen on them.
HEADROOM = 0.35
MOST_LEGEND_ROWS = 8
LONGEST_NAME = 36
# Of a fill and of an outline, for probability 0 and 1.
FILL_OPACITY = (0.08, 0.5)
LINE_OPACITY = (0.3, 1.0)
# How far a surface at the back fades into the paper, and how dark one in the shade is.
HAZE, SHADE = 0.55, 0.42


@dataclass(frozen=True)
class AtlasScene:
    """What the picture shows.

    Attributes
    ----------
    tomogram
        Shape and sampling of the atlas.
    """

    tomogram: Tomogram
    atlas: Atlas
    view: AtlasView
    rows: tuple[AtlasRow, ...]
    minimum_probability: float
    simulated: bool


def template_colours(n_templates: int) -> tuple[str, ...]:
    """Colours of the classes, in order; they repeat after ten."""
    return tuple(SERIES_COLOURS[i % len(SERIES_COLOURS)] for i in range(n_templates))


def write_atlas_picture(path: Path, scene: AtlasScene) -> None:
    """Draw the picture as PNG; the same atlas gives the same bytes."""
    figure = atlas_figure(scene)
    with atomic_file(path) as staging, staging.open("wb") as stream:
        figure.savefig(stream, format="png", dpi=DPI, metadata={"Software": "TomoDx"})


def atlas_figure(scene: AtlasScene) -> Figure:
    """Sections on the left, the copies in space on the right, counts below."""
    n_legend = min(len(scene.rows), MOST_LEGEND_ROWS) + (len(scene.rows) > MOST_LEGEND_ROWS)
    footer_in = 0.75 + 0.24 * n_legend
    figure = Figure(figsize=(15.0, 7.4 + footer_in), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    outer = figure.add_gridspec(
        2, 2, height_ratios=(7.4, footer_in), width_ratios=(1.0, 1.05),
        left=0.015, right=0.99, top=0.96, bottom=0.015, wspace=0.03, hspace=0.02,
    )  # fmt: skip
    depth, height, width = scene.tomogram.voxels.shape
    sections = outer[0, 0].subgridspec(
        2, 2, width_ratios=(width, depth), height_ratios=(height, depth), wspace=0.03, hspace=0.09
    )
    planes = [_fullest_plane(scene, axis) for axis in range(3)]
    for cell, axis in ((sections[0, 0], 0), (sections[1, 0], 1), (sections[0, 1], 2)):
        _draw_section(figure.add_subplot(cell), scene, planes, axis)
    _draw_view(figure.add_subplot(outer[0, 1]), scene)
    _draw_legend(figure.add_subplot(outer[1, :]), scene, footer_in)
    return figure


def _half_vox(scene: AtlasScene) -> int:
    return max(1, round(SLAB_NM * 10.0 / scene.tomogram.voxel_size_angst / 2))


def _fullest_plane(scene: AtlasScene, axis: int) -> int:
    """Middle of the slab that holds most of the copies' voxels; of the volume where none is."""
    n = int(scene.atlas.labels.shape[axis])
    others = tuple(i for i in range(3) if i != axis)
    filled = np.count_nonzero(scene.atlas.labels, axis=others)
    half = min(_half_vox(scene), (n - 1) // 2)
    if not filled.any() or half < 1:
        return n // 2
    in_slab = np.convolve(filled, np.ones(2 * half + 1), mode="valid")
    return half + int(np.argmax(in_slab))


def _draw_section(axes: Axes, scene: AtlasScene, planes: list[int], axis: int) -> None:
    plane, half, n = planes[axis], _half_vox(scene), scene.atlas.labels.shape[axis]
    slab = range(max(0, plane - half), min(n, plane + half + 1))
    grey = np.take(scene.tomogram.voxels, slab, axis=axis).mean(axis=axis, dtype=np.float64)
    grey = gaussian_filter(grey, SMOOTHING_NM * 10.0 / scene.tomogram.voxel_size_angst)
    copies = _foremost(np.take(scene.atlas.instances, slab, axis=axis), axis)
    if axis == 2:
        # Taken along x it is (z, y); z to the right keeps y level with the section beside it.
        grey, copies = grey.T, copies.T
    low, high = np.percentile(grey, (0.5, 99.5))
    axes.imshow(
        -grey, cmap="gray", vmin=-high - HEADROOM * (high - low), vmax=-low, interpolation="nearest"
    )
    axes.imshow(_overlay(scene, copies), interpolation="nearest")
    _mark_planes(axes, planes, axis)
    position_nm = plane * scene.tomogram.voxel_size_angst / 10.0
    name = ("xy", "xz", "zy")[axis]
    axes.set_title(f"{name}, {'zyx'[axis]} = {position_nm:.0f} nm", fontsize=10, loc="left")
    axes.set_xticks([])
    axes.set_yticks([])
    if axis == 0:
        _scale_bar(axes, grey.shape, scene.tomogram.voxel_size_angst / 10.0)


def _foremost(instances: np.ndarray, axis: int) -> np.ndarray:
    """Copies seen through a slab; where several lie behind each other, the better pick."""
    nothing = np.iinfo(np.uint16).max
    # 0 becomes the largest number, and 1 the smallest.
    first = (instances - np.uint16(1)).min(axis=axis)
    return np.where(first == nothing, 0, first.astype(np.int64) + 1)


def _overlay(scene: AtlasScene, copies: np.ndarray) -> Float64s:
    """Colours with opacity (rows, columns, 4)."""
    image = np.zeros((*copies.shape, 4))
    if not len(scene.atlas.particles):
        return image
    colours = np.array([to_rgb(c) for c in template_colours(len(scene.rows))])
    line_vox = max(1, round(max(copies.shape) / SECTION_PX))
    grown = expand_labels(copies, line_vox)  # type: ignore[no-untyped-call]
    index = np.maximum(grown - 1, 0)
    probability = scene.atlas.probability[index]
    image[..., :3] = colours[scene.atlas.class_index[index]]
    line = (copies == 0) & (grown > 0)
    for where, (least, most) in ((copies > 0, FILL_OPACITY), (line, LINE_OPACITY)):
        image[where, 3] = (least + (most - least) * probability)[where]
    return image


def _mark_planes(axes: Axes, planes: list[int], axis: int) -> None:
    """Notches at the rim where the two other sections cut this one."""
    across, down = ((2, 1), (2, 0), (0, 1))[axis]
    at_x, at_y = axes.get_xaxis_transform(), axes.get_yaxis_transform()
    for ends in ([0.0, 0.025], [0.975, 1.0]):
        axes.plot([planes[across]] * 2, ends, transform=at_x, color=NOTCH, linewidth=1.6)
        axes.plot(ends, [planes[down]] * 2, transform=at_y, color=NOTCH, linewidth=1.6)


def _scale_bar(axes: Axes, shape: tuple[int, ...], pixel_nm: float) -> None:
    target_nm = 0.25 * shape[1] * pixel_nm
    power = 10.0 ** np.floor(np.log10(target_nm))
    length_nm = max(step * power for step in (1, 2, 5) if step * power <= target_nm)
    length, y, x = length_nm / pixel_nm, 0.955 * shape[0], 0.96 * shape[1]
    for colour, line_width in (("white", 5.5), ("black", 3.0)):
        axes.plot(
            [x - length, x], [y, y], color=colour, linewidth=line_width, solid_capstyle="butt"
        )
    axes.annotate(
        f"{length_nm:g} nm", (x - length / 2, y), (0, 5), textcoords="offset points",
        ha="center", fontsize=9, bbox={"boxstyle": "round,pad=0.1", "fc": "white", "lw": 0},
    )  # fmt: skip


def _draw_view(axes: Axes, scene: AtlasScene) -> None:
    view = scene.view
    _draw_box(axes, view.corners_px, behind=True)
    axes.imshow(_shaded(scene), interpolation="antialiased", zorder=2)
    _draw_box(axes, view.corners_px, behind=False)
    rows, columns = view.kinds.shape
    rim = 0.03 * columns
    axes.set_xlim(-rim, columns + rim)
    axes.set_ylim(rows + rim, -rim)
    axes.set_axis_off()
    axes.set_title("copies in the volume", fontsize=10, loc="left")
    pixel_nm = view.step_vox * scene.tomogram.voxel_size_angst / 10.0
    _scale_bar(axes, (rows, columns), pixel_nm)


def _shaded(scene: AtlasScene) -> Float64s:
    """Colours (rows, columns, 4): class, light, and haze that grows with the distance."""
    view = scene.view
    there = view.kinds >= 0
    colours = np.array([to_rgb(c) for c in template_colours(len(scene.rows))])
    image = np.zeros((*there.shape, 4))
    far, near = view.corners_px[:, 2].min(), view.corners_px[:, 2].max()
    nearness = (np.where(there, view.depth_vox, far) - far) / (near - far)
    lit = colours[np.maximum(view.kinds, 0)] * (SHADE + (1.0 - SHADE) * view.light)[..., None]
    lit += 0.25 * (view.light[..., None] ** 12)
    haze = (HAZE * (1.0 - nearness))[..., None]
    image[..., :3] = np.clip(lit * (1.0 - haze) + haze, 0.0, 1.0)
    image[..., 3] = there
    return image


def _draw_box(axes: Axes, corners_px: Float64s, *, behind: bool) -> None:
    """Edges of the volume; those at the corner that is farthest away are drawn first."""
    farthest = int(corners_px[:, 2].argmin())
    for first in range(8):
        for bit in (1, 2, 4):
            second = first | bit
            if second == first or (farthest in (first, second)) != behind:
                continue
            ends = corners_px[[first, second]]
            axes.plot(
                ends[:, 0], ends[:, 1], color="#9aa0a6" if behind else "#4d5358",
                linewidth=0.8, linestyle=(0, (4, 3)) if behind else "-", zorder=1 if behind else 3,
            )  # fmt: skip
    for bit, name in ((1, "x"), (2, "y"), (4, "z")):
        origin, end = corners_px[0], corners_px[bit]
        place = end + 0.03 * (end - origin)
        axes.text(
            place[0], place[1], name, fontsize=10, ha="center", va="center", zorder=4,
            path_effects=[withStroke(linewidth=3, foreground="white")],
        )  # fmt: skip


def _draw_legend(axes: Axes, scene: AtlasScene, height_in: float) -> None:
    axes.set_axis_off()
    axes.set_xlim(0.0, 1.0)
    axes.set_ylim(height_in, 0.0)
    colours = template_colours(len(scene.rows))
    y_in = 0.18
    for row, colour in zip(scene.rows[:MOST_LEGEND_ROWS], colours, strict=False):
        axes.add_patch(Rectangle((0.0, y_in - 0.07), 0.012, 0.14, facecolor=colour))
        axes.text(0.018, y_in, _legend_line(row), fontsize=10, va="center")
        y_in += 0.24
    if len(scene.rows) > MOST_LEGEND_ROWS:
        more = len(scene.rows) - MOST_LEGEND_ROWS
        axes.text(
            0.018, y_in, f"and {more} more templates: see atlas.csv", fontsize=10, va="center"
        )
        y_in += 0.24
    axes.text(
        0.0, y_in, f"Shown: picks of probability {scene.minimum_probability:g} or more, templates "
        f"at their level; sections are means of {SLAB_NM:g} nm, smoothed by "
        f"{SMOOTHING_NM:g} nm; stronger colour = more probable; "
        "notches mark the other sections.",
        fontsize=9, color="#555555", va="center",
    )  # fmt: skip
    notice = "Research use only. Not for clinical decisions."
    if scene.simulated:
        notice = f"SIMULATED tomogram, no patient.  {notice}"
    axes.text(
        0.0, y_in + 0.22, f"{scene.tomogram.tomogram_id}.  {notice}", fontsize=9,
        color="#b00020" if scene.simulated else "#555555", va="center",
    )  # fmt: skip


def _legend_line(row: AtlasRow) -> str:
    name = row.template_id
    if len(name) > LONGEST_NAME:
        name = f"{name[: LONGEST_NAME - 3]}..."
    found = row.abundance
    text = (
        f"{name}: {row.n_placed} shown of {row.n_picks} picks; {found.per_um3:,.0f} per µm³ "
        f"(95 % interval {found.low_per_um3:,.0f} to {found.high_per_um3:,.0f})"
    )
    if row.nearest_neighbour_median_nm is not None:
        text += f"; nearest of its kind {row.nearest_neighbour_median_nm:.0f} nm away (median)"
    return text
