"""The HTTP of one connection: Uvicorn's parser with the limits that hold before anybody has shown a token.

The parser keeps a head until it is whole, so bytes are counted before it gets them. Bodies are bounded further in, by
`middleware.BodyLimit` and the admission queue; here they count only where no body is what comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from functools import cache
from http import HTTPStatus
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tf_serve.server.middleware import RAW

# Bytes of a request line with its headers; also of what stands between two pieces of a body sent in chunks, and of
# its trailers. Browsers and proxies stay below 16 KB; nginx takes 33 KB, Apache 8 KB a line.
MAX_HEAD = 64 << 10
MAX_HEADERS = 100  # as Apache
MAX_AHEAD = 8  # requests sent before the first of them is answered; no browser and no proxy of today sends two
# Connections of one process. A further one takes the place of the one that has been idle longest, so that holding
# connections shuts nobody out; with MAX_HEAD it bounds the heads that are not whole to 16 MB.
MAX_CONNECTIONS = 256
HEAD_S = 10.0  # seconds from the first byte, or from the connection, to the end of a head; browsers connect ahead
UNREAD_S = 30.0  # seconds in which a client has to take something of its answer
# Seconds in which a refused client can read why: closing at once would reset the connection under its answer. Nothing
# that it sends is read meanwhile and no end is sent: who attacks until the connection is closed waits, and we do not.
LINGER_S = 1.0
REFUSALS = {
    "HeadTooLarge": (431, f"the head is too large (it may have {MAX_HEAD} bytes and {MAX_HEADERS} headers)"),
    "Malformed": (400, "this is not a valid HTTP/1.1 request"),
    "TooManyConnections": (503, f"the server is busy ({MAX_CONNECTIONS} connections are being answered)"),
}
TOO_MANY_AHEAD = "TooManyAhead"  # it gets no answer: those before it are on their way


class _Refused(Exception):  # noqa: N818  (it ends the parsing of one request; nobody else meets it)
    """A limit that the parser's callbacks found."""


class BoundedProtocol(HttpToolsProtocol):
    """Uvicorn's protocol, which bounds heads, requests sent ahead, time and connections."""

    _since = 0.0  # when it began to be idle, by a finer clock than the loop's, which stands still within a turn
    _refused = False  # nothing more is read: it was refused
    _counted = 0  # bytes since a head, a piece of a body or a message last ended
    _in_body = False  # its head is whole: what looks like headers are trailers
    _head_timer: asyncio.TimerHandle | None = None
    _unread_timer: asyncio.TimerHandle | None = None

    # --- connection ---

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head; make room where there are too many connections."""
        super().connection_made(transport)
        self._since = time.monotonic()
        self._start_timer()
        if len(self.connections) > MAX_CONNECTIONS:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers."""
        self._stop_timer()
        self.resume_writing()
        super().connection_lost(exc)

    @property
    def is_idle(self) -> bool:
        """Whether no request of it is being read or answered."""
        return self._refused or self._is_answered

    @property
    def _is_answered(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    @property
    def may_ask(self) -> bool:
        """Whether its first request may still be on the way."""
        return not (self.cycle or self._refused)

    def _make_room(self) -> None:
        others = cast("set[BoundedProtocol]", self.connections) - {self}
        # All that were refused and can have read why; many at once, since under attack this is done for each newcomer.
        leaving = [one for one in others if one._refused]
        if not leaving:
            leaving = sorted((one for one in others if one.is_idle), key=lambda one: one._since)[:1]
        if not leaving:
            self._refuse("TooManyConnections")
        for one in leaving:
            self.connections.discard(cast("Any", one))  # it is lost a moment later; newcomers until then count rightly
            one.transport.abort()

    # --- bytes ---

    def data_received(self, data: bytes) -> None:
        """Take bytes; those of a further request begin a new wait."""
        if self._refused:
            return
        self._unset_keepalive_if_required()
        if self._head_timer is None and self.is_idle:
            self._start_timer()
        if self._has_no_end(data):
            self._refuse("HeadTooLarge")
        rest = memoryview(data)
        while rest and not self._refused:
            piece = rest[: MAX_HEAD - self._counted]
            rest = rest[len(piece) :]
            self._counted += len(piece)
            self._parse(piece)

    def _has_no_end(self, data: bytes) -> bool:
        """Whether this begins a head that is too large: seen at a tenth of what it costs to parse it."""
        begins = not self._counted and not self._in_body
        return begins and len(data) >= MAX_HEAD and data.rfind(b"\r\n\r\n", 0, MAX_HEAD) < 0

    def _parse(self, piece: memoryview) -> None:
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            self.cycle.keep_alive = False  # it is answered as what it was before, and what follows is not read
        except httptools.HttpParserError as error:
            known = isinstance(error.__context__, _Refused)
            self._refuse(str(error.__context__) if known else "Malformed")
        else:
            if self._counted >= MAX_HEAD:
                self._refuse("HeadTooLarge")

    def on_message_begin(self) -> None:
        """Begin a request, unless too many wait already."""
        if len(self.pipeline) >= MAX_AHEAD:
            raise _Refused(TOO_MANY_AHEAD)
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; what comes after the body is none of the request's."""
        if self._in_body:
            return
        if len(self.headers) >= MAX_HEADERS:
            raise _Refused("HeadTooLarge")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """End the wait: the rest is the body, or the answer."""
        self._stop_timer()
        self._counted = 0
        super().on_headers_complete()  # raises where the address is none
        self._in_body = True

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._counted = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        self._counted, self._in_body = 0, False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Begin to be idle, and keep nothing of a body that nobody wanted."""
        self._since = time.monotonic()
        if self.cycle.response_complete:
            self.cycle.body = bytearray()
        super().on_response_complete()
        if self._refused:
            self._pause_for_good()

    # --- time ---

    def pause_writing(self) -> None:
        """Wait for a client that does not take its answer, but not for ever."""
        super().pause_writing()
        if self._unread_timer is None:
            self._unread_timer = self.loop.call_later(UNREAD_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on: it took something."""
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None
        super().resume_writing()

    def _start_timer(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_S, self._time_out)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _time_out(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.close()

    # --- refusal ---

    def _refuse(self, kind: str) -> None:
        """Say why, read nothing more, and hang up in a moment."""
        self._refused = True
        self.parser, self.headers, self.url = cast("Any", None), [], b""  # what it had kept of the head
        self._stop_timer()
        engine = self.app_state.get("engine")
        if engine is not None:
            engine.metrics.record_refusal(kind)
        cycle = self.cycle
        if self._is_answered and not self._in_body:
            self.transport.write(_answer(kind))
        elif not (cycle.response_started or self.pipeline):  # else an answer is on its way: there is one for a request
            cycle.disconnected = True
            cycle.message_event.set()
            self.transport.write(_answer(kind))
        self._pause_for_good()
        self._head_timer = self.loop.call_later(LINGER_S, self.transport.abort)

    def _pause_for_good(self) -> None:
        with contextlib.suppress(OSError, RuntimeError):  # the client may be gone already
            self.transport.pause_reading()


@cache
def _answer(kind: str) -> bytes:
    status, why = REFUSALS[kind]
    body = json.dumps({"error": why}).encode()
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        f"content-length: {len(body)}",
        "content-type: application/json",
    ]
    lines += [f"{name.decode()}: {value.decode()}" for name, value in RAW]
    lines += ["retry-after: 1"] if status == 503 else []
    return "\r\n".join([*lines, "connection: close", "", ""]).encode() + body
