"""The processes that a command starts, and their end with it: after `kill -9`, and in the midst of a long call of C.

A thread in the child cannot do it: it waits for Python's lock, which a converter held for 21 s. The kernel's signal at
a parent's death cannot either: it goes by the thread that started the child, does not reach the programs that a child
starts, and is set too late by a process that still imports. So every child carries a variable, and a small process
beside the command waits for the command's end, looks for that variable in /proc and kills who has it. It is this file,
run by itself.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

VARIABLE = "TBCONV_FAMILY"
PROC = Path("/proc")
EVERY_S, EMPTY_LOOKS = 0.02, 5  # a child that was just being started shows up in a later look
LONGEST_S = 10.0  # seconds of looking: a process in the midst of a page fault on a dead disk cannot be killed
TRACKER = b"multiprocessing.resource_tracker"  # ends by itself, after it has removed the semaphores of the others
_numbers = itertools.count(1)
_lock = threading.Lock()
_started: list[tuple[int, str, int, subprocess.Popen[bytes]]] = []  # pid, name, our end of the pipe, the watcher


def family_of_child() -> dict[str, str]:
    """Return the variable of one child: its programs inherit it, so that they end with the child, too."""
    name = _family()
    return {VARIABLE: f"{name}/{next(_numbers)}"} if name else {}


@contextlib.contextmanager
def children_end_with_us() -> Iterator[None]:
    """Let every process that is started within end when this one does; the environment is as before afterwards."""
    before, own = os.environ.get(VARIABLE), family_of_child()
    os.environ.update(own)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(VARIABLE, None)
        else:
            os.environ[VARIABLE] = before


def end_family(name: str) -> int:
    """Kill every process that carries this name, or one below it; return how many there were."""
    found = 0
    for number in (entry.name for entry in PROC.iterdir() if entry.name.isdigit()):
        if int(number) == os.getpid():
            continue
        with contextlib.suppress(OSError):  # it ended meanwhile, or is another user's
            if not _carries(PROC / number, name):
                continue
            held = os.pidfd_open(int(number))  # the number may be another process's by now: it is read once more
            try:
                if _carries(PROC / number, name):
                    signal.pidfd_send_signal(held, signal.SIGKILL)
                    found += 1
            finally:
                os.close(held)
    return found


def _carries(process: Path, name: str) -> bool:
    own = f"{VARIABLE}={name}".encode()
    entries = (process / "environ").read_bytes().split(b"\0")
    mine = any(entry == own or entry.startswith(own + b"/") for entry in entries)
    return mine and TRACKER not in (process / "cmdline").read_bytes()


def _family() -> str | None:
    """Return the name that this command's children carry; the first call starts the watcher."""
    if not hasattr(os, "pidfd_open") or not (PROC / "self" / "environ").exists():
        return None  # not Linux: there a thread in the child has to do
    if inherited := os.environ.get(VARIABLE):
        return inherited  # a child itself: the command's watcher sees to all of them
    with _lock:
        for pid, name, _, watcher in _started:
            if pid == os.getpid() and watcher.poll() is None:
                return name
        name = f"{os.getpid()}-{secrets.token_hex(8)}"
        theirs, ours = os.pipe()
        try:
            watcher = subprocess.Popen(
                [sys.executable, "-I", "-S", __file__, name],
                stdin=theirs,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,  # Ctrl-C is for the command, not for who cleans up after it
            )
        finally:
            os.close(theirs)
        _started.append((os.getpid(), name, ours, watcher))
        return name


def watch(name: str) -> None:
    """Wait until the pipe of the command closes, which the kernel does at its death; then end its children."""
    select.select([0], [], [])
    end, empty = time.monotonic() + LONGEST_S, 0
    while empty < EMPTY_LOOKS and time.monotonic() < end:
        empty = 0 if end_family(name) else empty + 1
        time.sleep(EVERY_S)


if __name__ == "__main__":
    watch(sys.argv[1])
