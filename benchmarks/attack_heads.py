"""What clients without a token can do to a server: heads without end and their relatives, from other processes.

Health is asked on a connection of its own each time, as probes ask it, in turn without and under each attack: beside
whatever else the machine does, the two can be compared. The server has one core, all others share the rest.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file, the folder above is not searched

from benchmarks.results import RESULTS, append_rows, circumstances
from benchmarks.serve_load import Answer, ask_once, request
from benchmarks.serve_process import ALL_CORES, Running, tbconv_server

HEALTH = request("/v2/health/live", method="GET")
P99_MS, GROWTH_MB = 50.0, 20.0  # the bars, for heads from 64 connections
HEADS = ("one header", "one header, slowly", "address", "many headers")  # the rest is shown
SOME = 1 << 16  # bytes that an attacker sends at a time
DRIP_S = 0.05  # seconds between two bytes of a slow one
GET = b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\n"
POST = b"POST /api/v1/screen HTTP/1.1\r\nhost: x\r\ncontent-type: image/png\r\n"
CHUNKED = POST + b"transfer-encoding: chunked\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Attack:
    """What each connection sends: a beginning, then the same again and again."""

    begins: bytes
    repeats: bytes  # nothing: the connection is held
    pause_s: float = 0.0  # between two


ATTACKS = {
    "one header": Attack(GET + b"x: ", b"a" * SOME),
    "one header, slowly": Attack(GET + b"x: " + b"a" * (60 << 10), b"a", DRIP_S),
    "address": Attack(b"GET /", b"a" * SOME),
    "many headers": Attack(GET, b"x: y\r\n" * (SOME // 6)),
    "one trailer": Attack(CHUNKED + b"1\r\na\r\n0\r\nx: ", b"a" * SOME),
    "chunk extension": Attack(CHUNKED + b"1;", b"a" * SOME),
    "requests unread": Attack(b"", (GET + b"\r\n") * (SOME // len(GET))),
    "body without a token": Attack(POST + b"content-length: 999999999999\r\n\r\n", b"a" * SOME),
    "nothing": Attack(b"", b""),
    # no attack but a flood, which costs what requests cost: what the others are to be compared with
    "whole requests": Attack(POST + b"connection: close\r\ncontent-length: 1\r\n\r\na", b""),
}


class Connection:
    """One of an attacker's connections, which comes again when it is closed."""

    def __init__(self, port: int, attack: Attack, counted: Counter[str], *, impatient: bool) -> None:
        self._port, self._attack, self._counted, self._impatient = port, attack, counted, impatient
        self._left, self.due = b"", 0.0
        self.link: socket.socket | None = None

    def open(self, selector: selectors.BaseSelector) -> None:
        """Connect."""
        self.link = socket.socket()
        self.link.setblocking(False)
        self.link.connect_ex(("127.0.0.1", self._port))
        self._left, self.due = self._attack.begins, 0.0
        self._counted["connections"] += 1
        selector.register(self.link, selectors.EVENT_READ | selectors.EVENT_WRITE, self)

    def close(self, selector: selectors.BaseSelector) -> None:
        """Hang up."""
        if self.link is not None:
            selector.unregister(self.link)
            self.link.close()
            self.link = None

    def go_on(self, selector: selectors.BaseSelector, events: int) -> None:
        """Send what is next; close where the server has."""
        if self.link is None:
            return
        try:
            if events & selectors.EVENT_READ and (not self.link.recv(SOME) or self._impatient):
                self.close(selector)
                return
            if events & selectors.EVENT_WRITE:
                self._send(selector)
        except BlockingIOError:
            return
        except OSError:
            self.close(selector)

    def _send(self, selector: selectors.BaseSelector) -> None:
        if self.link is None:
            return
        if not self._left:
            self._left = self._attack.repeats
            if self._attack.pause_s or not self._left:
                self.due = time.monotonic() + (self._attack.pause_s or 3600)
                selector.modify(self.link, selectors.EVENT_READ, self)
                return
        sent = self.link.send(self._left)
        self._counted["bytes"] += sent
        self._left = self._left[sent:]

    def wake(self, selector: selectors.BaseSelector) -> None:
        """Send the next bytes of one that waits between two."""
        if self.link is not None and self.due and time.monotonic() > self.due:
            self.due = 0.0
            self._left = self._attack.repeats
            selector.modify(self.link, selectors.EVENT_READ | selectors.EVENT_WRITE, self)


def attack(port: int, name: str, connections: int, how: str) -> None:
    """Attack until standard input ends, then print what was done."""
    os.nice(10)  # an attacker has machines of its own; here it shares a core with what measures
    counted = Counter[str]()
    selector, done = selectors.DefaultSelector(), False
    selector.register(sys.stdin, selectors.EVENT_READ)
    all_of_them = [Connection(port, ATTACKS[name], counted, impatient=how == "impatient") for _ in range(connections)]
    for one in all_of_them:
        one.open(selector)
    while not done:
        for key, events in selector.select(0.01):
            if key.data is None:
                done = True
            else:
                key.data.go_on(selector, events)
        for one in all_of_them:
            one.wake(selector)
            if one.link is None and how != "once":
                one.open(selector)
    print(json.dumps(counted))


