"""Addresses for operators: the model repository, health and metrics."""

from __future__ import annotations

import hmac
from typing import Annotated

import anyio.to_thread
from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from tf_serve.errors import NotAllowed
from tf_serve.messages import (
    ErrorAnswer,
    IndexEntry,
    IndexRequest,
    Live,
    LoadRequest,
    ModelInfo,
    ModelState,
    ProcessorInfo,
    RepositoryRequest,
    ServerReady,
    read_message,
)
from tf_serve.models.registry import LoadedModel
from tf_serve.predict import describe_model
from tf_serve.server.engine import in_daemon_thread
from tf_serve.server.openapi import add_route
from tf_serve.server.protocols import engine_of
from tf_serve.server.upload import json_answer, read_body

# --- repository ---
# The Open Inference Protocol's repository extension: which models there are, load, unload, roll back.
#
# Whoever may replace a model decides over every answer after it, so these addresses exist only for the
# bearer of the admin token, and not at all where the server was started without one.

repository_router = APIRouter(prefix="/v2/repository", tags=["Open Inference Protocol v2: repository"])
_bearer = HTTPBearer(scheme_name="adminToken", description="--admin-token or $TBCONV_ADMIN_TOKEN", auto_error=False)


class NoToken(NotAllowed):
    """The admin token is missing or another one."""

    status = 401


async def require_admin_token(
    request: Request, given: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> None:
    """Let the bearer of the admin token pass.

    Raises:
        NotAllowed: the server has no admin token.
        NoToken: the request has none, or another.
    """
    wanted: str | None = getattr(request.app.state, "admin_token", None)
    if not wanted:
        fix = "start it with TBCONV_ADMIN_TOKEN set, or --admin-token"
        raise NotAllowed("the server has no admin token", why="so its models cannot be changed", fix=fix)
    sent = given.credentials if given else ""
    if not hmac.compare_digest(sent.encode(), wanted.encode()):  # takes as long for any token: nothing to guess by
        why = "another one came" if sent else "none came"
        raise NoToken("this address needs the admin token", why=why, fix="Authorization: Bearer TOKEN")


async def index(request: Request) -> Response:
    """List every version of every model, and why some do not answer."""
    ready = read_message(IndexRequest, await read_body(request)).ready
    rows = engine_of(request).registry.index()
    return json_answer([row for row in rows if row.state == "READY" or not ready])


async def load(request: Request) -> Response:
    """Make a version current, by default the newest that is certified; the old one answers until then."""
    parameters = read_message(LoadRequest, await read_body(request)).parameters
    version = parameters.version if parameters else None
    repository = engine_of(request).repository
    return _ready(await in_daemon_thread(lambda: repository.load(request.path_params["name"], version)))


async def unload(request: Request) -> Response:
    """Unload a model until it is loaded again."""
    read_message(RepositoryRequest, await read_body(request))
    name = request.path_params["name"]
    await anyio.to_thread.run_sync(engine_of(request).repository.unload, name)
    return json_answer(ModelState(name=name, version="", state="UNAVAILABLE"))


async def roll_back(request: Request) -> Response:
    """Make the previous version current again."""
    read_message(RepositoryRequest, await read_body(request))
    repository = engine_of(request).repository
    return _ready(await in_daemon_thread(lambda: repository.roll_back(request.path_params["name"])))


def _ready(loaded: LoadedModel) -> Response:
    return json_answer(ModelState(name=loaded.name, version=loaded.version, state="READY"))


repository_router.dependencies.append(Depends(require_admin_token))
add_route(
    repository_router,
    "POST",
    "/index",
    index,
    summary="List all models and versions",
    request=IndexRequest,
    required=False,
    answer=IndexEntry,
    many=True,
    errors=(400, 401, 403, 413, 415),
)
for word, route, message, said in (
    ("load", load, LoadRequest, "Load a model, or a version of it"),
    ("unload", unload, RepositoryRequest, "Unload a model"),
    ("rollback", roll_back, RepositoryRequest, "Go back to the previous version"),
):
    add_route(
        repository_router,
        "POST",
        f"/models/{{name}}/{word}",
        route,
        summary=said,
        request=message,
        required=False,
        answer=ModelState,
        errors=(400, 401, 403, 404, 413, 415, 503),
    )


# --- health ---
# Liveness and readiness, as the Open Inference Protocol v2 words them.

health_router = APIRouter(prefix="/v2/health", tags=["Open Inference Protocol v2"])


async def live(request: Request) -> Response:  # noqa: ARG001  (FastAPI passes it)
    """Return that the process answers; it stays true while a model loads and while the server drains."""
    return json_answer(Live(live=True))


async def ready(request: Request) -> Response:
    """Return whether films are answered, by which model, and why by the baseline if so."""
    engine = engine_of(request)
    if engine.not_ready is not None:
        return json_answer(ErrorAnswer(error=engine.not_ready), 503)
    loaded = engine.registry.get()
    model = ModelInfo(**describe_model(loaded.active, loaded.bundle.manifest))
    processor = None if loaded.processor is None else ProcessorInfo(**loaded.processor)
    return json_answer(ServerReady(ready=True, model=model, processor=processor))


add_route(health_router, "GET", "/live", live, summary="Is the process alive?", answer=Live)
add_route(health_router, "GET", "/ready", ready, summary="Are films answered?", answer=ServerReady, errors=(503,))


# --- metrics ---
# `GET /metrics`: what Prometheus fetches.

metrics_router = APIRouter()


@metrics_router.get("/metrics", include_in_schema=False)
async def metrics(request: Request) -> Response:
    """Give all metrics of the server, of every process of it."""
    metrics = engine_of(request).metrics
    metrics.write_drift()
    text, content_type = await anyio.to_thread.run_sync(metrics.text, request.headers.get("accept", ""))
    return Response(text, headers={"content-type": content_type})
