"""Pages without a server: a plain web host for the folders of `tbconv page`, and a browser that opens them."""

import contextlib
import functools
import http.server
import importlib.util
import json
import re
import threading
from pathlib import Path

import pytest

from tbconv.contract.files import sha256_file

_spec = importlib.util.spec_from_file_location("page_fixtures", Path(__file__).parents[1] / "conftest.py")
page_fixtures = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(page_fixtures)
Watch, serving = page_fixtures.Watch, page_fixtures.serving

# the bundles of tests/tf_serve that can prove themselves in a browser, and the engine that is none
provable_bundle, no_engine = serving.provable_bundle, serving.no_engine


PATIENCE_MS = 60_000  # a browser that shares two cores with other tests starts a network slowly


@pytest.fixture
def relisted():
    """Return a function that changes site.json and lets the pages and the service worker hold its new digest."""

    def change_listing(site, change):
        listing = json.loads((site / "site.json").read_text())
        change(listing)
        (site / "site.json").write_text(json.dumps(listing))
        for name in ("index.html", "model.html", "service-worker.js"):
            text = (site / name).read_text()
            old = re.search(r'(?:tbconv-site" content="|SITE = ")([0-9a-f]{64})', text)[1]
            (site / name).write_text(text.replace(old, sha256_file(site / "site.json")))
        return site

    return change_listing


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


class Host:
    """A plain web host, as `python -m http.server` is one, that can be stopped and started at its address."""

    def __init__(self, folder):
        self.folder, self._port = folder, 0
        self.start()

    def start(self):
        handler = functools.partial(_Quiet, directory=str(self.folder))
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", self._port), handler)
        self._port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self):
        return f"http://127.0.0.1:{self._port}/"


@pytest.fixture
def patient():
    """Let expectations of a page wait as long as its timeouts do."""
    expect = pytest.importorskip("playwright.sync_api", reason="playwright is in the dev extra").expect
    expect.set_options(timeout=PATIENCE_MS)
    yield
    expect.set_options(timeout=None)


@pytest.fixture
def host():
    """Return a function that serves a folder until the test ends."""
    started = []

    def serve(folder):
        started.append(Host(folder))
        return started[-1]

    yield serve
    for one in started:
        with contextlib.suppress(OSError):
            one.stop()


@pytest.fixture
def open_page(browser, patient):
    """Return a function that opens a page of a host in a profile of its own, watched to the end of the test."""
    opened = []

    def go(url, path="", *, may_fail=False, ready=True, context=None, **options):
        known = context is not None
        context = context or browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
        context.set_default_timeout(PATIENCE_MS)
        page, watch = context.new_page(), Watch(url.rstrip("/"), may_fail)
        watch.attach(page)
        page.watch = watch
        page.goto(url + path)
        opened.append((None if known else context, watch))
        if ready:
            page.locator("#facts dt").first.wait_for(state="attached")
        return page

    yield go
    for context, watch in opened:
        if context:
            context.close()
        assert (watch.faults, watch.foreign) == ([], [])
