"""Colours of classes and groups: Okabe and Ito's set, told apart under colour blindness."""

from engine.io.colours import CLASS_COLOURS

DEFAULT_COLOUR = "#B0B4BA"

_GROUP_COLOURS: dict[str, str] = {
    "healthy": "#0072B2",
    "control": "#0072B2",
    "benign": "#E69F00",
    "cancer": "#D55E00",
    "patient": "#D55E00",
}
_SPARE_COLOURS = ("#009E73", "#CC79A7", "#56B4E9", "#7A6A00", "#5B5F66")
_MARKERS = ("circle", "square", "triangle-up", "x", "cross", "star")
_KNOWN_MARKERS = {
    "healthy": "circle",
    "control": "circle",
    "benign": "square",
    "cancer": "triangle-up",
    "patient": "triangle-up",
}


def class_colour(name: str) -> str:
    """Colour of a label class, `#RRGGBB`."""
    return CLASS_COLOURS.get(name, DEFAULT_COLOUR)


def class_label(name: str) -> str:
    """Name of a class as people read it: `alpha_granule` becomes `Alpha granule`."""
    return name.replace("_", " ").capitalize()


def group_colours(groups: list[str]) -> dict[str, str]:
    """Give each group a colour; known names keep theirs whatever the order."""
    unknown = [group for group in sorted(set(groups)) if group not in _GROUP_COLOURS]
    spare = {g: _SPARE_COLOURS[i % len(_SPARE_COLOURS)] for i, g in enumerate(unknown)}
    return {group: _GROUP_COLOURS.get(group) or spare[group] for group in groups}


def group_markers(groups: list[str]) -> dict[str, str]:
    """Give each group a plotly marker, so that colour is never the only sign."""
    ordered = sorted(set(groups))
    return {g: _KNOWN_MARKERS.get(g, _MARKERS[ordered.index(g) % len(_MARKERS)]) for g in groups}
