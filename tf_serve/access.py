"""What stands between a network and the routes: the token, the size of bodies, other sites, names of the host."""

from __future__ import annotations

import hmac

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tf_serve.deployment import Deployment
from tf_serve.refusals import Busy, NotAllowed, TooLarge
from tf_serve.trace import note_error

# Answers, metrics and what describes models need the token. Open stay: what probes ask, the pages and their
# files, which ask for the token themselves; the repository has a token of its own.
CLOSED = ("/api/", "/v1/", "/v2/", "/v2", "/metrics", "/openapi.json")
OPEN = ("/v2/health/", "/v2/repository/")
PREFLIGHT_S = 600  # seconds for which a browser remembers that it may ask


def protect(app: Starlette, deployment: Deployment) -> None:
    """Put the layers that a deployment asks for around the routes; each costs nothing where it is off."""
    app.add_middleware(BodyLimit, limit=deployment.max_body)
    if deployment.token is not None:
        app.add_middleware(NeedsToken, token=deployment.token)
    if deployment.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=deployment.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["authorization", "content-type", "inference-header-content-length"],
            expose_headers=["retry-after", "inference-header-content-length", "x-model-version", "x-model-kind"],
            max_age=PREFLIGHT_S,
        )
    if deployment.hosts:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(deployment.hosts), www_redirect=False)


BODIES = 4  # bodies of the largest size that may be in memory at once: 128 MB, where a host has 512


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
            if self._held > BODIES * self._limit:
                raise Busy("too many bytes are on the way", why="memory is bounded", fix="ask again in a second")
            return message

        try:
            await self.app(scope, receive_bounded, send)
        finally:
            self._held -= came

    def _too_large(self) -> TooLarge:
        what = f"a request may have {self._limit} bytes"
        return TooLarge(what, why="the server was started so", fix="send the film smaller, or start with --max-body")


class NeedsToken:
    """Answers whoever bears the token, and nobody else."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app = app
        self._wanted = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, or refuse it before its body is read."""
        if scope["type"] != "http" or not is_closed(scope["path"]) or self._bears_it(scope):
            await self.app(scope, receive, send)
            return
        why, fix = "none came, or another one", "Authorization: Bearer TOKEN"
        error = NotAllowed("this address needs the token", why=why, fix=fix)
        note_error(error)
        answer = JSONResponse({"error": error.one_line}, 401, headers={"www-authenticate": "Bearer"})
        await answer(scope, receive, send)

    def _bears_it(self, scope: Scope) -> bool:
        scheme, _, sent = Headers(scope=scope).get("authorization", "").partition(" ")
        # takes as long for any token: nothing to guess by
        return scheme.lower() == "bearer" and hmac.compare_digest(sent.strip().encode(), self._wanted)


def is_closed(path: str) -> bool:
    """Whether an address needs the token."""
    return path.startswith(CLOSED) and not path.startswith(OPEN)


def _length(scope: Scope) -> int:
    return int(Headers(scope=scope).get("content-length") or 0)  # the HTTP parser saw to it that it is a number
