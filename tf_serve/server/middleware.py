"""ASGI middleware: access, response headers, cancellation, and the record of every request."""

from __future__ import annotations

import asyncio
import hmac
import time
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tf_serve.errors import Busy, NotAllowed, TooLarge
from tf_serve.settings import MB, Settings, is_prefix
from tf_serve.telemetry.logs import write_line
from tf_serve.telemetry.metrics import Metrics
from tf_serve.telemetry.spans import Spans
from tf_serve.telemetry.trace import Trace, record_error, start_trace

# --- access ---
# What stands between a network and the routes: the token, the size of bodies, other sites, names of the host.

# Answers, metrics and what describes models need the token. Open stay: health, the pages and their
# files, which prompt for the token themselves; the repository has a token of its own.
RPC = "/inference.GRPCInferenceService/"  # before the names of gRPC's methods
CLOSED = ("/api/", "/v1/", "/v2/", "/v2", "/metrics", "/openapi.json", RPC)
OPEN = ("/v2/health/", "/v2/repository/", f"{RPC}ServerLive", f"{RPC}ServerReady")
PREFLIGHT_S = 600  # seconds for which a browser remembers that it may ask


def protect(app: Starlette, settings: Settings) -> None:
    """Put the layers that the settings ask for around the routes; a layer that is off costs nothing."""
    app.add_middleware(BodyLimit, limit=settings.max_body)
    if settings.token is not None:
        app.add_middleware(TokenAuth, token=settings.token)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["authorization", "content-type", "inference-header-content-length"],
            expose_headers=["retry-after", "inference-header-content-length", "x-model-version", "x-model-kind"],
            max_age=PREFLIGHT_S,
        )
    if settings.hosts:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(settings.hosts), www_redirect=False)


BODIES = 4  # bodies of the largest size that may be in memory at once
MOST_HELD = 128 * MB  # bytes of all bodies at once, where a host has 512 MB: sixteen films of 7 MB, two of 64


class BodyLimit:
    """Stops a body that grows beyond its limit, said so or not.

    Starlette's own answers such a request in plain text; clients of the protocols read `{"error": ...}`.
    """

    def __init__(self, app: ASGIApp, limit: int) -> None:
        """Keep the limit.

        Args:
            app: what is within.
            limit: bytes.
        """
        self.app = app
        self._limit = limit
        self._held = 0  # bytes of all bodies that are here now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self.app(scope, receive, send)
            return
        said, came = _length(scope), 0

        async def receive_bounded() -> Message:
            nonlocal came
            if said > self._limit:
                raise self._too_large()
            message = await receive()
            size = len(message.get("body", b""))
            came, self._held = came + size, self._held + size
            if came > self._limit:
                raise self._too_large()
            if self._held > max(self._limit, min(BODIES * self._limit, MOST_HELD)):
                raise Busy("too many bytes are on the way", why="memory is bounded", fix="try again in a second")
            return message

        try:
            await self.app(scope, receive_bounded, send)
        finally:
            self._held -= came

    def _too_large(self) -> TooLarge:
        what = f"a request may have {self._limit} bytes"
        return TooLarge(what, why="the server was started so", fix="send the film smaller, or start with --max-body")


class TokenAuth:
    """Refuses requests without the bearer token."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app = app
        self._wanted = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, or refuse it before its body is read."""
        if scope["type"] != "http" or not needs_token(scope["path"]) or self._has_token(scope):
            await self.app(scope, receive, send)
            return
        why, fix = "none came, or another one", "Authorization: Bearer TOKEN"
        error = NotAllowed("this address needs the token", why=why, fix=fix)
        record_error(error)
        answer = JSONResponse({"error": error.one_line}, 401, headers={"www-authenticate": "Bearer"})
        await answer(scope, receive, send)

    def _has_token(self, scope: Scope) -> bool:
        scheme, _, sent = Headers(scope=scope).get("authorization", "").partition(" ")
        # takes as long for any token: nothing to guess by
        return scheme.lower() == "bearer" and hmac.compare_digest(sent.strip().encode(), self._wanted)


def needs_token(path: str) -> bool:
    """Whether an address needs the token."""
    return path.startswith(CLOSED) and not path.startswith(OPEN)


def _length(scope: Scope) -> int:
    return int(Headers(scope=scope).get("content-length") or 0)  # the HTTP parser saw to it that it is a number


# --- headers ---
# Headers of every answer: nothing is stored, nothing is loaded from another host.

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


RAW = tuple((name.encode(), value.encode()) for name, value in HEADERS.items())
_NAMES = frozenset(name for name, _ in RAW)
_CLOSE = (b"connection", b"close")


class SafeHeaders:
    """Adds the headers to whatever the application answers; while the server drains, also `connection: close`."""

    def __init__(self, app: ASGIApp, draining: Callable[[], bool] = lambda: False) -> None:
        self.app = app
        self._draining = draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [pair for pair in message.get("headers", ()) if pair[0] not in _NAMES]
                # the client then opens its next connection elsewhere, and none is cut during a request
                message["headers"] = [*kept, *RAW, *((_CLOSE,) if self._draining() else ())]
            await send(message)

        await self.app(scope, receive, send_safely)


