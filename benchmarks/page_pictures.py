"""Pictures of the page for docs/images: a running server's answers to drawn films, as a browser shows them.

python -m benchmarks.page_pictures http://127.0.0.1:8000 docs/images FILM... (`tbconv data phantom DIR` draws some)
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

DESKTOP = {"viewport": {"width": 1280, "height": 1040}}
WIDE = {"viewport": {"width": 1500, "height": 1000}, "color_scheme": "dark"}
PHONE = {"viewport": {"width": 360, "height": 740}}
SHEET = {"viewport": {"width": 794, "height": 1123}}  # A4 at 96 dots an inch


def answered(browser: Browser, url: str, films: list[str], look: dict[str, Any]) -> Page:
    """Open the page and wait until every film has its answer and its picture."""
    page = browser.new_page(**look)
    page.goto(url)
    page.set_input_files("#file", films)
    page.locator("#frame").wait_for()
    page.locator("#progress").wait_for(state="hidden")
    page.locator("#report .sheet canvas").first.wait_for(state="attached")
    return page


def main(url: str, out: Path, films: list[str]) -> None:
    """Draw page.png, page-many.png, page-phone.png, page-report.png and page-model.png."""
    from playwright.sync_api import sync_playwright

    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium)
        answered(browser, url, films[:1], DESKTOP).screenshot(path=out / "page.png")
        many = answered(browser, url, films, WIDE)
        many.keyboard.press("j")
        many.wait_for_timeout(500)  # the next picture is opened
        many.screenshot(path=out / "page-many.png")
        answered(browser, url, films[:1], PHONE).screenshot(path=out / "page-phone.png")
        report = answered(browser, url, films[:1], SHEET)
        report.emulate_media(media="print")
        report.locator("#report .sheet").screenshot(path=out / "page-report.png")
        model = browser.new_page(**DESKTOP)
        model.goto(f"{url}/model")
        model.locator("#main[data-ready]").wait_for()
        model.screenshot(path=out / "page-model.png")
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1].rstrip("/"), Path(sys.argv[2]), sys.argv[3:])
