"""Write a report: `report.html`, `report.pdf`, `report.json`."""

import hashlib
from pathlib import Path

from diagnostics.report_document import document
from diagnostics.report_html import report_html
from diagnostics.report_json import report_json
from diagnostics.report_pdf import report_pdf
from diagnostics.report_values import CaseReport

REPORT_FILES = ("report.html", "report.pdf", "report.json")


def report_files(report: CaseReport) -> dict[str, bytes]:
    """The three files of a report by name; the same report gives the same bytes."""
    printed = document(report)
    return {
        "report.html": report_html(printed).encode(),
        "report.pdf": report_pdf(printed),
        "report.json": report_json(report).encode(),
    }


def write_report(report: CaseReport, folder: Path) -> str:
    """Write the three files into an existing folder.

    Parameters
    ----------
    report
        What to print.
    folder
        Exists; a caller that wants all files or none gives a staging folder
        (`engine.io.digests.fresh_folder`).

    Returns
    -------
    str
        SHA-256 of `report.json`, by which the store knows the report.
    """
    found = report_files(report)
    for name, content in found.items():
        (folder / name).write_bytes(content)
    return hashlib.sha256(found["report.json"]).hexdigest()
