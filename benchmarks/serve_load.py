"""Load from this process on one in another: requests as bytes on plain sockets, answers with their times.

No client library stands between the clock and the socket, and one that is torn, slow or hostile is as easy
to send as a good one. Closed loops measure what a server can do; open loops what it does when more comes.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

TIMEOUT_S = 60.0  # longer than a full queue takes
Send = Callable[[socket.socket, bytes], None]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for one request."""

    status: int  # 0: nothing did
    seconds: float  # from before the first byte went out to the last that came in
    at: float  # time.monotonic() when it was sent
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    error: str = ""  # why nothing came


def request(path: str, body: bytes = b"", *, method: str = "POST", **headers: str) -> bytes:
    """Return a request as bytes; underscores in names of headers become hyphens."""
    lines = [f"{method} {path} HTTP/1.1", "host: localhost", f"content-length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def infer_request(model: str, model_input: NDArray[np.uint8]) -> bytes:
    """Return a request of the Open Inference Protocol with one film, uint8 [224, 224], as a binary tensor."""
    data = model_input.tobytes()
    return _infer(model, {"datatype": "UINT8", "shape": [1, *model_input.shape, 1]}, data)


def infer_film_request(model: str, film: bytes) -> bytes:
    """Return the same with the whole file of a film as BYTES."""
    return _infer(model, {"datatype": "BYTES", "shape": [1]}, len(film).to_bytes(4, "little") + film)


def _infer(model: str, tensor: dict[str, object], data: bytes) -> bytes:
    told = {"name": "image", **tensor, "parameters": {"binary_data_size": len(data)}}
    head = json.dumps({"inputs": [told], "parameters": {"binary_data_output": True}}).encode()
    kind = "application/octet-stream"
    return request(
        f"/v2/models/{model}/infer",
        head + data,
        content_type=kind,
        inference_header_content_length=str(len(head)),
    )


class Caller:
    """One client that keeps its connection."""

    def __init__(self, port: int, *, timeout_s: float = TIMEOUT_S) -> None:
        self._port, self._timeout_s = port, timeout_s
        self._socket: socket.socket | None = None

    def ask(self, raw: bytes, *, send: Send = socket.socket.sendall) -> Answer:
        """Send a request and wait for its answer; status 0 and the reason where none comes."""
        start = time.monotonic()
        try:
            if self._socket is None:
                self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=self._timeout_s)
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            return Answer(0, time.monotonic() - start, start, error=f"not connected: {error}")
        try:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                send(self._socket, raw)  # a server that refuses may close before it has read everything
            status, headers, body = _receive(self._socket)
        except (OSError, ValueError) as error:
            self.close()
            return Answer(0, time.monotonic() - start, start, error=f"{type(error).__name__}: {error}")
        if headers.get("connection") == "close":
            self.close()
        return Answer(status, time.monotonic() - start, start, headers, body)

    def close(self) -> None:
        """Hang up."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None


def ask_once(port: int, raw: bytes, *, send: Send = socket.socket.sendall, timeout_s: float = TIMEOUT_S) -> Answer:
    """Send one request on a connection of its own."""
    caller = Caller(port, timeout_s=timeout_s)
    try:
        return caller.ask(raw, send=send)
    finally:
        caller.close()


def _receive(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    got = b""
    while b"\r\n\r\n" not in got:
        got += _more(connection)
    head, _, body = got.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if headers.get("transfer-encoding") == "chunked":
        while not body.endswith(b"0\r\n\r\n"):
            body += _more(connection)
    while len(body) < int(headers.get("content-length", 0)):
        body += _more(connection)
    return int(first.split()[1]), headers, body


def _more(connection: socket.socket) -> bytes:
    if not (chunk := connection.recv(1 << 16)):
        raise ConnectionError("the connection was closed without an answer")
    return chunk


def closed_loop(port: int, raw: bytes, *, requests: int, clients: int) -> list[Answer]:
    """Ask so many times, each client as soon as it has its answer."""
    left, lock, answers = iter(range(requests)), threading.Lock(), list[Answer]()

    def client() -> None:
        caller = Caller(port)
        while True:
            with lock:
                if next(left, None) is None:
                    break
            answers.append(caller.ask(raw))
        caller.close()

    _side_by_side([client] * clients)
    return answers


def open_loop(port: int, raw: bytes, *, rate: float, seconds: float, clients: int = 64, seed: int = 0) -> list[Answer]:
    """Ask at random moments, however many are unanswered.

    Args:
        port: of the server.
        raw: the request.
        rate: requests a second, mean of a Poisson process.
        seconds: how long.
        clients: how many may be unanswered at a time.
        seed: of the moments.
    """
    gaps = np.random.default_rng(seed).exponential(1 / rate, int(rate * seconds))
    begin = time.monotonic() + 0.1
    moments, lock, answers = iter((begin + np.cumsum(gaps)).tolist()), threading.Lock(), list[Answer]()

    def client() -> None:
        caller = Caller(port)
        while True:
            with lock:
                moment = next(moments, None)
            if moment is None:
                break
            time.sleep(max(0.0, moment - time.monotonic()))
            answers.append(caller.ask(raw))
        caller.close()

    _side_by_side([client] * clients)
    return answers


def _side_by_side(work: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=one) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@contextlib.contextmanager
def polled(port: int, path: str, *, every_s: float = 0.02) -> Iterator[list[Answer]]:
    """Ask an address again and again in a thread of its own while the block runs."""
    answers, done = list[Answer](), threading.Event()

    def poll() -> None:
        caller, raw = Caller(port), request(path, method="GET")
        while not done.wait(every_s):
            answers.append(caller.ask(raw))
        caller.close()

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        yield answers
    finally:
        done.set()
        thread.join()
