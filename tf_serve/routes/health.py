"""Liveness and readiness, as the Open Inference Protocol v2 words them."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from tf_serve.predict import describe_model
from tf_serve.routes.asking import engine_of
from tf_serve.routes.describe import add_route, json_answer
from tf_serve.wire import schemas_v2 as schemas

router = APIRouter(prefix="/v2/health", tags=["Open Inference Protocol v2"])


async def live(request: Request) -> Response:  # noqa: ARG001  (FastAPI passes it)
    """Say that the process answers; it stays true while a model loads and while the server drains."""
    return json_answer({"live": True})


async def ready(request: Request) -> Response:
    """Say whether films are answered, by which network, and why by the baseline if so."""
    engine = engine_of(request)
    if engine.not_ready is not None:
        return json_answer({"error": engine.not_ready}, 503)
    loaded = engine.registry.get()
    return json_answer({"ready": True, "model": describe_model(loaded.served, loaded.bundle.manifest)})


add_route(router, "GET", "/live", live, schemas.LIVE)
add_route(router, "GET", "/ready", ready, schemas.SERVER_READY)
