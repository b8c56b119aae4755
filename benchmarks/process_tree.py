"""Time and peak memory of a program with all that it starts: the one way in which both sides are weighed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

EVERY_S = 0.2  # seconds between two looks
PSS_EVERY = 5  # looks; the kernel walks every page of a process for it
SAY_EVERY_S = 60.0  # seconds between two lines of progress


@dataclass(frozen=True, slots=True)
class Usage:
    """What a program used."""

    seconds: float
    cpu_seconds: float  # of all that ended by itself: on a busy machine it tells more than the clock
    peak_rss: int  # bytes, summed over the tree; pages that two processes share count twice
    peak_pss: int  # bytes, shared pages counted once; looked at each second, so a short peak can be missed
    exit_code: int | None  # None: stopped at the time limit
    at_peak: dict[str, int]  # RSS in bytes by program, at the highest sum


@dataclass(slots=True)
class _Peak:
    """The highest sums so far."""

    rss: int = 0
    pss: int = 0
    by_program: dict[str, int] | None = None

    def look(self, root: psutil.Process, *, with_pss: bool) -> int:
        """Look once at the tree below and with `root`; return its RSS in bytes."""
        now: dict[str, int] = {}
        pss = 0
        for process in _tree(root):
            with contextlib.suppress(psutil.Error):  # it ended between the listing and the look
                name, rss = program_of(process.cmdline()), process.memory_info().rss
                now[name] = now.get(name, 0) + rss
                pss += process.memory_full_info().pss if with_pss else 0
        total = sum(now.values())
        if total > self.rss:
            self.rss, self.by_program = total, now
        self.pss = max(self.pss, pss)
        return total


def measure(
    command: list[str],
    *,
    log: IO[str] | None,
    timeout_s: float | None = None,
    cwd: Path | None = None,
    environment: dict[str, str] | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Usage:
    """Run a program to its end or its time limit, and watch its tree.

    Args:
        command: the program and its words.
        log: takes its stdout and stderr; None leaves both on our stderr.
        timeout_s: seconds, after which the program and all that it started are killed.
        cwd: where it runs.
        environment: of the program; None hands down ours.
        say: takes a line of progress a minute.
    """
    start, cpu = time.monotonic(), _cpu_of_ended()
    out = log if log is not None else 2
    child = subprocess.Popen(
        command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
    )
    try:
        peak, stopped = _watch(child, start, timeout_s, say)
    finally:
        _end(child)
    code = None if stopped else child.returncode
    return Usage(time.monotonic() - start, _cpu_of_ended() - cpu, peak.rss, peak.pss, code, peak.by_program or {})


def program_of(command_line: list[str]) -> str:
    """Return the short name of a program: the module behind `-m`, or the names of its first two words."""
    if "-m" in command_line[:-1]:
        return command_line[command_line.index("-m") + 1]
    return " ".join(Path(word).name for word in command_line[:2]) or "(ended)"


def _watch(
    child: subprocess.Popen[bytes], start: float, timeout_s: float | None, say: Callable[[str], None]
) -> tuple[_Peak, bool]:
    root, peak, looks, said = psutil.Process(child.pid), _Peak(), 0, start
    while child.poll() is None:
        now = time.monotonic()
        if timeout_s is not None and now - start > timeout_s:
            return peak, True
        total = peak.look(root, with_pss=looks % PSS_EVERY == 0)
        looks += 1
        if now - said >= SAY_EVERY_S:
            said = now
            say(f"  {now - start:.0f} s, {total / 1e9:.2f} GB now, {peak.rss / 1e9:.2f} GB at most")
        time.sleep(EVERY_S)
    return peak, False


def _cpu_of_ended() -> float:
    """Return the CPU seconds of our children that ended, and of theirs."""
    times = os.times()
    return times.children_user + times.children_system


def _tree(root: psutil.Process) -> list[psutil.Process]:
    try:
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _end(child: subprocess.Popen[bytes]) -> None:
    """Kill what is left of the program's own session, so that no converter outlives its benchmark."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
