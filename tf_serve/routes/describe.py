"""How a plain route joins the OpenAPI description: FastAPI reads nothing from it, so it says everything itself.

FastAPI's own reading of arguments would cost some 20 microseconds each, that of answers more, and
it knows nothing of a body that is JSON with binary tensors behind it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from tf_serve.wire.json_body import write_json

JSON_TYPE = "application/json"
Route = Callable[..., Awaitable[Response]]


def add_route(router: APIRouter, method: str, path: str, route: Route, description: dict[str, Any] | None) -> None:
    """Add a route; without a description the OpenAPI leaves it out."""
    router.add_api_route(
        path,
        route,
        methods=[method],
        response_model=None,
        openapi_extra=description,
        include_in_schema=description is not None,
    )


def json_answer(value: Any, status: int = 200) -> Response:
    """Return an answer as JSON."""
    return Response(write_json(value), status, media_type=JSON_TYPE)
