"""Diagnostic panels in one literal table; a new panel is one file and one row here."""

from collections.abc import Callable

from diagnostics.panels.platelet import platelet_panel
from diagnostics.panels.rules import Panel
from engine.errors import BadInputError

PANELS: dict[str, Callable[[], Panel]] = {"platelet": platelet_panel}


def panel_named(name: str) -> Panel:
    """The panel of that name; BadInputError where there is none."""
    if name not in PANELS:
        raise BadInputError(f"expected a panel of {', '.join(PANELS)}; found {name!r}")
    return PANELS[name]()
