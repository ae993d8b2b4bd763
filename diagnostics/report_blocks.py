"""The parts a printed report is made of; HTML and PDF print the same parts."""

from dataclasses import dataclass
from typing import Literal

from diagnostics.report_canvas import Picture
from diagnostics.report_values import KeyImage, Verdict

Align = Literal["left", "right"]


@dataclass(frozen=True)
class Paragraphs:
    """Running text."""

    texts: tuple[str, ...]


@dataclass(frozen=True)
class Bullets:
    """A list; `marks` (as many as items, or none) stand before them: `Warning`, `Source`."""

    items: tuple[str, ...]
    marks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Column:
    """Head of a table column; `share` of the width, any scale."""

    title: str
    share: float
    align: Align = "left"


@dataclass(frozen=True)
class Grid:
    """A table; a cell is text (a newline makes a second, quieter line) or a picture.

    `n_bold` columns from the left carry their first line in bold.
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[str | Picture, ...], ...]
    caption: str
    n_bold: int = 0


@dataclass(frozen=True)
class Captioned:
    """A picture with the words below it."""

    picture: Picture
    caption: str


@dataclass(frozen=True)
class Figures:
    """Drawings side by side."""

    items: tuple[Captioned, ...]


@dataclass(frozen=True)
class Slices:
    """Key slices side by side."""

    items: tuple[KeyImage, ...]


@dataclass(frozen=True)
class Facts:
    """Names with texts; `mono` for hashes."""

    items: tuple[tuple[str, str], ...]
    mono: bool = False


Block = Paragraphs | Bullets | Grid | Figures | Slices | Facts


@dataclass(frozen=True)
class Part:
    """A headed part; `anchor` is its id in HTML."""

    title: str
    anchor: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class ReportDocument:
    """A whole report, ready to print.

    Attributes
    ----------
    banners
        Stand on every page.
    summary
        The first page, for the clinician; `details` is for who wants to check.
    """

    title: str
    subtitle: str
    subject: tuple[tuple[str, str], ...]
    banners: tuple[str, ...]
    verdict: Verdict
    verdict_label: str
    headline: str
    sentences: tuple[tuple[str, str], ...]
    summary: tuple[Part, ...]
    details: tuple[Part, ...]
    foot: str
