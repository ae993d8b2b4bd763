"""Routes: what is served, what is refused, and under which headers."""

import asyncio
import io
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.middleware import Middleware

from app.context import Settings
from app.server import routes, streamlit_options
from app.volumes import filament_lines, volume_key
from app.web_security import HostGuard, SecurityHeaders, page_policy
from app.web_site import Site, current_store, site
from tests.browser.fixture_store import BALLS, SHAPE, make_store

KEY = f"{1:064x}"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("home") / "tomodx")


@pytest.fixture(scope="module")
def ask(made):
    """Send one GET to the routes; gives status, headers and body."""
    guards = [
        Middleware(HostGuard, allowed_hosts=frozenset({"localhost"})),
        Middleware(SecurityHeaders),
    ]
    app = Starlette(routes=routes(), middleware=guards)

    def send_request(address: str, host: str = "localhost:8501"):
        parts = urlsplit(address)
        scope = {
            "type": "http",
            "method": "GET",
            "path": parts.path,
            "raw_path": parts.path.encode(),
            "query_string": parts.query.encode(),
            "headers": [(b"host", host.encode())],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 8501),
            "scheme": "http",
            "root_path": "",
        }
        sent = []

        waiting = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive():
            if waiting:
                return waiting.pop()
            await asyncio.sleep(60)
            return {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)

        asyncio.run(app(scope, receive, send))
        headers = {k.decode().lower(): v.decode() for k, v in sent[0]["headers"]}
        body = b"".join(message.get("body", b"") for message in sent[1:])
        return sent[0]["status"], headers, body

    with site(Site(Settings(store=str(made.store_path)), made.data_root)):
        yield send_request
        current_store().close()


def picture(body: bytes, mode: str) -> np.ndarray:
    with Image.open(io.BytesIO(body)) as image:
        return np.asarray(image.convert(mode))


def test_a_slice_is_the_display_volume_as_it_stands(ask, made):
    status, headers, body = ask(
        f"/api/slice?analysis={KEY}&plane=xz&index=30&encoding=png&low=0&high=255"
    )
    assert (status, headers["content-type"]) == (200, "image/png")
    display = np.load(made.home / "artifacts" / "analyze" / KEY / "display.npy")
    assert np.array_equal(picture(body, "L"), display[:, 30, :])
    assert headers["cache-control"] == "private, no-store"


def test_a_slice_is_a_small_jpeg_by_default(ask):
    status, headers, body = ask(f"/api/slice?analysis={KEY}&plane=xy&index=3")
    assert (status, headers["content-type"]) == (200, "image/jpeg")
    assert picture(body, "L").shape == SHAPE[1:]


def test_an_overlay_holds_the_classes_asked_for(ask):
    _, (z, y, x), _ = BALLS[0]
    address = f"/api/overlay?analysis={KEY}&plane=xy&index={z}&style=fill"
    _, _, with_class = ask(f"{address}&classes=2")
    _, _, without = ask(f"{address}&classes=3")
    assert picture(with_class, "RGBA")[y, x, 3] == 255
    assert picture(without, "RGBA")[y, x, 3] == 0


def test_a_voxel_tells_class_and_instance(ask):
    _, (z, y, x), _ = BALLS[2]
    assert ask(f"/api/voxel?analysis={KEY}&z={z}&y={y}&x={x}")[2] == b'{"class":3,"instance":3}'
    assert ask(f"/api/voxel?analysis={KEY}&z=9999&y=0&x=0")[2] == b'{"class":0,"instance":0}'


def test_lines_keep_their_ends_and_stay_within_a_nanometre(ask, made):
    assert ask(f"/api/lines?analysis={KEY}")[0] == 200
    lines = filament_lines(volume_key(made.home / "artifacts" / "analyze" / KEY))
    points = np.array(lines[1])
    assert points[0] == pytest.approx([37.5, 120 + 15 * np.sin(0.2), 10], abs=0.1)
    assert len(points) < 60
    x_nm = np.linspace(10, 275, 400)
    drawn = np.interp(x_nm, points[:, 2], points[:, 1])
    assert np.abs(drawn - (120 + 15 * np.sin(x_nm / 50))).max() < 1.3


