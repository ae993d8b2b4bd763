"""Check picture of imported picks: where their coordinates land in a tomogram."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.patches import Circle

from engine.data.arrays import Bools, Float32s, Float64s
from engine.data.orientations import axes_zyx
from engine.data.particles import ParticleSet
from engine.data.tomogram import Tomogram
from engine.io.digests import atomic_file
from engine.io.landing import lie_outside
from engine.io.particle_coordinates import are_oriented

CIRCLE, ARROW, FRAME = "#d55e00", "#0072b2", "#888888"
DPI = 100
N_MONTAGE, MONTAGE_ROWS = 12, 2
# Enough for a shift of one voxel to show in noise.
N_MEAN = 300
SLAB_NM = 12.0


def write_landing_picture(
    path: Path, particles: ParticleSet, tomogram: Tomogram, *, radius_angst: float
) -> None:
    """Draw the picture as PNG; the same input gives the same bytes.

    Raises
    ------
    OutputNotWritableError
        The file cannot be written.
    """
    figure = landing_figure(particles, tomogram, radius_angst=radius_angst)
    with atomic_file(path) as staging, staging.open("wb") as stream:
        figure.savefig(stream, format="png", dpi=DPI, metadata={"Software": "TomoDx"})


def landing_figure(particles: ParticleSet, tomogram: Tomogram, *, radius_angst: float) -> Figure:
    """Slabs in xy and xz with circles and arrows along the reference's z axis, and picks cut out.

    Each slab is the mean over 12 nm around the plane with most picks. Cut out are the 12 picks
    inside the tomogram with the highest scores, or 12 spread over the list where there are none.
    Beside them the mean of up to 300 picks inside, as they lie: a shift of one voxel or swapped
    axes put it off the cross.

    Parameters
    ----------
    particles
        Of this tomogram; none gives the slabs through the middle.
    radius_angst
        Of the circles, positive.
    """
    figure = Figure(figsize=(13.6, 10.2), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    depth, height, width = tomogram.voxels.shape
    grid = figure.add_gridspec(
        2,
        2,
        width_ratios=(1.0, 1.0),
        height_ratios=(1.45, 1.0),
        left=0.02,
        right=0.98,
        top=0.93,
        bottom=0.03,
        wspace=0.05,
        hspace=0.1,
    )
    outside = lie_outside(particles.positions_angst, tomogram)
    for axis in (0, 1):
        _draw_slab(figure.add_subplot(grid[0, axis]), particles, tomogram, radius_angst, axis)
    shown = _shown(particles, ~outside)
    strip = grid[1, :].subgridspec(
        1, 2, width_ratios=(N_MONTAGE // MONTAGE_ROWS, 1.05), wspace=0.05
    )
    _draw_montage(figure, strip[0], particles, tomogram, radius_angst, shown)
    _draw_means(figure, strip[1], particles.positions_angst[~outside], tomogram, radius_angst)
    figure.suptitle(
        f"{tomogram.tomogram_id}: {len(particles)} picks, {int(outside.sum())} outside "
        f"({width} x {height} x {depth} voxels of {tomogram.voxel_size_angst:g} Å)",
        fontsize=12,
        x=0.02,
        ha="left",
    )
    notice = "Research use only."
    if tomogram.provenance.simulated:
        notice = f"SIMULATED tomogram, no patient.  {notice}"
    if not are_oriented(particles):
        notice = f"No orientations in the file.  {notice}"
    figure.text(0.02, 0.008, notice, color="#555555", fontsize=9)
    return figure


def _draw_slab(
    axes: Axes, particles: ParticleSet, tomogram: Tomogram, radius_angst: float, axis: int
) -> None:
    places_vox = particles.positions_angst / tomogram.voxel_size_angst
    radius_vox = radius_angst / tomogram.voxel_size_angst
    half = max(1, round(SLAB_NM * 10.0 / tomogram.voxel_size_angst / 2.0))
    plane = _fullest_plane(places_vox[:, axis], tomogram.voxels.shape[axis], half)
    around = slice(max(0, plane - half), plane + half + 1)
    cut = tomogram.voxels[around] if axis == 0 else tomogram.voxels[:, around]
    slab = cut.mean(axis=axis, dtype=np.float64)
    low, high = np.percentile(slab, (0.5, 99.5))
    axes.imshow(-slab, cmap="gray", vmin=-high, vmax=-low, interpolation="nearest")
    rows, columns = (1, 2) if axis == 0 else (0, 2)
    away = np.abs(places_vox[:, axis] - plane)
    near = away < max(radius_vox, half + 0.5)
    circles = [Circle((x, y), radius_vox) for y, x in places_vox[near][:, [rows, columns]].tolist()]
    axes.add_collection(PatchCollection(circles, facecolor="none", edgecolor=CIRCLE, linewidth=1.2))
    if are_oriented(particles) and near.any():
        pointing = axes_zyx(particles.rotations[near], (0.0, 0.0, 1.0)) * 1.6 * radius_vox
        axes.quiver(
            places_vox[near, columns], places_vox[near, rows],
            pointing[:, columns], pointing[:, rows],
            angles="xy", scale_units="xy", scale=1.0, color=ARROW, width=0.0028,
        )  # fmt: skip
    axes.set_xlim(-0.5, slab.shape[1] - 0.5)
    axes.set_ylim(slab.shape[0] - 0.5, -0.5)
    axes.set_xticks([])
    axes.set_yticks([])
    plane_nm = plane * tomogram.voxel_size_angst / 10.0
    names = ("xy", "z") if axis == 0 else ("xz", "y")
    axes.set_title(
        f"{names[0]} slab at {names[1]} = {plane_nm:.0f} nm, {int(near.sum())} picks",
        fontsize=10,
        loc="left",
    )
    _draw_scale(axes, slab.shape, tomogram.voxel_size_angst)


def _fullest_plane(places_vox: Float64s, n: int, half: int) -> int:
    """Plane with most picks in the slab around it, the middle one of equals."""
    counts = np.array([(np.abs(places_vox - plane) <= half).sum() for plane in range(n)])
    if not counts.any():
        return n // 2
    fullest = np.flatnonzero(counts == counts.max())
    return int(fullest[len(fullest) // 2])


def _draw_scale(axes: Axes, shape: tuple[int, ...], voxel_size_angst: float) -> None:
    target_nm = 0.25 * shape[1] * voxel_size_angst / 10.0
    power = 10.0 ** np.floor(np.log10(target_nm))
    length_nm = float(max(step * power for step in (1, 2, 5) if step * power <= target_nm))
    length = length_nm * 10.0 / voxel_size_angst
    right, y = shape[1] * 0.97, shape[0] * 0.955
    for colour, linewidth in (("white", 5.0), ("black", 2.5)):
        axes.plot(
            [right - length, right], [y, y], color=colour, linewidth=linewidth,
            solid_capstyle="butt",
        )  # fmt: skip
    axes.annotate(
        f"{length_nm:g} nm", (right - length / 2, y), (0, 5), textcoords="offset points",
        ha="center", fontsize=9, bbox={"boxstyle": "round,pad=0.1", "fc": "white", "lw": 0},
    )  # fmt: skip


def _shown(particles: ParticleSet, inside: Bools) -> list[int]:
    """Indices of the picks to cut out."""
    index = np.flatnonzero(inside)
    scores = particles.figures.get("score")
    if scores is not None and np.isfinite(scores[index]).any():
        best = np.argsort(-np.nan_to_num(scores[index], nan=-np.inf), kind="stable")
        return [int(i) for i in index[best[:N_MONTAGE]]]
    if len(index) <= N_MONTAGE:
        return [int(i) for i in index]
    return [int(index[i]) for i in np.linspace(0, len(index) - 1, N_MONTAGE).round().astype(int)]


def _draw_montage(
    figure: Figure,
    cell: SubplotSpec,
    particles: ParticleSet,
    tomogram: Tomogram,
    radius_angst: float,
    shown: list[int],
) -> None:
    """Mean over a few xy sections around each pick; what lies outside the tomogram is blank."""
    n_columns = N_MONTAGE // MONTAGE_ROWS
    squares = cell.subgridspec(MONTAGE_ROWS, n_columns, wspace=0.06, hspace=0.18)
    radius_vox = radius_angst / tomogram.voxel_size_angst
    half = max(4, round(2.0 * radius_vox))
    for place in range(N_MONTAGE):
        axes = figure.add_subplot(squares[place // n_columns, place % n_columns])
        axes.set_xticks([])
        axes.set_yticks([])
        if place >= len(shown):
            axes.set_axis_off()
            continue
        position_vox = particles.positions_angst[shown[place]] / tomogram.voxel_size_angst
        section = _section(tomogram.voxels, position_vox, half)
        axes.imshow(-section, cmap="gray", interpolation="nearest")
        offset = position_vox - np.rint(position_vox)
        axes.add_patch(
            Circle(
                (half + offset[2], half + offset[1]), radius_vox,
                fill=False, edgecolor=CIRCLE, linewidth=1.0, linestyle=":",
            )
        )  # fmt: skip
        for spine in axes.spines.values():
            spine.set_color(FRAME)
        axes.set_title(f"pick {shown[place] + 1}", fontsize=8)


def _draw_means(
    figure: Figure,
    cell: SubplotSpec,
    positions_angst: Float64s,
    tomogram: Tomogram,
    radius_angst: float,
) -> None:
    """Mean over picks in xy and in xz, with a cross where the picks are."""
    places = cell.subgridspec(MONTAGE_ROWS, 1, hspace=0.18)
    n = min(len(positions_angst), N_MEAN)
    spread = np.linspace(0, len(positions_angst) - 1, n).round().astype(int)
    places_vox = positions_angst[spread] / tomogram.voxel_size_angst
    radius_vox = radius_angst / tomogram.voxel_size_angst
    half = max(4, round(2.0 * radius_vox))
    for axis, name in ((0, "xy"), (1, "xz")):
        axes = figure.add_subplot(places[axis, 0])
        axes.set_xticks([])
        axes.set_yticks([])
        if n == 0:
            axes.set_axis_off()
            continue
        axes.imshow(
            -_mean_section(tomogram.voxels, places_vox, half, axis),
            cmap="gray",
            interpolation="nearest",
        )
        axes.axhline(half, color=CIRCLE, linewidth=0.8)
        axes.axvline(half, color=CIRCLE, linewidth=0.8)
        axes.add_patch(
            Circle((half, half), radius_vox, fill=False, edgecolor=CIRCLE, linestyle=":")
        )
        for spine in axes.spines.values():
            spine.set_color("black")
        axes.set_title(f"mean of {n}, {name}", fontsize=8)


def _mean_section(voxels: Float32s, places_vox: Float64s, half: int, axis: int) -> Float64s:
    """Mean of the sections around picks, each voxel over those that have it; NaN where none has."""
    total = np.zeros((2 * half + 1, 2 * half + 1))
    count = np.zeros(total.shape)
    for place in places_vox:
        section = _section(voxels, place, half, axis)
        there = np.isfinite(section)
        total[there] += section[there]
        count += there
    mean = np.full(total.shape, np.nan)
    np.divide(total, count, out=mean, where=count > 0)
    return mean


def _section(voxels: Float32s, position_vox: Float64s, half: int, axis: int = 0) -> Float64s:
    """Square of 2 half + 1 voxels, the pick's voxel in the middle; NaN outside the volume.

    Normal to z (axis 0) or to y (axis 1), the mean over a few sections.
    """
    volume = voxels if axis == 0 else voxels.swapaxes(0, 1)
    order = [0, 1, 2] if axis == 0 else [1, 0, 2]
    across, down, right = (int(c) for c in np.rint(position_vox[order]))
    reach = max(1, half // 6)
    section = np.full((2 * half + 1, 2 * half + 1), np.nan)
    _, n_rows, n_columns = volume.shape
    first = max(0, down - half), max(0, right - half)
    last = min(n_rows, down + half + 1), min(n_columns, right + half + 1)
    cut = volume[
        max(0, across - reach) : across + reach + 1, first[0] : last[0], first[1] : last[1]
    ]
    rows = slice(first[0] - down + half, last[0] - down + half)
    columns = slice(first[1] - right + half, last[1] - right + half)
    section[rows, columns] = cut.mean(axis=0, dtype=np.float64)
    return section
