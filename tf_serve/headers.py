"""Headers of every answer: nothing is stored, nothing is loaded from another host."""

from __future__ import annotations

from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

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
    """Adds the headers to whatever the application answers; while the server leaves, also that it does."""

    def __init__(self, app: ASGIApp, leaving: Callable[[], bool] = lambda: False) -> None:
        self.app = app
        self._leaving = leaving

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [pair for pair in message.get("headers", ()) if pair[0] not in _NAMES]
                # a client that is told so opens its next connection elsewhere, and none is cut under a request
                message["headers"] = [*kept, *RAW, *((_CLOSE,) if self._leaving() else ())]
            await send(message)

        await self.app(scope, receive, send_safely)
