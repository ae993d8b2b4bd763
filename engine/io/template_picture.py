"""One picture of a template: sections and projections with the mask's outline, and its values."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from engine.data.arrays import Float32s
from engine.data.template import Template
from engine.io.digests import atomic_file
from engine.io.preview import nice_length_nm
from engine.io.template_description import TemplateDescription

DPI = 100
PANEL_PX, GAP_PX, MARGIN_PX, TITLE_PX, TEXT_PX = 260, 14, 24, 26, 330
MASK_COLOUR = "#ffb000"
NOTES = ("orange: where the mask is 1/2", "Research use only.")
PLANES = (("xy", 0), ("xz", 1), ("yz", 2))


def write_template_picture(
    path: Path, template: Template, description: TemplateDescription | None
) -> None:
    """Draw the picture as PNG; the same template gives the same bytes."""
    figure = template_figure(template, description)
    with atomic_file(path) as staging, staging.open("wb") as stream:
        figure.savefig(stream, format="png", dpi=DPI, metadata={"Software": "TomoDx"})


def template_figure(template: Template, description: TemplateDescription | None) -> Figure:
    """Lay out three sections above three projections, and the column of text."""
    width = 2 * MARGIN_PX + 3 * PANEL_PX + 3 * GAP_PX + TEXT_PX
    height = 2 * MARGIN_PX + 2 * (PANEL_PX + TITLE_PX) + GAP_PX
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    middle = template.box_vox // 2
    for row, title in enumerate(("section", "projection")):
        top = MARGIN_PX + TITLE_PX + row * (PANEL_PX + TITLE_PX + GAP_PX)
        for column, (name, axis) in enumerate(PLANES):
            left = MARGIN_PX + column * (PANEL_PX + GAP_PX)
            place = (left / width, 1 - (top + PANEL_PX) / height)
            axes = figure.add_axes((*place, PANEL_PX / width, PANEL_PX / height))
            plane, outline = _plane(template, axis, middle, projected=row == 1)
            _draw_plane(axes, plane, outline)
            axes.set_title(f"{name} {title}", fontsize=10, loc="left", color="#333333", pad=5)
            if row == 0 and column == 0:
                _draw_scale_bar(axes, template)
    text_left = (MARGIN_PX + 3 * (PANEL_PX + GAP_PX)) / width
    text_top = 1 - (MARGIN_PX + TITLE_PX) / height
    figure.text(
        text_left,
        text_top,
        _shortened(template.template_id),
        fontsize=14,
        va="top",
        weight="bold",
        parse_math=False,
    )
    lines = [*text_lines(template, description), "", *NOTES]
    for number, line in enumerate(lines):
        figure.text(
            text_left,
            text_top - (36 + 21 * number) / height,
            line,
            fontsize=9.5,
            va="baseline",
            family="DejaVu Sans Mono",
            color="#222222",
            parse_math=False,
        )
    return figure


def text_lines(template: Template, description: TemplateDescription | None) -> list[str]:
    """Give the values of a template for people, one a line."""
    mass = "not known" if template.mass_kda is None else f"{template.mass_kda:.4g} kDa"
    finest = template.resolution_angst
    values = {
        "mass": mass,
        "radius": f"{template.radius_angst:.1f} Å",
        "symmetry": template.symmetry,
        "hand": template.hand.replace("_", " "),
        "voxel": f"{template.voxel_size_angst:.4g} Å",
        "box": f"{template.box_vox} voxels",
        "low-pass": "none" if finest is None else f"{finest:.4g} Å",
        "source": _shortened(template.source),
    }
    if description:
        values["contrast"] = f"{description.source_contrast or 'not known'} in source"
        values["map hash"] = description.map_sha256[:16]
        values["mask hash"] = description.mask_sha256[:16]
    lines = [f"{name:<10}{value}" for name, value in values.items()]
    if template.provenance.simulated:
        lines.append("SIMULATED source")
    return lines


def _shortened(text: str, longest: int = 28) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _plane(
    template: Template, axis: int, middle: int, *, projected: bool
) -> tuple[Float32s, Float32s]:
    """Density and mask of a central section, or their sum and maximum along an axis."""
    if projected:
        summed = template.voxels.sum(axis=axis, dtype=np.float64).astype(np.float32)
        plane, outline = summed, template.mask.max(axis=axis)
    else:
        plane = np.take(template.voxels, middle, axis=axis)
        outline = np.take(template.mask, middle, axis=axis)
    # Of the yz plane z runs to the right, so that y runs down beside the xy plane.
    return (plane.T, outline.T) if axis == 2 else (plane, outline)


def _draw_plane(axes: Axes, plane: Float32s, outline: Float32s) -> None:
    low, high = float(plane.min()), float(plane.max())
    axes.imshow(plane, cmap="gray", vmin=low, vmax=max(high, low + 1e-12), interpolation="bilinear")
    if outline.min() < 0.5 < outline.max():
        axes.contour(outline, levels=[0.5], colors=[MASK_COLOUR], linewidths=1.4)
    axes.set_xlim(-0.5, plane.shape[1] - 0.5)
    axes.set_ylim(plane.shape[0] - 0.5, -0.5)
    axes.set_xticks([])
    axes.set_yticks([])


def _draw_scale_bar(axes: Axes, template: Template) -> None:
    voxel_nm = template.voxel_size_angst / 10.0
    length_nm = nice_length_nm(template.box_vox * voxel_nm)
    right, bottom = template.box_vox * 0.95, template.box_vox * 0.95
    left = right - length_nm / voxel_nm
    axes.plot([left, right], [bottom, bottom], color="white", linewidth=3, solid_capstyle="butt")
    axes.text(
        (left + right) / 2,
        bottom - template.box_vox * 0.02,
        f"{length_nm:g} nm",
        color="white",
        fontsize=9,
        ha="center",
        va="bottom",
    )
