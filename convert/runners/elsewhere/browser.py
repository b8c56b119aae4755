"""Run a TFLite file by LiteRT.js in headless Chromium: one load, film after film, over a server on loopback alone."""

from __future__ import annotations

import contextlib
import json
import mimetypes
import os
import queue
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.runners.elsewhere.environments import chromium, lean_environment, litert_js
from tbconv.contract.errors import ConversionError
from tbconv.contract.files import temporary_folder
from tbconv.family import family_of_child

PAGE = Path(__file__).with_name("page.html")
LONGEST_S = 300.0  # between two messages of the page; SwiftShader takes some seconds for a film of a ResNet50
WEBGPU = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader")  # WebGPU computed by the processor
FLAGS = (
    "--headless=new",
    "--no-first-run",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--proxy-server=direct://",
)
MESSAGES = ("opened", "film", "done", "failed")


@dataclass(frozen=True, slots=True)
class Ran:
    """What a runtime gave for the films that it ran."""

    outputs: dict[str, NDArray[Any]]  # by name, [n, ...]: of the first n films
    runtime: str  # what ran them, with its version
    whole: bool = True  # whether all operations ran where they should


@dataclass(slots=True)
class _Exchange:
    """What the page is given, and what it tells."""

    root: Path  # of LiteRT.js
    request: bytes
    file: bytes
    films: bytes
    told: queue.Queue[tuple[str, bytes]] = field(default_factory=queue.Queue)
    go_on: queue.Queue[str] = field(default_factory=queue.Queue)


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, exchange: _Exchange, *arguments: Any) -> None:
        self._exchange = exchange
        super().__init__(*arguments)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the name of the library)
        """Say nothing: the page tells what fails."""

    def do_GET(self) -> None:
        """Give the page, the file, the films, or a file of LiteRT.js."""
        exchange, name = self._exchange, self.path.partition("?")[0].lstrip("/")
        given = {"": PAGE.read_bytes(), "request": exchange.request, "file": exchange.file, "films": exchange.films}
        if name in given:
            self._answer(200, given[name], "text/html; charset=utf-8" if not name else "application/octet-stream")
            return
        place = (exchange.root / name).resolve()
        if not (place.is_relative_to(exchange.root.resolve()) and place.is_file()):
            self._answer(404, b"", "text/plain")
            return
        kind = "application/wasm" if place.suffix == ".wasm" else mimetypes.guess_type(place.name)[0]
        self._answer(200, place.read_bytes(), kind or "text/plain")

    def do_POST(self) -> None:
        """Take what the page tells; after a film it waits for whether there is time for another."""
        name, body = self.path.lstrip("/"), self.rfile.read(int(self.headers["Content-Length"]))
        if name not in MESSAGES:
            self._answer(404, b"", "text/plain")
            return
        self._exchange.told.put((name, body))
        self._answer(200, self._exchange.go_on.get().encode() if name == "film" else b"", "text/plain")

    def _answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # the browser has ended
            self.wfile.write(body)


def run_in_browser(file: Path, films: NDArray[np.uint8], *, accelerator: str, seconds: float | None) -> Ran:
    """Run films through one file, opened once.

    Args:
        file: a `.tflite` with one input of one grey film.
        films: uint8 [N, S, S].
        accelerator: `wasm` or `webgpu`.
        seconds: after which no further film is begun; None runs all.

    Raises:
        SetupError: Chromium or LiteRT.js cannot be had.
        ConversionError: the page failed, or answers no longer.
    """
    root, program = litert_js(), chromium()
    request = json.dumps({"accelerator": accelerator, "size": int(films.shape[1])}).encode()
    exchange = _Exchange(root, request, file.read_bytes(), np.ascontiguousarray(films).tobytes())
    with _served(exchange) as address, _browser(program, address, accelerator) as process:
        told = _Told(exchange, process, file.name)
        opened = json.loads(told.next("opened"))
        rows: list[dict[str, NDArray[Any]]] = []
        start = time.monotonic()
        while len(rows) < len(films):
            rows.append(_outputs_of(told.next("film"), opened["outputs"]))
            late = seconds is not None and time.monotonic() - start >= seconds
            exchange.go_on.put("stop" if late else "next")
            if late:
                break
        told.next("done")
    outputs = {name: np.concatenate([one[name] for one in rows]) for name in rows[0]}
    version = json.loads((root / "core" / "package.json").read_text("utf-8"))["version"]
    where = "WASM" if accelerator == "wasm" else f"WebGPU ({opened['adapter'] or 'unnamed adapter'})"
    # on WASM there is no accelerator that could run less than all
    return Ran(outputs, f"LiteRT.js {version} {where}, {_version(program)}", accelerator == "wasm" or opened["whole"])


def _outputs_of(body: bytes, outputs: list[dict[str, Any]]) -> dict[str, NDArray[Any]]:
    found, start = {}, 0
    for one in outputs:
        dtype, count = np.dtype(one["dtype"]).newbyteorder("<"), int(np.prod(one["shape"]))
        values = np.frombuffer(body, dtype, count, start)
        found[one["name"]] = values.reshape(one["shape"]).copy()
        start += values.nbytes
    return found


@dataclass(frozen=True, slots=True)
class _Told:
    """The messages of the page, in the order in which they must come."""

    exchange: _Exchange
    process: subprocess.Popen[bytes]
    name: str

    def next(self, wanted: str) -> bytes:
        """Return the body of the next message, which has to be of this kind."""
        until = time.monotonic() + LONGEST_S
        while True:
            try:
                kind, body = self.exchange.told.get(timeout=1.0)
                break
            except queue.Empty:
                if self.process.poll() is not None:
                    raise self._failed(f"Chromium ended with exit code {self.process.returncode}") from None
                if time.monotonic() > until:
                    raise self._failed(f"the page says nothing for {LONGEST_S:.0f} s") from None
        if kind != wanted:
            raise self._failed(body.decode(errors="replace") if kind == "failed" else f"{kind} came before {wanted}")
        return body

    def _failed(self, why: str) -> ConversionError:
        fix = "convert the run again (an open batch is refused there), or leave this target out of --where"
        return ConversionError(f"LiteRT.js cannot run {self.name}", why=why, fix=fix)


@contextlib.contextmanager
def _served(exchange: _Exchange) -> Iterator[str]:
    """Serve the page on loopback; yield its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, exchange))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://localhost:{server.server_address[1]}/"
    finally:
        exchange.go_on.put("stop")  # whoever waits for it
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def _browser(program: str, address: str, accelerator: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run Chromium with a profile of its own, which goes with it."""
    with temporary_folder("chromium") as profile:
        flags = [*FLAGS, f"--user-data-dir={profile}", *(WEBGPU if accelerator == "webgpu" else ("--disable-gpu",))]
        flags += ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium refuses root otherwise
        process = subprocess.Popen(
            [program, *flags, address],
            env=lean_environment(HOME=str(profile)) | family_of_child(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            process.wait()


def _version(program: str) -> str:
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False, env=lean_environment())
    return " ".join(done.stdout.split()[:2]) or "Chromium"