@pytest.mark.parametrize(
    ("query", "status"),
    [
        (f"analysis={KEY}&plane=xy&index=999", 400),
        (f"analysis={KEY}&plane=yx&index=1", 400),
        (f"analysis={KEY}&plane=xy&index=one", 400),
        (f"analysis={KEY}&plane=xy&index=1&low=5&high=5", 400),
        (f"analysis={'f' * 64}&plane=xy&index=1", 404),
        ("analysis=../../etc&plane=xy&index=1", 404),
        ("plane=xy&index=1", 400),
    ],
)
def test_a_wrong_request_gets_one_line_and_no_path(ask, made, query, status):
    answered, _, body = ask(f"/api/slice?{query}")
    assert answered == status
    assert len(body.splitlines()) == 1
    assert str(made.home).encode() not in body


def test_an_analysis_folder_outside_the_artifacts_is_not_served(ask, made, tmp_path):
    (tmp_path / "display.npy").write_bytes(b"secret")
    store, key = current_store(), "e" * 64
    store.record_analysis("P03-t1", key, tmp_path, store.measurements("P01")[0])
    status, _, body = ask(f"/api/slice?analysis={key}&plane=xy&index=0")
    assert status == 404
    assert b"secret" not in body
    store.detach_analysis("P03-t1")


def test_a_report_gives_its_three_files_only(ask, made):
    folder = made.home / "artifacts" / "reports" / "P01"
    folder.mkdir(parents=True)
    (folder / "report.html").write_text("<p>ours</p>", encoding="utf-8")
    (folder / "notes.txt").write_text("not ours", encoding="utf-8")
    number = current_store().add_report("P01", folder, "0" * 64)
    status, headers, body = ask(f"/api/report/report.html?donor=P01&report={number}")
    assert (status, body) == (200, b"<p>ours</p>")
    assert headers["content-disposition"] == 'attachment; filename="P01-report.html"'
    assert "default-src 'none'" in headers["content-security-policy"]
    inline = ask(f"/api/report/report.html?donor=P01&report={number}&inline=1")[1]
    assert inline["content-disposition"].startswith("inline")
    assert ask(f"/api/report/notes.txt?donor=P01&report={number}")[0] == 404
    assert ask(f"/api/report/report.html?donor=P02&report={number}")[0] == 404
    assert ask(f"/api/report/report.pdf?donor=P01&report={number}")[0] == 404


def test_health_answers_with_security_headers(ask):
    status, headers, body = ask("/api/health")
    assert status == 200
    assert b'"status":"ok"' in body
    assert headers["content-security-policy"] == page_policy()
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8501", 200),
        ("127.0.0.1:8501", 200),
        ("[::1]:8501", 200),
        ("192.168.0.7", 200),
        ("evil.example:8501", 421),
        ("", 421),
    ],
)
def test_only_our_own_names_are_answered(ask, host, status):
    assert ask("/api/health", host=host)[0] == status


def test_the_policy_names_no_other_machine():
    policy = page_policy()
    assert "http" not in policy
    assert "sha256-" in policy
    assert "'unsafe-inline'" not in policy.split("style-src")[0]


def test_options_switch_telemetry_and_clutter_off():
    options = streamlit_options("127.0.0.1", 8600)
    assert options["browser.gatherUsageStats"] is False
    assert options["server.headless"] is True
    assert options["server.enableAgentApi"] is False
    assert options["client.toolbarMode"] == "minimal"
    assert options["client.showErrorDetails"] == "none"
    assert (options["server.address"], options["server.port"]) == ("127.0.0.1", 8600)
