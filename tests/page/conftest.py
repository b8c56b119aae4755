"""Headless Chromium in front of a real server; a console error, a blocked line or a foreign request fails any test."""

import importlib.util
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FAILED_ANSWER = "Failed to load resource"  # what Chromium logs where an answer is no 200, or none comes

_spec = importlib.util.spec_from_file_location("serving_fixtures", Path(__file__).parents[1] / "tf_serve/conftest.py")
serving = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(serving)

# the bundles, films and servers of tests/tf_serve are these tests' too
networks, make_bundle, serve = serving.networks, serving.make_bundle, serving.serve
draw_film, as_png, film = serving.draw_film, serving.as_png, serving.film


@dataclass
class Watch:
    """What a page did that it should not, and what it asked for."""

    home: str
    may_fail: bool  # answers that are no 200 belong to the test
    faults: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    answers: list[tuple[str, int]] = field(default_factory=list)

    def attach(self, page):
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.faults.append(f"error: {error}"))
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("response", lambda answer: self.answers.append((answer.url.removeprefix(self.home), answer.status)))

    def _console(self, message):
        if message.type in {"error", "warning"} and not (self.may_fail and FAILED_ANSWER in message.text):
            self.faults.append(f"{message.type}: {message.text}")

    @property
    def foreign(self):
        return [url for url in self.asked if not url.startswith((self.home, "blob:", "data:"))]


@pytest.fixture(scope="module")  # while it lives, Playwright's event loop runs in this process: no other may
def browser():
    """Chromium of this machine, or a skip that says how to get it."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUM)), None)
    if not found:
        pytest.skip("there is no Chromium on this machine: apt-get install chromium, or name it in $CHROMIUM")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is in the dev extra")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=found)
        yield started
        started.close()


@pytest.fixture
def visit(browser):
    """Return a function that opens a page of a server, watched to the end of the test."""
    opened = []

    def go(client, path="/", *, may_fail=False, **options):
        home = str(client.base_url).rstrip("/")
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
        context.set_default_timeout(15_000)
        page, watch = context.new_page(), Watch(home, may_fail)
        watch.attach(page)
        page.watch = watch
        page.goto(home + path)
        opened.append((context, watch))
        return page

    yield go
    for context, watch in opened:
        context.close()
        assert (watch.faults, watch.foreign) == ([], [])


@pytest.fixture
def films(draw_film, as_png):
    """Return a function that draws n films as a file chooser hands them over."""

    def draw(n, **size):
        return [
            {"name": f"film-{seed}.png", "mimeType": "image/png", "buffer": as_png(draw_film(seed, **size))}
            for seed in range(n)
        ]

    return draw
