"""`GET /metrics`: what Prometheus fetches."""

from __future__ import annotations

import anyio.to_thread
from fastapi import APIRouter, Request
from fastapi.responses import Response

from tf_serve.routes.asking import engine_of

router = APIRouter()


@router.get("/metrics", include_in_schema=False)
async def metrics(request: Request) -> Response:
    """Give all metrics of the server, of every process of it."""
    metrics = engine_of(request).metrics
    metrics.write_drift()
    text, content_type = await anyio.to_thread.run_sync(metrics.text, request.headers.get("accept", ""))
    return Response(text, headers={"content-type": content_type})
