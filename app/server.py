"""The web application as one ASGI app: Streamlit's pages and our own routes.

Every file served lies in a folder that the store names; a browser sends identifiers and numbers,
never a path. Nothing is fetched from elsewhere and nothing is reported to anyone.
"""

import tomllib
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, get_args

import streamlit as st
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from app import volumes
from app.slices import Encoding, OverlayStyle, Plane, Window
from app.web_security import HostGuard, SecurityHeaders, report_policy
from app.web_site import current_site, current_store
from engine import __version__
from engine.errors import BadInputError, MissingFileError, PipelineError

APP_FOLDER = Path(__file__).parent
MAIN_SCRIPT = APP_FOLDER / "pages" / "main.py"
CONFIG_FILE = APP_FOLDER / ".streamlit" / "config.toml"

REPORT_FILES: Mapping[str, str] = {
    "report.html": "text/html; charset=utf-8",
    "report.pdf": "application/pdf",
    "report.json": "application/json",
}
# Pseudonymous or not, pictures of a patient's cells are not left in a browser's disk cache.
PRIVATE = {"Cache-Control": "private, no-store"}
_MAX_TEXT = 300

T = TypeVar("T")


def streamlit_options(host: str, port: int) -> dict[str, Any]:
    """Options of the packaged configuration file, flat, with the address to listen on."""
    tables = tomllib.loads(CONFIG_FILE.read_text(encoding="utf-8"))
    options = dict(_flatten(tables))
    return {**options, "server.address": host, "server.port": port}


def _flatten(tables: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for name, value in tables.items():
        if isinstance(value, dict):
            pairs += _flatten(value, f"{prefix}{name}.")
        else:
            pairs.append((f"{prefix}{name}", value))
    return pairs


def _text(request: Request, name: str) -> str:
    value = request.query_params.get(name, "")
    if not value or len(value) > _MAX_TEXT:
        raise BadInputError(f"expected the parameter {name}")
    return value


def _number(request: Request, name: str, default: int | None = None) -> int:
    value = request.query_params.get(name, "" if default is None else str(default))
    if not value.lstrip("-").isdecimal() or len(value) > 9:
        raise BadInputError(f"expected a whole number for {name}, found {value[:20]!r}")
    return int(value)


def _choice(request: Request, name: str, choices: tuple[T, ...], default: T) -> T:
    value = request.query_params.get(name, str(default))
    for choice in choices:
        if value == choice:
            return choice
    raise BadInputError(f"expected {name} to be one of {', '.join(map(str, choices))}")


def _inside(folder: Path, parent: Path) -> Path:
    """Resolve links of a folder; refuse it where it leaves its parent."""
    resolved = folder.resolve()
    if not resolved.is_relative_to(parent.resolve()):
        raise MissingFileError("the stored folder lies outside the artifacts folder of the store")
    return resolved


@lru_cache(maxsize=1024)
def _analysis_folder(store_url: str, analysis_key: str) -> Path:
    """Folder of one analysis; what a content key names never changes, hence the cache."""
    folder = current_store().analysis_folder(analysis_key)
    if folder is None:
        raise MissingFileError("this analysis is not in the store; reload the page")
    return _inside(Path(folder), current_site().settings.artifacts_folder)


def _key(request: Request) -> volumes.VolumeKey:
    url = current_site().settings.store_url
    return volumes.volume_key(_analysis_folder(url, _text(request, "analysis")))


def serve_slice(request: Request) -> Response:
    """Answer with one grey slice."""
    plane: Plane = _choice(request, "plane", get_args(Plane), "xy")
    encoding: Encoding = _choice(request, "encoding", get_args(Encoding), "jpeg")
    window = Window(_number(request, "low", 0), _number(request, "high", 255))
    index = _number(request, "index")
    image = volumes.grey_image(_key(request), plane, index, window, encoding)
    return Response(image, media_type=f"image/{encoding}", headers=PRIVATE)


def serve_overlay(request: Request) -> Response:
    """Answer with the label overlay of one slice."""
    plane: Plane = _choice(request, "plane", get_args(Plane), "xy")
    style: OverlayStyle = _choice(request, "style", get_args(OverlayStyle), "outline")
    listed = request.query_params.get("classes", "")[:_MAX_TEXT]
    shown = frozenset(int(part) for part in listed.split(",") if part.isdecimal())
    index, highlighted = _number(request, "index"), _number(request, "instance", 0)
    image = volumes.overlay_image(_key(request), plane, index, shown, style, highlighted)
    return Response(image, media_type="image/png", headers=PRIVATE)


def serve_lines(request: Request) -> Response:
    """Answer with the centre lines of all filaments."""
    return JSONResponse(volumes.filament_lines(_key(request)), headers=PRIVATE)


def serve_voxel(request: Request) -> Response:
    """Answer with what lies at one voxel."""
    z, y, x = (_number(request, name) for name in "zyx")
    class_id, instance_id = volumes.find_at(_key(request), z, y, x)
    return JSONResponse({"class": class_id, "instance": instance_id}, headers=PRIVATE)


def serve_report(request: Request) -> Response:
    """One file of a stored report, to keep or, with `inline=1`, to read in the browser."""
    name = request.path_params["name"]
    if name not in REPORT_FILES:
        raise MissingFileError(f"a report has the files {', '.join(REPORT_FILES)}")
    rows = current_store().reports(_text(request, "donor"))
    wanted = _number(request, "report")
    folders = [Path(row.folder) for row in rows if row.report_id == wanted]
    if not folders:
        raise MissingFileError("there is no such report of this donor")
    path = _inside(folders[0], current_site().settings.artifacts_folder) / name
    if not path.is_file():
        raise MissingFileError(f"the report has lost its file {name}; make the report again")
    disposition = "inline" if request.query_params.get("inline") == "1" else "attachment"
    return FileResponse(
        path,
        media_type=REPORT_FILES[name],
        filename=f"{rows[0].donor}-{name}",
        content_disposition_type=disposition,
        headers={**PRIVATE, "Content-Security-Policy": report_policy()},
    )


def serve_health(request: Request) -> Response:
    """Alive, and the store answers."""
    n_donors = len(current_store().donors())
    return JSONResponse({"status": "ok", "version": __version__, "n_donors": n_donors})


def _guarded(endpoint: Callable[[Request], Response]) -> Callable[[Request], Response]:
    """Answer an anticipated failure with its one line."""

    def answer(request: Request) -> Response:
        try:
            return endpoint(request)
        except MissingFileError as error:
            return PlainTextResponse(str(error), status_code=404, headers=PRIVATE)
        except PipelineError as error:
            return PlainTextResponse(str(error), status_code=400, headers=PRIVATE)

    return answer


ENDPOINTS: Mapping[str, Callable[[Request], Response]] = {
    "/api/health": serve_health,
    "/api/slice": serve_slice,
    "/api/overlay": serve_overlay,
    "/api/lines": serve_lines,
    "/api/voxel": serve_voxel,
    "/api/report/{name}": serve_report,
}


def routes() -> list[Route]:
    """Our own routes beside Streamlit's."""
    return [Route(path, _guarded(endpoint)) for path, endpoint in ENDPOINTS.items()]


def build_app(allowed_hosts: frozenset[str]) -> st.App:
    """Build the application for the current site.

    Parameters
    ----------
    allowed_hosts
        Names, beside numeric addresses, that a browser may use for this machine.
    """
    return st.App(
        MAIN_SCRIPT,
        routes=routes(),
        middleware=[
            Middleware(HostGuard, allowed_hosts=allowed_hosts),
            Middleware(SecurityHeaders),
        ],
    )
