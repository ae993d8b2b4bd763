"""The application in real headless Chromium: what a reader does with a case."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from cohorts.store import open_store
from tests.browser.fixture_store import BALLS, SHAPE, make_store

CHROMIUM = Path("/usr/bin/chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="chromium is not installed"),
]
LOCAL = {"127.0.0.1", "localhost", ""}
PATIENCE_MS = 60_000


@dataclass
class Visit:
    """A page with the requests that it made."""

    page: object
    base: str
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    made = make_store(tmp_path_factory.mktemp("home") / "tomodx")
    folder = made.home / "artifacts" / "reports" / "P01"
    folder.mkdir(parents=True)
    for name, content in (
        ("report.pdf", b"%PDF-1.4 fixture"),
        ("report.html", b"<!doctype html><title>fixture</title>"),
        ("report.json", b"{}"),
    ):
        (folder / name).write_bytes(content)
    store = open_store(made.url)
    store.add_report("P01", folder, "0" * 64)
    store.close()
    return made


@pytest.fixture(scope="module")
def server(site) -> Iterator[str]:
    port = free_port()
    start = "from app.cli import main; main()"
    command = [sys.executable, "-c", start, "--store", str(site.store_path), "serve"]
    command += ["--port", str(port), "--no-worker", "--data-root", str(site.data_root)]
    environment = {**os.environ, "TOMODX_HOME": str(site.home)}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        base = f"http://127.0.0.1:{port}"
        try:
            wait_for_health(base, process)
            yield base
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0
            assert process.stderr.read().strip() == "tomodx: stopped"
        finally:
            if process.poll() is None:
                process.kill()


def wait_for_health(base: str, process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 150
    while time.monotonic() < deadline:
        assert process.poll() is None, process.stderr.read()
        try:
            with urllib.request.urlopen(f"{base}/api/health", timeout=2) as answer:
                assert json.load(answer)["status"] == "ok"
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError("the server did not start")


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"]
        )
        yield started
        started.close()


@pytest.fixture(scope="module")
def visit(browser, server):
    """One page for all tests: opening it costs most of the time."""
    page = browser.new_page(viewport={"width": 1400, "height": 950}, accept_downloads=True)
    page.set_default_timeout(PATIENCE_MS)
    seen = Visit(page, server)
    page.on("request", lambda request: seen.requests.append(request.url))
    page.on("pageerror", lambda error: seen.errors.append(str(error)))
    yield seen
    page.close()


@pytest.fixture(autouse=True)
def quiet_and_local(visit):
    """No test may ask another machine for anything, or end in a script error."""
    yield
    outside = [url for url in visit.requests if urlsplit(url).hostname not in {*LOCAL, None}]
    assert not outside, outside
    assert not visit.errors, visit.errors


def open_viewer(visit: Visit, query: str = "donor=P01"):
    """The viewer of a case in its first state; a page already open is reset, not loaded again."""
    address = f"{visit.base}/case?{query}"
    viewer = visit.page.locator(".viewer[data-ready='true']")
    if visit.page.url == address:
        viewer.get_by_role("button", name="Reset view").click()
    else:
        visit.page.goto(address)
    viewer.wait_for()
    for plane, axis in (("xy", 0), ("xz", 1), ("zy", 2)):
        if "at=" not in query:
            wait_shown(viewer, plane, SHAPE[axis] // 2)
    return viewer


def follow_link(visit: Visit, name: str, address: str) -> None:
    """Click until the address changes: a click is lost where the list is drawn anew under it."""
    playwright = pytest.importorskip("playwright.sync_api")
    for _ in range(5):
        visit.page.get_by_role("link", name=name).click()
        try:
            visit.page.wait_for_url(address, timeout=PATIENCE_MS / 5, wait_until="commit")
        except playwright.TimeoutError:
            continue
        return
    raise AssertionError(f"the link {name} leads nowhere")


def wait_changed(viewer, plane: str, before: str) -> str:
    """The picture once it differs from what it was."""
    for _ in range(100):
        now = picture(viewer, plane)
        if now != before:
            return now
        time.sleep(0.05)
    raise AssertionError(f"the picture of plane {plane} stays as it was")


def position(viewer) -> list[int]:
    return [int(part) for part in viewer.get_attribute("data-position").split(",")]


def picture(viewer, plane: str) -> str:
    canvas = viewer.locator(f".plane[data-plane='{plane}'] canvas")
    return canvas.evaluate("canvas => canvas.toDataURL()")


def wait_shown(viewer, plane: str, index: int) -> None:
    viewer.locator(f".plane[data-plane='{plane}'][data-shown='{index}']:not(.waiting)").wait_for()


def test_a_case_opens_from_the_worklist_with_its_notices(visit):
    visit.page.goto(visit.base)
    follow_link(visit, "P01", "**/case?*")
    viewer = visit.page.locator(".viewer[data-ready='true']")
    viewer.wait_for()
    assert "Research use only" in visit.page.locator(".tdx-notice").inner_text()
    assert visit.page.locator(".tdx-simulated").inner_text() == "Simulated data"
    assert position(viewer) == [n // 2 for n in SHAPE]


def test_the_wheel_scrolls_slices_and_the_picture_changes(visit):
    viewer = open_viewer(visit)
    before = picture(viewer, "xy")
    viewer.locator(".plane[data-plane='xy'] canvas").hover()
    for _ in range(3):
        visit.page.mouse.wheel(0, 100)
    wait_shown(viewer, "xy", SHAPE[0] // 2 + 3)
    assert position(viewer)[0] == SHAPE[0] // 2 + 3
    assert picture(viewer, "xy") != before
    viewer.locator(".plane[data-plane='xy'] canvas").focus()
    visit.page.keyboard.press("PageUp")
    visit.page.keyboard.press("Shift+ArrowRight")
    wait_shown(viewer, "zy", SHAPE[2] // 2 + 10)
    assert position(viewer) == [SHAPE[0] // 2 + 2, SHAPE[1] // 2, SHAPE[2] // 2 + 10]


def test_a_click_in_one_plane_moves_the_others_and_names_what_is_there(visit):
    viewer = open_viewer(visit)
    _, (z, y, x), _ = BALLS[0]
    canvas = viewer.locator(".plane[data-plane='xy'] canvas")
    box = canvas.bounding_box()
    scale = min(box["width"] / SHAPE[2], box["height"] / SHAPE[1])
    place = {
        "x": box["width"] / 2 + (x + 0.5 - SHAPE[2] / 2) * scale,
        "y": box["height"] / 2 + (y + 0.5 - SHAPE[1] / 2) * scale,
    }
    canvas.click(position=place)
    wait_shown(viewer, "xz", y)
    wait_shown(viewer, "zy", x)
    assert position(viewer) == [z, y, x]
    viewer.locator(".found", has_text="Mitochondrion 1").wait_for()
    assert viewer.locator("tr[data-id='1']").get_attribute("aria-selected") == "true"


def test_overlay_toggle_and_opacity_change_the_picture(visit):
    viewer = open_viewer(visit)
    with_all = picture(viewer, "xy")
    viewer.locator("[data-class='mitochondrion']").uncheck()
    without = wait_changed(viewer, "xy", with_all)
    assert without != with_all
    viewer.locator("[data-control='opacity']").fill("30")
    faint = wait_changed(viewer, "xy", without)
    viewer.get_by_role("button", name="Hide all").click()
    assert wait_changed(viewer, "xy", faint) != faint


def test_an_instance_row_jumps_to_its_place(visit):
    viewer = open_viewer(visit)
    viewer.locator("tr[data-id='3']").click()
    _, centre, _ = BALLS[2]
    wait_shown(viewer, "xy", centre[0])
    assert position(viewer) == list(centre)
    assert viewer.locator(".found").inner_text() == "Alpha granule 3"
    viewer.get_by_role("tab", name="Microtubules (1)").click()
    viewer.locator("tr[data-id='1']").click()
    wait_shown(viewer, "xy", 15)
    assert position(viewer)[0] == 15


def test_an_address_leads_to_a_voxel_and_a_tomogram(visit):
    viewer = open_viewer(visit, "donor=P02&tomogram=P02-t2&at=12,20,95")
    wait_shown(viewer, "xy", 12)
    assert position(viewer) == [12, 20, 95]


def test_the_report_downloads(visit):
    open_viewer(visit)
    with visit.page.expect_download() as waiting:
        visit.page.get_by_role("link", name="PDF").click()
    download = waiting.value
    assert download.suggested_filename == "P01-report.pdf"
    assert Path(download.path()).read_bytes().startswith(b"%PDF")


def test_every_page_opens_without_error(visit):
    for name in ("Cohort", "New analysis", "Models", "Worklist"):
        visit.page.get_by_role("link", name=name, exact=True).first.click()
        visit.page.locator(".tdx-title h1", has_text=name).wait_for()
        visit.page.locator("[data-testid='stApp'][data-test-script-state='notRunning']").wait_for()
        assert visit.page.locator("[data-testid='stException']").count() == 0
        assert "Research use only" in visit.page.locator(".tdx-notice").inner_text()
