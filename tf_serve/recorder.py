"""The outermost layer of a request: begins its notes, and makes metrics and one log line of them when it is over."""

from __future__ import annotations

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tf_serve.metrics import Metrics
from tf_serve.request_log import write_line
from tf_serve.trace import Trace, begin

WENT_AWAY = 499  # what nginx writes for a client that did not wait
UNMATCHED = "unmatched"  # the address of no route is a stranger's text: it is kept nowhere
_METHODS = frozenset({"GET", "HEAD", "POST", "OPTIONS"})


class Recorder:
    """Notes every request, whatever becomes of it."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        trace, status = begin(), WENT_AWAY

        async def send_noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, send_noted)
        except Exception:
            status = 500
            raise
        finally:
            self._write(trace, scope, status)

    def _write(self, trace: Trace, scope: Scope, status: int) -> None:
        now = time.perf_counter()
        if trace.answered is not None:
            trace.add("encode", now - trace.answered)
        trace.add("total", now - trace.begun)
        method = scope["method"] if scope["method"] in _METHODS else "OTHER"
        route = template_of(scope)
        self._metrics.record(trace, method=method, route=route, status=status)
        write_line(trace, method=method, route=route, status=status)


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
