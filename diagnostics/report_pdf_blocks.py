"""The parts of a report as reportlab flowables."""

import io
from xml.sax.saxutils import escape

from reportlab.lib.colors import HexColor
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.lib.utils import ImageReader
from reportlab.platypus import CondPageBreak, Flowable, Image, Paragraph, Spacer, Table, TableStyle

from diagnostics.report_blocks import (
    Block,
    Bullets,
    Facts,
    Figures,
    Grid,
    Paragraphs,
    ReportDocument,
    Slices,
)
from diagnostics.report_canvas import Picture
from diagnostics.report_values import KeyImage

REGULAR, BOLD = "TomoDxSans", "TomoDxSans-Semibold"
INK, QUIET, BRAND = HexColor("#1b2733"), HexColor("#5a6672"), HexColor("#0b4f6c")
LINE, SOFT, BANNER = HexColor("#d8dee5"), HexColor("#f3f6f8"), HexColor("#ffdf99")
VERDICT_COLOURS = {
    "positive": HexColor("#d55e00"),
    "negative": HexColor("#0072b2"),
    "undecided": QUIET,
    "withheld": QUIET,
}
VERDICT_MARKS = {"positive": "▲", "negative": "●", "undecided": "◆", "withheld": "■"}
WIDTH = A4[0] - 30 * mm
LEAD = 27 * mm


def _style(name: str, size: float, leading: float, **more: object) -> ParagraphStyle:
    settings: dict[str, object] = {"fontName": REGULAR, "textColor": INK, **more}
    return ParagraphStyle(name, fontSize=size, leading=leading, **settings)


STYLES = {
    "title": _style("title", 16, 20, fontName=BOLD, spaceAfter=2),
    "heading": _style(
        "heading",
        11,
        14,
        fontName=BOLD,
        textColor=BRAND,
        spaceBefore=6,
        spaceAfter=2,
    ),
    "body": _style("body", 8.8, 11.6, spaceAfter=3),
    "lead": _style("lead", 8.8, 11.6, fontName=BOLD),
    "verdict": _style("verdict", 14, 17, fontName=BOLD, spaceAfter=3),
    "label": _style("label", 8.4, 11, textColor=QUIET),
    "cell": _style("cell", 8.2, 10),
    "cell_right": _style("cell_right", 8.2, 10, alignment=TA_RIGHT),
    "head": _style("head", 7.6, 9.4, textColor=QUIET),
    "head_right": _style("head_right", 7.6, 9.4, textColor=QUIET, alignment=TA_RIGHT),
    "caption": _style("caption", 7.6, 9.4, textColor=QUIET, spaceBefore=2, spaceAfter=4),
    "mono": _style("mono", 7.2, 9),
}
PLAIN = (
    ("LEFTPADDING", (0, 0), (-1, -1), 0),
    ("RIGHTPADDING", (0, 0), (-1, -1), 6),
    ("TOPPADDING", (0, 0), (-1, -1), 1.5),
    ("BOTTOMPADDING", (0, 0), (-1, -1), 1.5),
    ("VALIGN", (0, 0), (-1, -1), "TOP"),
)


def text(content: str, style: ParagraphStyle) -> Paragraph:
    """A paragraph of plain text; markup in it is escaped."""
    return Paragraph(escape(content), style)


def _two_lines(content: str, style: ParagraphStyle, *, bold: bool) -> Paragraph:
    """First line as it is (or bold), further ones quieter and smaller."""
    first, *others = content.splitlines() or [""]
    main = escape(first)
    main = f'<font name="{BOLD}">{main}</font>' if bold else main
    rest = "".join(
        f'<br/><font size="7.2" color="#5a6672">{escape(line)}</font>' for line in others
    )
    return Paragraph(main + rest, style)


def _image(content: bytes, width: float, height: float | None = None) -> Image:
    pixels_x, pixels_y = ImageReader(io.BytesIO(content)).getSize()
    return Image(io.BytesIO(content), width, height or width * pixels_y / pixels_x)


def _drawing(picture: Picture, width: float) -> Image:
    return _image(picture.png, width, width * picture.height_mm / picture.width_mm)


def flowables(block: Block, *, summary: bool) -> list[Flowable]:
    """Print one block; on the first page slices are smaller, captions of tables left out."""
    if isinstance(block, Paragraphs):
        return [text(item, STYLES["body"]) for item in block.texts]
    if isinstance(block, Bullets):
        return [_bullets(block)]
    if isinstance(block, Grid):
        caption = [] if summary else [text(block.caption, STYLES["caption"])]
        return [_grid(block), *caption]
    if isinstance(block, Figures):
        return [_figures(block)]
    if isinstance(block, Slices):
        return _slices(block, summary=summary)
    # Facts that head something are not left alone at the foot of a page.
    return [_facts(block)] if block.mono else [CondPageBreak(60 * mm), _facts(block)]


