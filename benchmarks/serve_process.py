"""Servers as processes of their own: bound to a core, waited for, weighed, held while others are measured, ended."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.serve_load import Caller, request
from tbconv.contract.errors import SetupError

ROOT = Path(__file__).resolve().parents[1]
READY = "/v2/health/ready"
START_S = 60.0  # seconds that a server may take to start: peers import much
ALL_CORES = frozenset(os.sched_getaffinity(0))  # before the load binds itself to one
LOOK_S = 0.05  # seconds between two looks at memory


@dataclass(frozen=True, slots=True)
class Running:
    """A server that answers."""

    process: subprocess.Popen[bytes]
    port: int
    ready_s: float  # from its start to its first 200 of readiness
    log: Path

    def tree(self) -> list[psutil.Process]:
        """Return its processes, the first one first."""
        root = psutil.Process(self.process.pid)
        return [root, *root.children(recursive=True)]

    def megabytes(self) -> float:
        """Return what it has in memory now: resident, pages that two of its processes share counted twice."""
        total = 0
        for one in self.tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                total += one.memory_info().rss
        return total / 1e6

    def cpu_seconds(self) -> float:
        """Return the CPU seconds that its processes have used."""
        total = 0.0
        for one in self.tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                spent = one.cpu_times()
                total += spent.user + spent.system
        return total

    def send(self, number: signal.Signals) -> None:
        """Send a signal to all of its processes."""
        for one in self.tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                one.send_signal(number)

    @contextlib.contextmanager
    def awake(self) -> Iterator[None]:
        """Let it run for the block; outside of it, it is stopped and costs the others nothing."""
        self.send(signal.SIGCONT)
        try:
            yield
        finally:
            self.send(signal.SIGSTOP)

    @contextlib.contextmanager
    def weighed(self, weigh: Callable[[Running], float] | None = None) -> Iterator[list[float]]:
        """Collect its megabytes while the block runs, those of all its processes unless `weigh` takes some."""
        weigh = weigh or Running.megabytes
        found, done = [weigh(self)], threading.Event()

        def look() -> None:
            while not done.wait(LOOK_S):
                found.append(weigh(self))

        thread = threading.Thread(target=look)
        thread.start()
        try:
            yield found
        finally:
            done.set()
            thread.join()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def tbconv_server(root: Path, log: Path, *words: str, cores: Sequence[int] = ()) -> Iterator[Running]:
    """Run `tbconv serve` over a bundle or a folder of bundles."""
    port = free_port()
    command = [sys.executable, "-m", "tbconv", "serve", str(root), "--port", str(port), *words]
    with started(command, port, log, cores=cores) as running:
        yield running


@contextlib.contextmanager
def started(
    command: Sequence[str],
    port: int,
    log: Path,
    *,
    cores: Sequence[int] = (),
    ready: str = READY,
    environment: dict[str, str] | None = None,
    cwd: Path = ROOT,
) -> Iterator[Running]:
    """Run a server until the block ends.

    Args:
        command: what starts it.
        port: on which it listens then.
        log: takes what it says.
        cores: to which it is bound; none leaves it all.
        ready: the address that answers 200 when it is ready.
        environment: of the process, beside ours.
        cwd: its folder.

    Raises:
        SetupError: it ended, or was not ready in time.
    """
    start = time.monotonic()
    with log.open("w", encoding="utf-8") as file, _bound_to(cores):
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, **(environment or {})},
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    try:
        _wait(process, port, ready, log)
        yield Running(process, port, time.monotonic() - start, log)
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all that it started; some peers' workers leave its group."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for one in psutil.Process(process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextlib.contextmanager
def _bound_to(cores: Sequence[int]) -> Iterator[None]:
    """Bind this thread, and so what it starts, for the block."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores or ALL_CORES)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _wait(process: subprocess.Popen[bytes], port: int, ready: str, log: Path) -> None:
    caller, raw, end = Caller(port, timeout_s=5), request(ready, method="GET"), time.monotonic() + START_S
    while caller.ask(raw).status != 200:
        if process.poll() is not None or time.monotonic() > end:
            last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
            raise SetupError("a server did not start", why=" / ".join(last), fix=f"read {log}")
        time.sleep(0.01)
    caller.close()
