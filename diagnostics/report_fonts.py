"""The one typeface of a report, the same in figures, HTML and PDF."""

from functools import cache

from matplotlib import font_manager

from diagnostics.packaged import packaged_bytes, packaged_path

FAMILY = "TomoDx Sans"
FILES = {"regular": "TomoDxSans-Regular.ttf", "semibold": "TomoDxSans-Semibold.ttf"}


def font_bytes(weight: str) -> bytes:
    """The TrueType file of a weight of `FILES`."""
    return packaged_bytes("fonts", FILES[weight])


@cache
def font_properties(weight: str = "regular") -> font_manager.FontProperties:
    """The typeface for matplotlib, by file, so that no font of the machine is taken instead."""
    with packaged_path("fonts", FILES[weight]) as path:
        return font_manager.FontProperties(fname=str(path))
