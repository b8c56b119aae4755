"""The page without a server, in Chromium: its size, its first answer, its requests, and whether it answers offline.

    python -m benchmarks.static_page BUNDLE FILMS [--n 16] [--artefact FILE]

Writes the page of a bundle, serves it with `python -m http.server`, and opens it in a fresh profile with one film that
is dropped at once; then drops N films of the folder in the same load and counts requests. At the end the server is
stopped, the network cut, and the page loaded and asked again. A row goes to results/static_page.csv. Whether answers
are Python's is measured by benchmarks.browser.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import tbconv
from benchmarks.results import RESULTS, append_rows, circumstances
from tbconv.contract.xray.folder import FILM_SUFFIXES

PATIENCE_MS = 30 * 60_000  # of a browser that shares its cores
SEED = 0


def choose_films(folder: Path, n: int) -> list[Path]:
    """Return N films of a folder, drawn evenly of its sorted names."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in FILM_SUFFIXES)
    picked = np.random.default_rng(SEED).permutation(len(found))[:n]
    return [found[at] for at in sorted(picked)]


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def serve(folder: Path, port: int) -> subprocess.Popen[bytes]:
    """Start `python -m http.server` and wait until it answers."""
    command = [sys.executable, "-P", "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(folder)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return server
        time.sleep(0.05)
    server.kill()
    raise RuntimeError("python -m http.server does not answer")


def main(words: argparse.Namespace) -> None:
    """Measure, print and append a row."""
    from playwright.sync_api import sync_playwright

    films = choose_films(words.films, words.n)
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    begun = circumstances()
    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        written = tbconv.page(words.bundle, Path(place) / "site", artefact=words.artefact)
        port = free_port()
        server = serve(written.folder, port)
        try:
            browser = playwright.chromium.launch(executable_path=chromium)
            page = browser.new_context().new_page()
            asked: list[str] = []
            page.on("request", lambda request: asked.append(request.url))
            start = time.monotonic()
            page.goto(f"http://127.0.0.1:{port}/", timeout=PATIENCE_MS)
            page.set_input_files("#file", [str(films[0])])
            page.locator("#decision, .banner.final").first.wait_for(timeout=PATIENCE_MS)
            if page.locator(".banner.final").count():
                raise SystemExit(page.locator("#banners").inner_text())
            first_s = time.monotonic() - start
            proof = page.locator("#facts").text_content()
            page.locator("#facts", has_text="kept in this browser").wait_for(state="attached", timeout=PATIENCE_MS)
            page.locator("#clear").evaluate("(button) => button.click()")
            before = len(asked)
            start = time.monotonic()
            page.set_input_files("#file", [str(film) for film in films])
            page.locator("#progress").wait_for(state="hidden", timeout=PATIENCE_MS)
            seconds = time.monotonic() - start
            answered = page.locator("#rows button[data-state=ok], #rows button[data-state=rejected]").count()
            after = [url for url in asked[before:] if not url.startswith("blob:")]
            server.terminate()
            server.wait()
            page.context.set_offline(True)
            page.reload(timeout=PATIENCE_MS)
            page.set_input_files("#file", [str(films[0])])
            page.locator("#decision").wait_for(timeout=PATIENCE_MS)
            version = browser.version
            browser.close()
        finally:
            server.kill()
            server.wait()
    row = begun | {
        "chromium": version,
        "bundle": written.model["name"],
        "artefact": written.model["artefact"],
        "folder_mb": round(written.bytes / 1e6, 2),
        "golden": written.golden,
        "first_answer_s": round(first_s, 2),
        "films": len(films),
        "answered": answered,
        "ms_a_film": round(1000 * seconds / len(films), 1),
        "requests_after_load": len(after),
    }
    for name, value in row.items():
        print(f"{name}: {value}")
    print(proof)
    append_rows(RESULTS / "static_page.csv", [row])


def read_words(words: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.static_page", description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("films", type=Path, help="folder of films")
    parser.add_argument("--n", type=int, default=16)
    parser.add_argument("--artefact", default=None, help="TFLite file; the proposed one by default")
    return parser.parse_args(words)


if __name__ == "__main__":
    main(read_words(sys.argv[1:]))