def _bullets(block: Bullets) -> Table:
    marks = block.marks or ("•",) * len(block.items)
    lead = LEAD if block.marks else 4 * mm
    rows = [
        [text(mark, STYLES["lead"]), text(item, STYLES["body"])]
        for mark, item in zip(marks, block.items, strict=True)
    ]
    return Table(rows, [lead, WIDTH - lead], style=TableStyle(PLAIN), hAlign="LEFT")


def _grid(block: Grid) -> Table:
    total = sum(column.share for column in block.columns)
    widths = [WIDTH * column.share / total for column in block.columns]
    sides = ["_right" if column.align == "right" else "" for column in block.columns]
    head: list[Flowable] = [
        text(column.title, STYLES["head" + side])
        for column, side in zip(block.columns, sides, strict=True)
    ]
    rows = [head]
    for row in block.rows:
        cells: list[Flowable] = []
        for index, content in enumerate(row):
            if isinstance(content, Picture):
                cells.append(_drawing(content, widths[index] - 6))
            else:
                style = STYLES["cell" + sides[index]]
                cells.append(_two_lines(content, style, bold=index < block.n_bold))
        rows.append(cells)
    rules = (
        *PLAIN,
        ("LINEBELOW", (0, 0), (-1, 0), 0.6, QUIET),
        ("LINEBELOW", (0, 1), (-1, -1), 0.4, LINE),
    )
    return Table(rows, widths, style=TableStyle(rules), repeatRows=1, hAlign="LEFT")


def _figures(block: Figures) -> Table:
    n = max(2, len(block.items))
    width = WIDTH / n
    cells = [
        [_drawing(item.picture, width - 12), text(item.caption, STYLES["caption"])]
        for item in block.items
    ]
    cells += [[Spacer(1, 1)]] * (n - len(cells))
    return Table([cells], [width] * n, style=TableStyle(PLAIN), hAlign="LEFT")


def _slices(block: Slices, *, summary: bool) -> list[Flowable]:
    n = 4 if summary else 3
    rows = _rows_of([item for item in block.items if not item.wide], n)
    rows += [[item] for item in block.items if item.wide]
    found: list[Flowable] = []
    for row in rows:
        columns = 1 if row[0].wide else n
        width = WIDTH / columns
        cells = [
            [_image(item.content, width - 8), text(item.caption, STYLES["caption"])] for item in row
        ]
        cells += [[Spacer(1, 1)]] * (columns - len(cells))
        found.append(Table([cells], [width] * columns, style=TableStyle(PLAIN), hAlign="LEFT"))
    return found


def _rows_of(items: list[KeyImage], n: int) -> list[list[KeyImage]]:
    return [items[start : start + n] for start in range(0, len(items), n)]


def _facts(block: Facts) -> Flowable:
    if not block.mono:
        parts = [
            f'<font color="#5a6672">{escape(name)}</font> '
            f'<font name="{BOLD}">{escape(content)}</font>'
            for name, content in block.items
        ]
        return Paragraph(" &nbsp; &nbsp; ".join(parts), STYLES["body"])
    rows = [
        [text(name, STYLES["mono"]), text(content, STYLES["mono"])] for name, content in block.items
    ]
    return Table(rows, [58 * mm, WIDTH - 58 * mm], style=TableStyle(PLAIN), hAlign="LEFT")


def subject_table(document: ReportDocument) -> Table:
    """Who, how many tomograms, against whom."""
    cells = [
        [text(name, STYLES["label"]), text(content, STYLES["lead"])]
        for name, content in document.subject
    ]
    shares = [1.0, 0.6, 2.4, 0.8][: len(cells)]
    widths = [WIDTH * share / sum(shares) for share in shares]
    return Table([cells], widths, style=TableStyle(PLAIN), hAlign="LEFT")


def headline_table(document: ReportDocument) -> Table:
    """Verdict and sentences on a soft ground with a coloured edge."""
    colour = VERDICT_COLOURS[document.verdict]
    shape = VERDICT_MARKS[document.verdict]
    mark = f'<font color="{colour.hexval().replace("0x", "#")}">{shape}</font>'
    inner = Table(
        [
            [text(lead, STYLES["lead"]), text(sentence, STYLES["body"])]
            for lead, sentence in document.sentences
        ],
        [LEAD, WIDTH - LEAD - 8 * mm],
        style=TableStyle(PLAIN),
        hAlign="LEFT",
    )
    cell = [
        Paragraph(f"{mark} {escape(document.verdict_label)}", STYLES["label"]),
        text(document.headline, STYLES["verdict"]),
        inner,
    ]
    rules = (
        ("BACKGROUND", (0, 0), (-1, -1), SOFT),
        ("LINEBEFORE", (0, 0), (0, -1), 4, colour, 0),
        ("LEFTPADDING", (0, 0), (-1, -1), 10),
        ("RIGHTPADDING", (0, 0), (-1, -1), 8),
        ("TOPPADDING", (0, 0), (-1, -1), 6),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 4),
    )
    return Table([[cell]], [WIDTH], style=TableStyle(rules), hAlign="LEFT", spaceBefore=4)