@contextlib.contextmanager
def attacked(port: int, name: str, connections: int, how: str) -> Iterator[Counter[str]]:
    """Attack from two processes while the block runs; what was sent is counted when it ends."""
    words = ["--attack", name, "--port", str(port), "--connections", str(connections // 2), "--how", how]
    command = [sys.executable, str(Path(__file__).resolve()), "-", *words]
    attackers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(2)]
    counted = Counter[str]()
    try:
        time.sleep(1.5)  # they import
        yield counted
    finally:
        for one in attackers:
            counted.update(json.loads(one.communicate()[0]))


def measure_health(port: int, n: int) -> list[Answer]:
    """Ask so many times, each on a new connection; fewer where that takes longer than a minute."""
    answers, end = list[Answer](), time.monotonic() + 60
    while len(answers) < n and time.monotonic() < end:
        answers.append(ask_once(port, HEALTH, timeout_s=30))
        time.sleep(0.01)
    return answers


def ms(answers: list[Answer], percentile: float) -> float:
    """Return a percentile of the milliseconds; one that was not answered took 30 s."""
    taken = [1e3 * answer.seconds if answer.status == 200 else 30e3 for answer in answers]
    return round(float(np.percentile(taken, percentile)), 1)


def serving_megabytes(server: Running) -> float:
    """Return what the processes that answer have in memory, without those in which files are tried before."""
    total = 0
    for one in server.tree():
        with contextlib.suppress(psutil.NoSuchProcess):
            if one.pid == server.process.pid or any("serve_as_worker" in word for word in one.cmdline()):
                total += one.memory_info().rss
    return total / 1e6


def measure(server: Running, name: str, connections: int, n: int, how: str) -> dict[str, object]:
    """Return one row: health without and under one attack, and the memory."""
    quiet = measure_health(server.port, n)
    before, spent = serving_megabytes(server), server.cpu_seconds()
    with server.weighed(serving_megabytes) as megabytes, attacked(server.port, name, connections, how) as counted:
        under = measure_health(server.port, n)
        spent = server.cpu_seconds() - spent
    seconds = sum(answer.seconds for answer in under) + 0.01 * len(under)
    return {
        "attack": name,
        "connections": connections,
        "how": how,
        "n": len(under),
        "quiet_p50_ms": ms(quiet, 50),
        "quiet_p99_ms": ms(quiet, 99),
        "p50_ms": ms(under, 50),
        "p99_ms": ms(under, 99),
        "lost": sum(answer.status != 200 for answer in under),
        "mb_before": round(before, 1),
        "mb_more": round(max(megabytes) - before, 1),
        "connections_a_second": round(counted["connections"] / seconds),
        "cpu_ms_a_connection": round(1e3 * spent / max(1, counted["connections"]), 2),
        "mb_sent_a_second": round(counted["bytes"] / seconds / 1e6, 1),
    }


def read_words(words: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", help="bundle that is served")
    parser.add_argument("--connections", type=int, default=64, help="of all attackers together")
    parser.add_argument("--n", type=int, default=400, help="requests of health, without and under each attack")
    parser.add_argument("--attack", action="append", choices=list(ATTACKS), help="this one alone; repeatable")
    parser.add_argument(
        "--how",
        choices=["once", "again", "impatient"],
        default="again",
        help="connect once; again when the server closes; or again at the first byte of an answer, as fast as can be",
    )
    parser.add_argument("--workers", type=int, default=1, help="of the server")
    parser.add_argument("--csv", type=Path, default=RESULTS / "attack_heads.csv", help="file for the rows")
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)  # the attacker's own: it is this script again
    return parser.parse_args(words)


def main() -> None:
    """Measure every attack and hold the bars."""
    words = read_words()
    if words.port:
        attack(words.port, words.attack[0], words.connections, words.how)
        return
    first, *rest = sorted(ALL_CORES)
    os.environ["TBCONV_TOKEN"] = "nobody-has-it"
    rows = []
    for name in words.attack or ATTACKS:
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder) / "log"
            said = ["--workers", str(words.workers), "--threads", "1"]
            with tbconv_server(Path(words.bundle), log, *said, cores=[first]) as server:
                os.sched_setaffinity(0, rest or [first])
                measure_health(server.port, 50)
                row = measure(server, name, words.connections, words.n, words.how)
                row |= {"log_kb": log.stat().st_size // 1000}
                os.sched_setaffinity(0, ALL_CORES)
        rows.append(circumstances() | row)
        print(", ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    append_rows(words.csv, rows)
    held = [row for row in rows if row["attack"] in HEADS]
    slow = [row["attack"] for row in held if float(row["p99_ms"]) >= P99_MS]
    large = [row["attack"] for row in held if float(row["mb_more"]) > GROWTH_MB]
    print(f"p99 of health < {P99_MS:.0f} ms is missed by {slow or 'none'}")
    print(f"memory of at most {GROWTH_MB:.0f} MB more is missed by {large or 'none'}")
    sys.exit(1 if slow or large else 0)


if __name__ == "__main__":
    main()
