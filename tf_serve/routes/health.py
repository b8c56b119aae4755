"""Liveness and readiness, as the Open Inference Protocol v2 words them."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from tf_serve.engine import Engine
from tf_serve.predict import describe_model

router = APIRouter(prefix="/v2/health")


@router.get("/live")
async def live() -> dict[str, bool]:
    """Say that the process answers; it stays true while the model loads."""
    return {"live": True}


@router.get("/ready")
async def ready(request: Request) -> JSONResponse:
    """Say whether films are answered, by which network, and why by the baseline if so."""
    engine: Engine = request.app.state.engine
    if engine.opened is None:
        return JSONResponse({"error": engine.not_ready}, 503)
    model = describe_model(engine.opened.served, engine.opened.bundle.manifest)
    return JSONResponse({"ready": True, "model": model})
