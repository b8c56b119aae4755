"""One load of the engine in Chromium: bit for bit Python's answers, memory over many films, milliseconds beside native.

    python -m benchmarks.browser BUNDLE FILMS [--artefact model_int8.tflite] [--number 256] [--many 1000]

Writes the page of the bundle, opens it in headless Chromium, loads the model once and screens films of a folder drawn
with seed 0; every margin and every cell of the evidence is compared with the scorer's, and all other fields with them.
Then the same films again until `--many` were screened, with the bytes of the WebAssembly memories, of the page's
JavaScript heap and the resident memory of Chromium's processes after 50 and at the end, garbage collected. Bars: all
equal; memory within 5 %; int8 at most 10 times native on one thread. A row goes to results/browser.csv.
"""

from __future__ import annotations

import argparse
import base64
import functools
import http.server
import os
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.results import RESULTS, append_rows, circumstances
from tbconv.contract.xray import FILM_SUFFIXES
from tf_serve.score.scorer import Scorer
from tf_serve.server.static_page import PageConfig, write_page

SEED = 0
FIRST = 50  # films after which memory is taken to be what it is
PAGE = """<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><meta http-equiv="Content-Security-Policy"
content="default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'; img-src data:">
<body><script type="module" src="measure.js"></script></body>"""
SCRIPT = """import { load } from "./static/engine/index.js";
globalThis.start = async () => (globalThis.model = await load("./")).proof;
globalThis.screen = async (text) => {
  const film = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0)), start = performance.now();
  const answer = await globalThis.model.screen(film).catch((error) => ({ status: error.message }));
  return [answer, performance.now() - start];
};
globalThis.ready = true;"""
MEMORIES = """const memories = [], instantiate = WebAssembly.instantiate;
WebAssembly.instantiate = async (...given) => {
  const made = await instantiate(...given);
  memories.push(...Object.values((made.instance ?? made).exports).filter((one) => one instanceof WebAssembly.Memory));
  return made;
};
globalThis.wasmBytes = () => memories.reduce((sum, one) => sum + one.buffer.byteLength, 0);"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A web host that logs nothing."""

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def resident(children_of: int) -> int:
    """Return the bytes of memory of Chromium's processes, their own pages and their share of common ones."""
    import psutil

    chromium = [one for one in psutil.Process(children_of).children(recursive=True) if "chrom" in one.name()]
    return sum(one.memory_full_info().pss for one in chromium)


def plain(answer: dict[str, Any]) -> dict[str, Any]:
    """Return an answer without its id, tuples as lists."""
    evidence = answer["evidence"] and answer["evidence"] | {"map": [list(row) for row in answer["evidence"]["map"]]}
    return {key: value for key, value in answer.items() if key != "result_id"} | {"evidence": evidence}


def measure(bundle: Path, films: list[bytes], artefact: str, many: int) -> dict[str, Any]:
    from playwright.sync_api import sync_playwright

    scorer = Scorer(bundle, artefact=artefact)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        site = Path(folder) / "site"
        written = write_page(PageConfig(bundle=bundle, out=site, artefact=artefact))
        (site / "measure.html").write_text(PAGE)
        (site / "measure.js").write_text(SCRIPT)
        handler = functools.partial(Quiet, directory=str(site))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"))
        page = browser.new_page()
        page.set_default_timeout(600_000)
        page.add_init_script(MEMORIES)
        page.goto(f"http://127.0.0.1:{server.server_address[1]}/measure.html")
        page.wait_for_function("globalThis.ready")
        start = time.perf_counter()
        proof = page.evaluate("start()")
        loaded = time.perf_counter() - start
        sizes: list[tuple[int, int, int]] = []
        tools = page.context.new_cdp_session(page)
        equal, bits, answered, browser_ms, native_ms = 0, 0, 0, [], []
        for number in range(max(many, len(films))):
            film = films[number % len(films)]
            asked, ms = page.evaluate("film => screen(film)", base64.b64encode(film).decode())
            browser_ms.append(ms)
            if number in (FIRST - 1, many - 1):
                tools.send("HeapProfiler.collectGarbage")
                heap = int(tools.send("Runtime.getHeapUsage")["usedSize"])
                sizes.append((page.evaluate("wasmBytes()"), heap, resident(os.getpid())))
            if number >= len(films):
                continue
            start = time.perf_counter()
            expected = plain(scorer.score(film).to_json())
            native_ms.append(1000 * (time.perf_counter() - start))
            same = plain(asked) == expected if asked["status"] in ("ok", "rejected") else False
            equal += same
            answered += expected["status"] == "ok"
            bits += asked.get("margin") == expected["margin"] and asked.get("evidence") == expected["evidence"]
            if not same:
                print(f"film {number}: {str(asked)[:300]} and not {str(expected)[:300]}")
        browser.close()
        server.shutdown()
    row: dict[str, Any] = {"artefact": artefact, "films": len(films), "answered": answered, "every_field_equal": equal}
    row |= {"margin_and_map_equal": bits, "golden": proof["films"], "load_s": round(loaded, 2)}
    row |= {"proof_s": round(proof["seconds"], 2), "folder_mb": round(written.bytes / 1e6, 1)}
    here, native = (statistics.median(one) for one in (browser_ms[: len(films)], native_ms))
    row |= {"screened": len(browser_ms), "browser_ms": round(here, 1), "native_ms": round(native, 1)}
    row |= {"times": round(here / native, 1)}
    if len(sizes) == 2:
        for which, name in enumerate(("wasm", "heap", "chromium")):
            row |= {
                f"{name}_mb_{at}": round(size[which] / 1e6, 1)
                for at, size in zip(("first", "last"), sizes, strict=True)
            }
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("films", type=Path)
    parser.add_argument("--artefact", default="model_int8.tflite")
    parser.add_argument("--number", type=int, default=256)
    parser.add_argument("--many", type=int, default=1000)
    parser.add_argument("--results", type=Path, default=RESULTS / "browser.csv")
    given = parser.parse_args()
    found = sorted(path for path in given.films.rglob("*") if path.suffix.lower() in FILM_SUFFIXES)
    drawn = np.random.default_rng(SEED).permutation(len(found))[: given.number]
    row = measure(given.bundle, [found[at].read_bytes() for at in drawn], given.artefact, given.many)
    print(row)
    append_rows(given.results, [circumstances() | row])


if __name__ == "__main__":
    main()
