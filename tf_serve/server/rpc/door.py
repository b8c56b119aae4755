"""gRPC's server in the event loop of HTTP's: it hands each call to an ASGI application, and its answer back.

A call's message is received when the application asks for its body and not before, as over HTTP: who shows no token,
or finds the queue full, is refused unread.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import grpc
from fastapi import FastAPI

from tbconv.contract.errors import SetupError
from tf_serve.errors import RETRY_AFTER_S
from tf_serve.server.connection import MAX_CONNECTIONS
from tf_serve.server.middleware import MOST_HELD, RPC
from tf_serve.server.rpc.routes import METHODS, router
from tf_serve.server.rpc.schema import SERVICE
from tf_serve.settings import MB, Settings

# A message arrives whole in gRPC's own memory, so its bytes cannot be counted as they come, as HTTP's are: this many
# have room at once. 32 films as float32 tensors are 6.4 MB; what is larger goes over HTTP.
MAX_MESSAGE = 16 * MB
AT_ONCE = MOST_HELD // MAX_MESSAGE
IDLE_MS = 300_000  # until an unused connection is closed
DRAIN_S = 25.0  # for calls that were accepted, as HTTP's
CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.ABORTED,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    415: grpc.StatusCode.INVALID_ARGUMENT,
    503: grpc.StatusCode.UNAVAILABLE,  # the code at which clients try again
}
PASSED_ON = frozenset({"authorization", "traceparent", "tracestate"})  # of a call's metadata
_log = logging.getLogger("grpc")


@asynccontextmanager
async def opened(app: FastAPI, settings: Settings) -> AsyncIterator[int]:
    """Answer calls with an application, and give the port; at the end calls that were accepted are finished.

    Raises:
        SetupError: the port is taken.
    """
    app.include_router(router)
    reading = asyncio.Semaphore(AT_ONCE)
    handlers = {
        name: grpc.stream_unary_rpc_method_handler(partial(_answer, app, (verb, f"{RPC}{name}"), reading))
        for name, verb in METHODS.items()
    }
    server = grpc.aio.server(
        options=[
            ("grpc.so_reuseport", 1),  # one socket a worker; `process.hold_port` saw to it that it is ours
            ("grpc.max_receive_message_length", min(settings.max_body, MAX_MESSAGE)),
            ("grpc.max_connection_idle_ms", IDLE_MS),
            # a few bytes could unpack to gigabytes
            ("grpc.compression_enabled_algorithms_bitset", 1),
            ("grpc.enable_per_message_decompression", 0),
        ],
        maximum_concurrent_rpcs=MAX_CONNECTIONS,
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    try:
        port = server.add_insecure_port(settings.grpc_address)
    except RuntimeError as error:
        what, fix = f"cannot listen on {settings.grpc_address}", "another --grpc-port: 0 takes any free one"
        raise SetupError(what, why=str(error), fix=fix) from error
    await server.start()
    try:
        yield port
    finally:
        await server.stop(DRAIN_S)


async def _answer(
    app: FastAPI, address: tuple[str, str], reading: asyncio.Semaphore, _messages: Any, context: Any
) -> bytes:
    """Answer one call; it is cancelled, and gives its slot back, when its client goes or its deadline passes."""
    call = _Call(*address, reading, context)
    try:
        await app(call.scope, call.receive, call.send)
    except Exception:
        if call.status != 500:  # nothing was said of it yet
            raise
        _log.exception("an error of the program while it answered a call")
    if call.status == 200:
        return bytes(call.body)
    again = (("grpc-retry-pushback-ms", str(1000 * RETRY_AFTER_S)),) if call.retry else ()
    await context.abort(CODES.get(call.status, grpc.StatusCode.INTERNAL), call.error, again)
    raise AssertionError("abort raises")


class _Call:
    """One call, as an ASGI request."""

    def __init__(self, verb: str, path: str, reading: asyncio.Semaphore, context: Any) -> None:
        self._reading, self._context, self._read = reading, context, False
        self.status, self.body, self.retry = 500, bytearray(), False
        sent = context.invocation_metadata() or ()
        self.scope: MutableMapping[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "2",
            "method": verb,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in sent if name in PASSED_ON],
            "client": None,
            "server": None,
            "state": {},
        }

    @property
    def error(self) -> str:
        """What the application says went wrong."""
        try:
            return str(json.loads(self.body)["error"])
        except (ValueError, KeyError, TypeError):
            return "internal server error"

    async def receive(self) -> dict[str, Any]:
        """Receive the message, the only one of its call."""
        if self._read:
            await asyncio.Event().wait()  # a client that goes cancels this task
        self._read = True
        async with self._reading:
            message = await self._context.read()
        return {"type": "http.request", "body": b"" if message is grpc.aio.EOF else message, "more_body": False}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Keep the answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.retry = any(name == b"retry-after" for name, _ in message.get("headers", ()))
        else:
            self.body += message.get("body", b"")
