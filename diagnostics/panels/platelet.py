"""Platelets of patients with an ovarian mass: mitochondria counted, microtubules traced."""

from functools import cache

from diagnostics.panels.rules import Panel, read_panel


@cache
def platelet_panel() -> Panel:
    """Rules of `platelet.yaml`."""
    return read_panel("platelet.yaml")
