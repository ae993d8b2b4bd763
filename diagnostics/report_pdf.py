"""The report as a PDF with the same parts as the HTML page; fonts are embedded."""

import io
from collections.abc import Sequence
from functools import cache
from typing import Any

from reportlab.lib.pagesizes import A4
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.platypus import (
    BaseDocTemplate,
    CondPageBreak,
    Flowable,
    Frame,
    KeepInFrame,
    PageBreak,
    PageTemplate,
)

from diagnostics.report_blocks import Part, ReportDocument
from diagnostics.report_fonts import font_bytes
from diagnostics.report_pdf_blocks import (
    BANNER,
    BOLD,
    BRAND,
    INK,
    QUIET,
    REGULAR,
    STYLES,
    WIDTH,
    flowables,
    headline_table,
    subject_table,
    text,
)

MARGIN = 15 * mm
TOP, BOTTOM = 24 * mm, 15 * mm


def report_pdf(document: ReportDocument) -> bytes:
    """Print a document on A4; the summary is shrunk to one page where it must be."""
    _register_fonts()
    stream = io.BytesIO()
    pdf = BaseDocTemplate(
        stream,
        pagesize=A4,
        invariant=1,
        lang="en",
        title=f"{document.subtitle} · {document.title}",
        author=document.foot.split(" · ")[0],
        subject=" ".join(document.banners),
    )
    height = A4[1] - TOP - BOTTOM
    frame = Frame(MARGIN, BOTTOM, WIDTH, height, 0, 0, 0, 0)
    pdf.addPageTemplates(PageTemplate("page", [frame], onPage=_page(document)))
    summary = KeepInFrame(WIDTH, height - 1, _summary(document), mode="shrink", vAlign="TOP")
    pdf.build([summary, PageBreak(), *_details(document)])
    return stream.getvalue()


def _summary(document: ReportDocument) -> list[Flowable]:
    found: list[Flowable] = [
        subject_table(document),
        headline_table(document),
    ]
    for part in document.summary:
        found += _part(part, summary=True)
    return found


def _details(document: ReportDocument) -> list[Flowable]:
    found: list[Flowable] = [text("Details", STYLES["title"])]
    for part in document.details:
        found += _part(part, summary=False)
    return found


def _part(part: Part, *, summary: bool) -> list[Flowable]:
    found: list[Flowable] = [] if summary else [CondPageBreak(32 * mm)]
    found.append(text(part.title, STYLES["heading"]))
    for block in part.blocks:
        found += flowables(block, summary=summary)
    return found


def _page(document: ReportDocument) -> Any:  # noqa: ANN401  (reportlab's callback)
    def draw(canvas: Any, pdf: Any) -> None:  # noqa: ANN401
        width, height = A4
        canvas.saveState()
        canvas.setFillColor(BANNER)
        canvas.rect(0, height - 13 * mm, width, 13 * mm, stroke=0, fill=1)
        canvas.setFillColor(INK)
        _banner_lines(canvas, document.banners, width, height)
        canvas.setFillColor(QUIET)
        canvas.setFont(REGULAR, 7)
        canvas.drawString(MARGIN, 8 * mm, document.foot)
        canvas.drawRightString(width - MARGIN, 8 * mm, f"page {pdf.page}")
        canvas.setFillColor(BRAND)
        canvas.setFont(BOLD, 8)
        canvas.drawString(MARGIN, height - 19 * mm, f"TomoDx · {document.title}")
        canvas.setFillColor(QUIET)
        canvas.setFont(REGULAR, 8)
        canvas.drawRightString(width - MARGIN, height - 19 * mm, document.subtitle)
        canvas.restoreState()

    return draw


def _banner_lines(canvas: Any, banners: Sequence[str], width: float, height: float) -> None:  # noqa: ANN401
    step = 4.6 * mm
    y = height - 6.5 * mm - 1.1 * mm + step * (len(banners) - 1) / 2
    for index, line in enumerate(banners):
        canvas.setFont(BOLD if index == 0 else REGULAR, 8.6)
        canvas.drawCentredString(width / 2, y - index * step, line)


@cache
def _register_fonts() -> None:
    for name, weight in ((REGULAR, "regular"), (BOLD, "semibold")):
        pdfmetrics.registerFont(TTFont(name, io.BytesIO(font_bytes(weight))))
    pdfmetrics.registerFontFamily(REGULAR, REGULAR, BOLD, REGULAR, BOLD)
