"""A client that went away frees its place: what it waited for is not computed any more.

ASGI tells of a closed connection only whoever listens, and while a film is in the queue nobody does.
"""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Departures:
    """Listens once the body is there, and ends the request when its client has gone."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        visit = _Visit(receive)
        try:
            await self.app(scope, visit.receive, send)
        except asyncio.CancelledError:
            if not visit.went_away:
                raise
            visit.request.uncancel()
        finally:
            visit.end()


class _Visit:
    """One request and its listener."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._listener: asyncio.Task[Message] | None = None
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("ASGI runs in a task")
        self.request: asyncio.Task[object] = task
        self.went_away = False
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
            self.went_away = True
            self.request.cancel()
        return message

    def end(self) -> None:
        self._ended = True
        if self._listener is not None:
            self._listener.cancel()
