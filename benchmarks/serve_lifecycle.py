"""How a server starts, swaps models and ends, under load: the time, the memory, and what is lost."""

from __future__ import annotations

import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.serve_load import Answer, Caller, ask_once, request
from benchmarks.serve_process import Running, tbconv_server

SWAP_S = 30.0  # seconds that a swap may take
CLIENTS = 4
SUFFIXES = (".tflite", ".json", ".npz", ".html", ".md")  # of a bundle, what serving reads; the rest is 200 MB


@dataclass(frozen=True, slots=True)
class Start:
    """One start."""

    ready_s: float
    megabytes: float  # resident after the requests


@dataclass(frozen=True, slots=True)
class End:
    """One end under load."""

    answered: int  # 200
    refused: int  # 503 with the word to come again, or nobody listens any more
    lost: tuple[str, ...]  # what happened to the others
    exit_code: int


@dataclass(frozen=True, slots=True)
class Swap:
    """One swap under load."""

    statuses: Counter[int]
    versions: int  # that answered
    before_mb: float
    peak_mb: float
    after_mb: float
    errors: tuple[str, ...]

    @property
    def peak(self) -> float:
        """Peak memory over that before."""
        return self.peak_mb / self.before_mb


def start_once(bundle: Path, log: Path, raws: Sequence[bytes], *, requests: int, words: Sequence[str]) -> Start:
    """Start a server, ask it, and weigh it."""
    with tbconv_server(bundle, log, *words) as server:
        caller = Caller(server.port)
        for number in range(requests):
            caller.ask(raws[number % len(raws)])
        caller.close()
        return Start(server.ready_s, server.megabytes())


def end_once(bundle: Path, log: Path, raw: bytes, *, requests: int) -> End:
    """End a server with SIGTERM when so many requests were answered, while the load goes on until nobody listens."""
    with tbconv_server(bundle, log) as server, _clients(server.port, raw) as answers:
        while sum(answer.status == 200 for answer in list(answers)) < requests:
            time.sleep(0.01)
        server.process.send_signal(signal.SIGTERM)
        code = server.process.wait(timeout=60)
    known = Counter(_fate(answer) for answer in answers)
    lost = [f"{answer.status} {answer.error}" for answer in answers if _fate(answer) == "lost"]
    return End(known["answered"], known["refused"], tuple(lost), code)


def _fate(answer: Answer) -> str:
    if answer.status == 200:
        return "answered"
    told = answer.status == 503 and "retry-after" in answer.headers
    return "refused" if told or answer.error.startswith("not connected") else "lost"


def swap_once(old: Path, new: Path, folder: Path, raw: bytes, *, words: Sequence[str] = ()) -> Swap:
    """Let a second bundle land beside the one that answers, as version 2 of model `m`, under load."""
    models = folder / "models"
    _land(old, models / "m" / "1", folder)
    with tbconv_server(models, folder / "swap.log", *words) as server, server.weighed() as megabytes:
        with _clients(server.port, raw) as answers:
            time.sleep(3)
            before, first = float(np.median(megabytes[-20:])), _version(server)
            _land(new, models / "m" / "2", folder)
            end = time.monotonic() + SWAP_S
            while _version(server) == first and time.monotonic() < end:
                time.sleep(0.1)
            time.sleep(3)
        peak, after = max(megabytes), float(np.median(megabytes[-20:]))
        versions = 1 + (_version(server) != first)
    bad = tuple(f"{one.status} {one.error or one.body[:99]!r}" for one in answers if one.status != 200)
    return Swap(Counter(one.status for one in answers), versions, before, peak, after, bad)


def _land(bundle: Path, place: Path, folder: Path) -> None:
    """Copy what serving reads of a bundle, then rename it into its place, as `tbconv convert` does."""
    place.parent.mkdir(parents=True, exist_ok=True)
    copy = folder / f"arriving-{place.name}"
    copy.mkdir()
    for path in bundle.iterdir():
        if path.suffix in SUFFIXES:
            shutil.copy(path, copy)
    copy.rename(place)


def _version(server: Running) -> str:
    answer = ask_once(server.port, request("/v2/models/m", method="GET"))
    return answer.body.decode().partition('"versions":["')[2][:12]


@contextmanager
def _clients(port: int, raw: bytes) -> Iterator[list[Answer]]:
    """Ask without pause until the block ends or nobody listens."""
    answers, done = list[Answer](), threading.Event()

    def client() -> None:
        caller = Caller(port)
        while not done.is_set():
            answers.append(caller.ask(raw))
            if answers[-1].error.startswith("not connected"):
                break
        caller.close()

    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        done.set()
        for thread in threads:
            thread.join()
