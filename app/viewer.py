"""The orthoslice viewer as a Streamlit component: its data, its files, its mounting."""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlencode

import pandas as pd
import streamlit as st

from app.palette import class_colour, class_label
from app.volumes import VolumeKey, filament_lines, open_volumes, present_classes
from engine.data.labels import CLASS_IDS, CLASS_NAMES, INSTANCE_CLASSES

STATIC_FOLDER = Path(__file__).parent / "static"
# One module: the browser gives inline component code no address to import the others from.
SCRIPT_FILES = (
    "viewer_state.js",
    "viewer_plane.js",
    "viewer_input.js",
    "viewer_side.js",
    "viewer.js",
)
API = "/api"
# Shown at first; membranes, void and artefacts hide the picture and are switched on at will.
SHOWN_AT_FIRST = frozenset((*INSTANCE_CLASSES, "microtubule"))


@dataclass(frozen=True)
class ClassItem:
    """A class that can be switched on and off; `count` is None where objects are not counted."""

    id: int
    name: str
    label: str
    colour: str
    count: int | None
    on: bool
    filament: bool


@dataclass(frozen=True)
class OrganelleItem:
    """One row of `instances.csv` as the viewer lists it."""

    id: int
    label: str
    colour: str
    volume_um3: float | None
    confidence: float | None
    border: bool
    centre_nm: tuple[float, float, float]


@dataclass(frozen=True)
class FilamentItem:
    """One row of `filaments.csv`; `centre_nm` lies on the line, half-way along."""

    id: int
    label: str
    colour: str
    length_nm: float | None
    confidence: float | None
    border: bool
    centre_nm: tuple[float, float, float]


@dataclass(frozen=True)
class Jump:
    """A place to go to: an instance, a filament or a voxel; a new ticket repeats a jump."""

    ticket: str
    instance: int = 0
    filament: int = 0
    voxel: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class ViewerData:
    """Everything the viewer knows of an analysis but its pictures."""

    analysis: str
    shape: tuple[int, int, int]
    voxel_nm: float
    classes: tuple[ClassItem, ...]
    organelles: tuple[OrganelleItem, ...]
    filaments: tuple[FilamentItem, ...]
    page: str
    api: str = API
    class_labels: Mapping[str, str] = field(
        default_factory=lambda: {
            str(number): class_label(name) for number, name in CLASS_NAMES.items() if number
        }
    )


def viewer_data(
    key: VolumeKey,
    analysis_key: str,
    instances: pd.DataFrame,
    filaments: pd.DataFrame,
    page: str,
) -> ViewerData:
    """Gather what the viewer lists.

    Parameters
    ----------
    key, analysis_key
        The analysis folder and its content key in the store.
    instances, filaments
        `instances.csv` and `filaments.csv`.
    page
        Address of the page, without the place, for links.
    """
    volumes = open_volumes(key)
    z, y, x = volumes.display.shape
    return ViewerData(
        analysis=analysis_key,
        shape=(int(z), int(y), int(x)),
        voxel_nm=volumes.voxel_size_nm,
        classes=_classes(present_classes(key), instances, filaments),
        organelles=tuple(_organelle(row) for row in instances.to_dict("records")),
        filaments=_filaments(filaments, filament_lines(key)),
        page=page,
    )


def case_address(donor: str, tomogram_id: str | None = None) -> str:
    """Address of the case page of a donor, and of one tomogram of it."""
    chosen = {"donor": donor} if tomogram_id is None else {"donor": donor, "tomogram": tomogram_id}
    return f"/case?{urlencode(chosen)}"


def _classes(
    present: Sequence[int], instances: pd.DataFrame, filaments: pd.DataFrame
) -> tuple[ClassItem, ...]:
    counts = instances["class"].value_counts().to_dict()
    counts |= filaments["class"].value_counts().to_dict()
    ids = sorted({*present, *(CLASS_IDS[name] for name in counts if name in CLASS_IDS)})
    # Counted objects first: they are what a reader looks for.
    ids.sort(key=lambda number: CLASS_NAMES[number] not in SHOWN_AT_FIRST)
    return tuple(
        ClassItem(
            id=number,
            name=CLASS_NAMES[number],
            label=class_label(CLASS_NAMES[number]),
            colour=class_colour(CLASS_NAMES[number]),
            count=int(counts.get(CLASS_NAMES[number], 0))
            if CLASS_NAMES[number] in SHOWN_AT_FIRST
            else None,
            on=CLASS_NAMES[number] in SHOWN_AT_FIRST,
            filament=CLASS_NAMES[number] == "microtubule",
        )
        for number in ids
        if number in CLASS_NAMES
    )


def _number(value: object) -> float | None:
    """Read a table cell; None where it is empty."""
    if not isinstance(value, int | float) or math.isnan(value):
        return None
    return float(value)


def _organelle(row: Mapping[Hashable, object]) -> OrganelleItem:
    name = str(row["class"])
    z, y, x = (_number(row[axis]) or 0.0 for axis in ("z_nm", "y_nm", "x_nm"))
    return OrganelleItem(
        id=int(str(row["instance_id"])),
        label=class_label(name),
        colour=class_colour(name),
        volume_um3=_number(row["volume_um3"]),
        confidence=_number(row["confidence"]),
        border=bool(row["touches_border"]),
        centre_nm=(z, y, x),
    )


def _filaments(
    table: pd.DataFrame, lines: Mapping[int, Sequence[Sequence[float]]]
) -> tuple[FilamentItem, ...]:
    items = []
    for row in table.to_dict("records"):
        number, name = int(str(row["filament_id"])), str(row["class"])
        if not lines.get(number):
            continue
        items.append(
            FilamentItem(
                id=number,
                label=class_label(name),
                colour=class_colour(name),
                length_nm=_number(row["length_nm"]),
                confidence=_number(row["confidence"]),
                border=bool(row["starts_at_border"]) or bool(row["ends_at_border"]),
                centre_nm=_half_way(lines[number]),
            )
        )
    return tuple(items)


def _half_way(points: Sequence[Sequence[float]]) -> tuple[float, float, float]:
    """Find the point half-way along a polyline."""
    steps = [math.dist(start, end) for start, end in pairwise(points)]
    left = sum(steps) / 2.0
    for (start, end), step in zip(pairwise(points), steps, strict=True):
        if left <= step and step > 0:
            share = left / step
            z, y, x = (a + share * (b - a) for a, b in zip(start, end, strict=True))
            return z, y, x
        left -= step
    z, y, x = points[-1]
    return z, y, x


@lru_cache(maxsize=1)
def _component() -> "st.components.v2.types.ComponentRenderer":
    script = "\n".join((STATIC_FOLDER / name).read_text(encoding="utf-8") for name in SCRIPT_FILES)
    return st.components.v2.component(
        "tomodx_orthoslices",
        html=(STATIC_FOLDER / "viewer.html").read_text(encoding="utf-8"),
        css=(STATIC_FOLDER / "viewer.css").read_text(encoding="utf-8"),
        js=script,
    )


def show_viewer(data: ViewerData, jump: Jump | None = None) -> None:
    """Mount the viewer in the page that is being run."""
    content = asdict(data)
    content["jump"] = None if jump is None else asdict(jump)
    _component()(key=f"viewer-{data.analysis}", data=content)
