"""The report as one HTML page that needs nothing but itself."""

import base64
from functools import cache

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from diagnostics.packaged import packaged_text
from diagnostics.report_blocks import ReportDocument
from diagnostics.report_fonts import FAMILY, font_bytes

VERDICT_MARKS = {"positive": "▲", "negative": "●", "undecided": "◆", "withheld": "■"}


def report_html(document: ReportDocument) -> str:
    """Print a document; every text is escaped, images and fonts are inside."""
    template = _environment().get_template("report.html.j2")
    return template.render(document=document, mark=VERDICT_MARKS[document.verdict])


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FunctionLoader(_template),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["data_uri"] = data_uri
    environment.filters["lines"] = str.splitlines
    environment.globals["style"] = _style()
    return environment


def _template(name: str) -> str:
    return packaged_text("templates", name)


def _style() -> Markup:
    """Return the style sheet with the fonts inside; it is ours, so it is not escaped."""
    faces = "".join(
        f'@font-face{{font-family:"{FAMILY}";font-weight:{weight};'
        f'src:url("{data_uri(font_bytes(name), "font/ttf")}") format("truetype")}}\n'
        for name, weight in (("regular", 400), ("semibold", 600))
    )
    return Markup(faces + _template("report.css"))


def data_uri(content: bytes, media_type: str) -> str:
    """Return the bytes as a `data:` address."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"
