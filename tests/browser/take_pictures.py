"""Take the pictures of the pages for the documentation: python -m tests.browser.take_pictures.

Start `tomodx serve` on the store to show first; the first donor with a report is the case.
"""

import argparse
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.browser.test_case_page import CHROMIUM

WIDTH, HEIGHT = 1440, 950
PAGES = {"worklist": "", "cohort-page": "cohort", "new-analysis": "new_analysis"}


def take(page: Page, address: str, path: Path, height: int = HEIGHT) -> None:
    page.set_viewport_size({"width": WIDTH, "height": height})
    page.goto(address)
    page.locator(".tdx-title").wait_for()
    page.locator("[data-testid='stApp'][data-test-script-state='notRunning']").wait_for()
    page.wait_for_timeout(1500)
    page.screenshot(path=str(path))


def take_case(page: Page, base: str, donor: str, path: Path) -> None:
    """The case page with the first organelle chosen, so that a jump is seen."""
    page.set_viewport_size({"width": WIDTH, "height": 1500})
    page.goto(f"{base}/case?donor={donor}")
    page.locator(".viewer[data-ready='true']").wait_for()
    row = page.locator(".table tbody tr").first
    if row.count():
        row.click()
    page.wait_for_timeout(2500)
    page.screenshot(path=str(path))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", default="http://127.0.0.1:8501")
    parser.add_argument("--donor", required=True)
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    parser.add_argument("--all", action="store_true", help="the other pages too")
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(device_scale_factor=1)
        page.set_default_timeout(60_000)
        take_case(page, chosen.url, chosen.donor, chosen.out / "case-page.png")
        for name, address in PAGES.items() if chosen.all else ():
            take(page, f"{chosen.url}/{address}", chosen.out / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