# --- path prefix ---
# A proxy may have put the server below a path: `--root-path` says so, or the proxy by X-Forwarded-Prefix.

_KEY = "tbconv.prefix"  # of a request's scope


class PathPrefix:
    """Takes the prefix off an address, where the proxy has not, and keeps it for the links of the pages."""

    def __init__(self, app: ASGIApp, prefix: str = "") -> None:
        """Keep the prefix.

        Args:
            app: what is within; it sees addresses without the prefix, and decides by these alone.
            prefix: "/xray", as settings have checked it; empty where only proxies may name one.
        """
        self.app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        if scope["type"] == "http" and (prefix := self._prefix or _forwarded(scope)):
            scope[_KEY] = prefix
            rest = scope["path"].removeprefix(prefix)
            if rest != scope["path"] and rest[:1] in ("", "/"):
                scope["path"] = rest or "/"
        await self.app(scope, receive, send)


def prefix_of(scope: Scope) -> str:
    """Return the path below which this server's addresses begin for the client; usually empty."""
    return str(scope.get(_KEY, ""))


def _forwarded(scope: Scope) -> str:
    # a client may send it, too: it then gets links that lead nowhere, in an answer that nobody stores
    said = Headers(scope=scope).get("x-forwarded-prefix", "").split(",")[0].strip().rstrip("/")
    return said if is_prefix(said) else ""


# --- HEAD ---


class HeadAsGet:
    """Answers HEAD as GET (RFC 9110, 9.3.2), of which the HTTP server sends the head alone: FastAPI answers 405."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return
        got = {**scope, "method": "GET"}  # a copy: the HTTP server looks into its own when the body comes
        try:
            await self.app(got, receive, send)
        finally:
            if "route" in got:  # what the recorder names
                scope["route"] = got["route"]


# --- cancellation ---
# A client that disconnects frees its slot: its answer is not computed any more.
#
# ASGI reports a closed connection only to a task that receives, and while a film is in the queue none does.


class CancelOnDisconnect:
    """Watches the connection once the body is there, and cancels the request when its client disconnects."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        listener = _DisconnectListener(receive)
        try:
            await self.app(scope, listener.receive, send)
        except asyncio.CancelledError:
            if not listener.disconnected:
                raise
            listener.request.uncancel()
        finally:
            listener.end()


class _DisconnectListener:
    """One request and its listener."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._listener: asyncio.Task[Message] | None = None
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("ASGI runs in a task")
        self.request: asyncio.Task[object] = task
        self.disconnected = False
        self._ended = False

    async def receive(self) -> Message:
        if self._listener is not None:
            return await asyncio.shield(self._listener)
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            self._listener = asyncio.create_task(self._listen())
        return message

    async def _listen(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect" and not self._ended:
            self.disconnected = True
            self.request.cancel()
        return message

    def end(self) -> None:
        self._ended = True
        if self._listener is not None:
            self._listener.cancel()


# --- recorder ---
# The outermost layer of a request: begins its notes, and makes metrics and one log line of them when it is over.

CLIENT_CLOSED_REQUEST = 499  # what nginx writes for a client that did not wait
UNMATCHED = "unmatched"  # the address of no route is a stranger's text: it is kept nowhere
_METHODS = frozenset({"GET", "HEAD", "POST", "OPTIONS"})


class RequestRecorder:
    """Notes every request, whatever becomes of it."""

    def __init__(self, app: ASGIApp, metrics: Metrics, spans: Callable[[], Spans | None] = lambda: None) -> None:
        """Keep where notes go.

        Args:
            app: what is within.
            metrics: gets every request.
            spans: what sends spans of them, once the server runs; None where nobody wants them.
        """
        self.app = app
        self._metrics = metrics
        self._spans = spans

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        trace, status = start_trace(keep_stages=self._spans() is not None), CLIENT_CLOSED_REQUEST

        async def send_recorded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, send_recorded)
        except Exception:
            status = 500
            raise
        finally:
            self._write(trace, scope, status)

    def _write(self, trace: Trace, scope: Scope, status: int) -> None:
        now = time.perf_counter()
        if trace.answered is not None:
            trace.add("encode", now - trace.answered)
        trace.seconds["total"] = now - trace.begun
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        route = template_of(scope)
        self._metrics.record(trace, method=method, route=route, status=status)
        write_line(trace, method=method, route=route, status=status)
        spans = self._spans()
        if spans is not None:
            spans.record(trace, Headers(scope=scope), method=method, route=route, status=status)


def template_of(scope: Scope) -> str:
    """Return the route's template, `/v2/models/{name}`: never what a client put into it."""
    route = scope.get("route")
    if route is not None:
        return str(getattr(route, "path", UNMATCHED))
    return (
        "/static"
        if scope.get("root_path", "").endswith("/static") or scope["path"].startswith("/static/")
        else UNMATCHED
    )
