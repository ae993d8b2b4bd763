"""One picture of a match: where the picks lie, how scores fall, what the picks look like."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.patches import Circle

from engine.data.arrays import Float32s, Float64s
from engine.data.tomogram import Tomogram
from engine.io.colours import SERIES_COLOURS
from engine.io.digests import atomic_file
from engine.matching.results import LARGEST_Q, MatchResult

DPI = 100
N_MONTAGE = 10
SLAB_NM = 12.0
# Opacity of picks that are not significant.
FAINT = 0.35
# Inches of the parts.
WIDTH_IN, TITLE_IN, SLICES_IN, GAP_IN, MONTAGE_IN, LINE_IN, BOTTOM_IN = (
    13.6, 0.3, 4.7, 0.75, 1.3, 0.22, 0.1,
)  # fmt: skip


def write_match_picture(
    path: Path, result: MatchResult, tomogram: Tomogram, *, simulated: bool
) -> None:
    """Draw the picture as PNG; the same match gives the same bytes."""
    figure = match_figure(result, tomogram, simulated=simulated)
    with atomic_file(path) as staging, staging.open("wb") as stream:
        figure.savefig(stream, format="png", dpi=DPI, metadata={"Software": "TomoDx"})


def match_figure(result: MatchResult, tomogram: Tomogram, *, simulated: bool) -> Figure:
    """Slices with picks, scores against chance, and the best picks cut out."""
    text_in = LINE_IN * (len(result.summaries) + 2)
    height_in = sum((TITLE_IN, SLICES_IN, GAP_IN, MONTAGE_IN, LINE_IN, text_in, BOTTOM_IN))
    figure = Figure(figsize=(WIDTH_IN, height_in), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    slices = _part(figure, TITLE_IN, SLICES_IN, n_columns=4)
    montage = _part(figure, TITLE_IN + SLICES_IN + GAP_IN, MONTAGE_IN)
    text = _part(figure, height_in - text_in - BOTTOM_IN, text_in)
    colours = {
        summary.template_id: SERIES_COLOURS[i % len(SERIES_COLOURS)]
        for i, summary in enumerate(result.summaries)
    }
    _draw_slice(figure.add_subplot(slices[0, :2]), result, tomogram, colours, axis=0)
    right = slices[0, 2:].subgridspec(2, 1, height_ratios=(1, 1.0), hspace=0.22)
    _draw_slice(figure.add_subplot(right[0]), result, tomogram, colours, axis=1)
    _draw_chance(figure.add_subplot(right[1]), result, colours)
    _draw_montage(figure, montage[0, 0], result, tomogram, colours)
    _draw_text(figure.add_subplot(text[0, 0]), result, tomogram, colours, simulated)
    return figure


def _part(figure: Figure, top_in: float, part_height_in: float, *, n_columns: int = 1) -> GridSpec:
    """One row of the figure, so many inches below its top."""
    height_in = figure.get_figheight()
    return figure.add_gridspec(
        1,
        n_columns,
        left=0.02,
        right=0.985,
        top=1.0 - top_in / height_in,
        bottom=1.0 - (top_in + part_height_in) / height_in,
        wspace=0.08,
    )


def _best_plane(result: MatchResult, tomogram: Tomogram, axis: int) -> int:
    """Plane with most picks in the slab around it, the middle where there are none."""
    n = tomogram.voxels.shape[axis]
    places = result.particles.positions_angst[:, axis] / tomogram.voxel_size_angst
    if not len(places):
        return int(n // 2)
    half = max(1.0, SLAB_NM * 10.0 / tomogram.voxel_size_angst)
    counts = [(np.abs(places - plane) <= half).sum() for plane in range(n)]
    return int(np.argmax(counts))


def _draw_slice(
    axes: Axes, result: MatchResult, tomogram: Tomogram, colours: dict[str, str], *, axis: int
) -> None:
    plane = _best_plane(result, tomogram, axis)
    half = max(1, round(SLAB_NM * 10.0 / tomogram.voxel_size_angst / 2))
    slab = np.take(
        tomogram.voxels,
        range(max(0, plane - half), min(tomogram.voxels.shape[axis], plane + half + 1)),
        axis=axis,
    ).mean(axis=axis)
    low, high = np.percentile(slab, (0.5, 99.5))
    axes.imshow(-slab, cmap="gray", vmin=-high, vmax=-low, interpolation="nearest")
    others = [i for i in range(3) if i != axis]
    for index, position in enumerate(result.particles.positions_angst):
        z = position / tomogram.voxel_size_angst
        name = result.particles.class_names[index]
        radius = _radius_vox(result, tomogram, name)
        away = abs(z[axis] - plane)
        if away >= radius:
            continue
        significant = result.particles.figures["q_value"][index] <= LARGEST_Q
        axes.add_patch(
            Circle(
                (z[others[1]], z[others[0]]),
                float(np.sqrt(radius**2 - away**2)),
                fill=False,
                edgecolor=colours[name],
                linewidth=1.6,
                linestyle="-" if away < radius / 2 else ":",
                alpha=1.0 if significant else FAINT,
            )
        )
    # Circles that reach beyond the image must not widen the axes.
    axes.set_xlim(-0.5, slab.shape[1] - 0.5)
    axes.set_ylim(slab.shape[0] - 0.5, -0.5)
    nm = plane * tomogram.voxel_size_angst / 10.0
    title = "xy" if axis == 0 else "xz"
    axes.set_title(f"{title} section at {'zy'[axis]} = {nm:.0f} nm", fontsize=10, loc="left")
    axes.set_xticks([])
    axes.set_yticks([])
    width_nm = slab.shape[1] * tomogram.voxel_size_angst / 10.0
    length_nm = _nice(width_nm)
    length = length_nm * 10.0 / tomogram.voxel_size_angst
    y = slab.shape[0] * 0.955
    x = slab.shape[1] * 0.97
    axes.plot([x - length, x], [y, y], color="white", linewidth=5, solid_capstyle="butt")
    axes.plot([x - length, x], [y, y], color="black", linewidth=2.5, solid_capstyle="butt")
    axes.annotate(
        f"{length_nm:g} nm", (x - length / 2, y), (0, 5), textcoords="offset points",
        ha="center", fontsize=9, bbox={"boxstyle": "round,pad=0.1", "fc": "white", "lw": 0},
    )  # fmt: skip


def _radius_vox(result: MatchResult, tomogram: Tomogram, name: str) -> float:
    radii = {summary.template_id: summary.radius_angst for summary in result.summaries}
    return radii[name] / tomogram.voxel_size_angst


def _nice(width_nm: float) -> float:
    target = 0.25 * width_nm
    power = 10.0 ** np.floor(np.log10(target))
    return float(max(step * power for step in (1, 2, 5) if step * power <= target))


def _draw_chance(axes: Axes, result: MatchResult, colours: dict[str, str]) -> None:
    """Number of picks above a score beside the number that noise alone would give."""
    for number, summary in enumerate(result.summaries):
        colour = colours[summary.template_id]
        own = np.array(
            [
                result.particles.figures["scan_score"][i]
                for i, name in enumerate(result.particles.class_names)
                if name == summary.template_id
            ]
        )
        curve = summary.false_positives
        low = min(summary.threshold * 0.85, own.min(initial=np.inf))
        high = max(summary.threshold * 1.2, own.max(initial=0.0) * 1.02)
        scores = np.linspace(low, high, 200)
        expected = np.array([max(curve.expected(float(s)), 1e-9) for s in scores])
        axes.plot(scores, expected, color=colour, linestyle="--", linewidth=1.2)
        if len(own):
            ordered = np.sort(own)[::-1]
            axes.step(
                ordered, np.arange(1, len(own) + 1), color=colour, linewidth=2.0, where="post",
                label=summary.template_id if number < len(SERIES_COLOURS) else None,
            )  # fmt: skip
        axes.axvline(summary.threshold, color=colour, linewidth=0.8, alpha=0.6)
    axes.set_yscale("log")
    axes.set_ylim(1e-3, max(10.0, 3.0 * max(1, len(result.particles))))
    axes.set_xlabel("score (correlation)")
    axes.set_ylabel("picks above")
    axes.set_title("picks (solid) and expected noise picks (dashed)", fontsize=10, loc="left")
    if len(result.particles):
        axes.legend(fontsize=8, frameon=False, loc="upper right")
    axes.grid(alpha=0.25)


def _draw_montage(
    figure: Figure, cell: object, result: MatchResult, tomogram: Tomogram, colours: dict[str, str]
) -> None:
    """Mean of a few central sections of the best picks; blank beyond the tomogram."""
    row = cell.subgridspec(1, N_MONTAGE)  # type: ignore[attr-defined]
    for place in range(N_MONTAGE):
        axes = figure.add_subplot(row[0, place])
        axes.set_xticks([])
        axes.set_yticks([])
        if place >= len(result.particles):
            axes.set_axis_off()
            continue
        name = result.particles.class_names[place]
        cut = _cut_out(
            tomogram.voxels,
            result.particles.positions_angst[place] / tomogram.voxel_size_angst,
            max(4, round(1.4 * _radius_vox(result, tomogram, name))),
        )
        axes.imshow(-cut, cmap="gray", interpolation="nearest")
        for spine in axes.spines.values():
            spine.set_color(colours[name])
            spine.set_linewidth(2)
        probability = result.particles.figures["probability"][place]
        score = result.particles.figures["score"][place]
        axes.set_title(f"{score:.2f}  P {probability:.2f}", fontsize=8)


def _cut_out(voxels: Float32s, position_vox: Float64s, half: int) -> Float64s:
    centre = np.rint(position_vox).astype(int)
    reaches = (max(1, half // 4), half, half)
    low = [max(0, c - reach) for c, reach in zip(centre, reaches, strict=True)]
    high = [
        min(n, c + reach + 1) for c, n, reach in zip(centre, voxels.shape, reaches, strict=True)
    ]
    inside = voxels[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    plane = np.full((2 * half + 1,) * 2, np.nan)
    y, x = (a - c + half for a, c in zip(low[1:], centre[1:], strict=True))
    plane[y : y + inside.shape[1], x : x + inside.shape[2]] = inside.mean(axis=0, dtype=np.float64)
    return plane


def _draw_text(
    axes: Axes,
    result: MatchResult,
    tomogram: Tomogram,
    colours: dict[str, str],
    simulated: bool,
) -> None:
    axes.set_axis_off()
    n_lines = len(result.summaries) + 2
    for line, summary in enumerate(result.summaries):
        axes.text(
            0.0, 1.0 - line / n_lines,
            f"{summary.template_id}: {summary.n_picks} picks of {summary.n_candidates} candidates, "
            f"{summary.n_significant} with q up to {LARGEST_Q:g}, "
            f"threshold {summary.threshold:.3f} ({summary.threshold / summary.sigma:.1f} sigma, "
            f"expected noise picks {summary.expected_noise_picks:g}), "
            f"{summary.n_rotations:,} rotations in {result.basis_size} basis volumes",
            color=colours[summary.template_id], fontsize=9, va="top", transform=axes.transAxes,
        )  # fmt: skip
    notice = (
        f"Picks with q above {LARGEST_Q:g} are drawn faint.  "
        "Research use only. Not for clinical decisions."
    )
    if simulated:
        notice = f"SIMULATED tomogram, no patient.  {notice}"
    axes.text(
        0.0, 0.0, f"{tomogram.tomogram_id}.  {notice}", color="#555555", fontsize=9, va="bottom",
        transform=axes.transAxes,
    )  # fmt: skip
