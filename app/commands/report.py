"""`tomodx report`."""

from datetime import date as calendar_date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.context import Settings
from cohorts.store import open_store
from engine.errors import BadInputError

if TYPE_CHECKING:
    from app.reporting import WrittenReport


def register(cli: typer.Typer) -> None:
    """Add the commands of this file."""
    cli.command("report")(report)


def report(
    context: typer.Context,
    donor: Annotated[str, typer.Argument(help="Pseudonym of a donor in the store.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the files go.")],
    date: Annotated[
        str | None,
        typer.Option(metavar="YYYY-MM-DD", help="Printed on the report; none by default."),
    ] = None,
) -> None:
    """Write a donor's report: report.html, report.pdf, report.json."""
    # What draws takes a second to import: other commands should not wait for it.
    from app.reporting import report_donor  # noqa: PLC0415

    settings: Settings = context.obj
    written = report_donor(
        open_store(settings.store_url), donor, out, settings, date=checked_date(date)
    )
    settings.emit(report_result(written), report_text(written))


def checked_date(text: str | None) -> str | None:
    """Give the date back, or raise BadInputError where it is none."""
    if text is None:
        return None
    try:
        return calendar_date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise BadInputError(f"expected a date as YYYY-MM-DD, found {text!r}") from error


def report_result(written: "WrittenReport") -> dict[str, Any]:
    """JSON object of the command."""
    prediction = written.report.prediction
    return {
        "donor": written.report.donor,
        "verdict": written.report.headline.verdict,
        "headline": written.report.headline.title,
        "probability": prediction.probability,
        "low": prediction.low,
        "high": prediction.high,
        "withheld": list(prediction.withheld),
        "simulated": written.report.simulated_case or written.report.simulated_reference,
        "files": {name: str(written.folder.absolute() / name) for name in written.files},
        "sha256": written.sha256,
        "report_id": written.report_id,
        "supersedes": written.supersedes,
    }


def report_text(written: "WrittenReport") -> str:
    """Summary for people."""
    lines = [*written.report.banners, f"{written.report.donor}: {written.report.headline.title}."]
    lines += [f"{lead}: {text}" for lead, text in written.report.headline.sentences]
    lines.append(f"Report: {written.folder.absolute() / 'report.html'}")
    return "\n".join(lines)
