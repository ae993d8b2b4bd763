"""The slice of a tomogram that shows most, with what was found in it, for the report."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from PIL import Image

from app.palette import class_colour
from app.volumes import AnalysisVolumes, open_volumes, volume_key
from diagnostics.report_fonts import font_properties
from diagnostics.report_values import KeyImage
from engine.data.arrays import Float64s, UInt16s
from engine.data.labels import CLASS_IDS
from engine.io.preview import SLICE_NM, nice_length_nm

SIZE_PX = 640
JPEG_QUALITY = 88
# A filament is drawn strongly where it lies this close to the section.
NEAR_NM = 40.0
OUTLINED = ("mitochondrion", "alpha_granule", "dense_granule", "vesicle")
HALO = [withStroke(linewidth=2.2, foreground="black")]


def key_slice(
    tomogram_id: str, folder: Path, instances: pd.DataFrame, points: pd.DataFrame
) -> KeyImage:
    """Draw the xy section through most mitochondrion, with outlines, ids and microtubules.

    Parameters
    ----------
    tomogram_id
        For the caption.
    folder
        Of the analysis.
    instances, points
        Its `instances.csv` and `filament_points.csv`.
    """
    volumes = open_volumes(volume_key(folder))
    z = best_section(volumes, points)
    grey = _averaged(volumes, z)
    height, width = grey.shape
    scale = SIZE_PX / max(height, width)
    figure = Figure(figsize=(width * scale / 100, height * scale / 100), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(grey, cmap="gray", vmin=0, vmax=255, interpolation="bilinear", aspect="auto")
    shown = _outline(axes, np.asarray(volumes.instances[z], dtype=np.uint16), instances)
    _draw_filaments(axes, points, z * volumes.voxel_size_nm, volumes.voxel_size_nm)
    _draw_scale_bar(axes, grey.shape, volumes.voxel_size_nm)
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(height - 0.5, -0.5)
    axes.set_axis_off()
    at_nm = z * volumes.voxel_size_nm
    found = _found_text(shown)
    return KeyImage(
        content=_jpeg(figure),
        media_type="image/jpeg",
        caption=(
            f"{tomogram_id}, section at z = {at_nm:.0f} nm. Outlined with their ids: {found}. "
            f"Lines: microtubules, strong within {NEAR_NM:.0f} nm of the section."
        ),
        alt=f"Section of tomogram {tomogram_id} at z = {at_nm:.0f} nm with outlines of {found}.",
    )


def best_section(volumes: AnalysisVolumes, points: pd.DataFrame) -> int:
    """Index along z with most mitochondrion; without any, with most microtubule; the middle."""
    n_z = volumes.labels.shape[0]
    area = np.array(
        [np.count_nonzero(plane == CLASS_IDS["mitochondrion"]) for plane in volumes.labels]
    )
    if not area.any() and len(points):
        at = np.clip(np.rint(points["z_nm"] / volumes.voxel_size_nm).astype(int), 0, n_z - 1)
        area = np.bincount(at, minlength=n_z)
    best = np.flatnonzero(area >= 0.95 * area.max())
    return int(best[np.argmin(np.abs(best - n_z // 2))])


def _averaged(volumes: AnalysisVolumes, z: int) -> Float64s:
    """Mean of the sections around z, stretched to the full range of grey."""
    half = round(SLICE_NM / volumes.voxel_size_nm / 2)
    slab = volumes.display[max(0, z - half) : z + half + 1]
    plane = slab.mean(axis=0, dtype=np.float64)
    low, high = np.percentile(plane, (0.3, 99.7))
    stretched: Float64s = np.clip((plane - low) / ((high - low) or 1.0), 0.0, 1.0) * 255.0
    return stretched


def _outline(axes: Axes, ids: UInt16s, instances: pd.DataFrame) -> list[tuple[str, int]]:
    """Outline and number every instance in the section; returns class and id of each."""
    shown = []
    span_y, span_x = np.arange(-1, ids.shape[0] + 1), np.arange(-1, ids.shape[1] + 1)
    for number, name in zip(instances["instance_id"].tolist(), instances["class"], strict=True):
        mask = ids == number
        if name not in OUTLINED or not mask.any():
            continue
        padded = np.pad(mask.astype(np.float64), 1)
        colour = class_colour(name)
        axes.contour(span_x, span_y, padded, levels=[0.5], colors=[colour], linewidths=2.0)
        rows, columns = np.nonzero(mask)
        nearest = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
        axes.text(
            columns[nearest],
            rows[nearest],
            str(number),
            color="white",
            ha="center",
            va="center",
            path_effects=HALO,
            clip_on=True,
            fontproperties=font_properties("semibold"),
            fontsize=17,
        )
        shown.append((name, number))
    return shown


def _draw_filaments(axes: Axes, points: pd.DataFrame, z_nm: float, voxel_nm: float) -> None:
    colour = class_colour("microtubule")
    for _, line in points.groupby("filament_id", sort=True):
        path = line[["x_nm", "y_nm"]].to_numpy() / voxel_nm
        away = np.abs(line["z_nm"].to_numpy() - z_nm)
        near = (away[:-1] + away[1:]) / 2 < NEAR_NM
        pieces = np.stack((path[:-1], path[1:]), axis=1)
        axes.add_collection(
            LineCollection(list(pieces[~near]), colors=colour, linewidths=0.8, alpha=0.45)
        )
        axes.add_collection(
            LineCollection(list(pieces[near]), colors=colour, linewidths=2.0, capstyle="round")
        )


def _draw_scale_bar(axes: Axes, shape: tuple[int, ...], voxel_nm: float) -> None:
    height, width = shape
    length_nm = nice_length_nm(width * voxel_nm)
    right, bottom = 0.97 * width, 0.96 * height
    left = right - length_nm / voxel_nm
    bar = axes.plot([left, right], [bottom, bottom], "-", color="white", lw=4)[0]
    bar.set_solid_capstyle("butt")
    bar.set_path_effects([withStroke(linewidth=5.5, foreground="black")])
    label = f"{length_nm / 1000:g} µm" if length_nm >= 1000 else f"{length_nm:g} nm"
    axes.text(
        (left + right) / 2,
        bottom - 0.02 * height,
        label,
        color="white",
        ha="center",
        va="bottom",
        path_effects=HALO,
        fontproperties=font_properties("semibold"),
        fontsize=17,
    )


def _found_text(shown: list[tuple[str, int]]) -> str:
    parts = []
    for name in OUTLINED:
        ids = [str(number) for one, number in shown if one == name]
        if ids:
            plural = "mitochondria" if name == "mitochondrion" else f"{name.replace('_', ' ')}s"
            noun = name.replace("_", " ") if len(ids) == 1 else plural
            parts.append(f"{noun} {', '.join(ids)}")
    return "; ".join(parts) if parts else "no organelle in this section"


def _jpeg(figure: Figure) -> bytes:
    """Encode without subsampling, so that thin coloured lines stay sharp."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    picture = Image.fromarray(pixels[:, :, :3])
    stream = io.BytesIO()
    picture.save(stream, format="JPEG", quality=JPEG_QUALITY, subsampling=0)
    return stream.getvalue()
