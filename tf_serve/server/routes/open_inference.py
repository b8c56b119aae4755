"""The Open Inference Protocol v2: metadata, readiness and inference of one model, with the binary extension."""

from __future__ import annotations

from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from tbconv.contract import __version__
from tbconv.contract.manifest import TensorSpec
from tf_serve.server import openapi as schemas
from tf_serve.server.messages import DATATYPES
from tf_serve.server.protocol_v2 import json_length_of, read_infer, write_infer
from tf_serve.server.routes.common import add_route, asked_of, engine_of, json_answer, predict, read_aside
from tf_serve.server.upload import read_body

EXTENSIONS = ("binary_tensor_data", "model_repository")
PLATFORM = "litert_tflite"
router = APIRouter(prefix="/v2", tags=["Open Inference Protocol v2"])


async def server_metadata(request: Request) -> Response:  # noqa: ARG001  (FastAPI passes it)
    """Say which server this is and which extensions it speaks."""
    return json_answer({"name": "tbconv", "version": __version__, "extensions": EXTENSIONS})


async def model_metadata(request: Request) -> Response:
    """Say which versions a model has, and the tensors of the one that is asked about."""
    asked = asked_of(request)
    versions = engine_of(request).registry.versions(asked.loaded.name)
    return json_answer(
        {
            "name": asked.loaded.name,
            "versions": [one.version for one in versions],
            "platform": PLATFORM,
            "inputs": [_tensor(spec) for spec in asked.artefact.inputs],
            "outputs": [_tensor(spec) for spec in asked.artefact.outputs],
        }
    )


async def model_ready(request: Request) -> Response:
    """Say whether a model answers."""
    engine = engine_of(request)
    if engine.not_ready is not None:
        return json_answer({"error": engine.not_ready}, 503)
    return json_answer({"name": asked_of(request).loaded.name, "ready": True})


async def infer(request: Request) -> Response:
    """Answer images: logits, probability and evidence, as JSON or binary tensors."""
    with engine_of(request).admit() as seat:
        asked = asked_of(request)
        json_length = json_length_of(request.headers.get("inference-header-content-length"))
        body = await read_body(request)
        seat.arrived()
        read = partial(read_infer, body, json_length, asked.input, asked.outputs)
        message = await read_aside(read, len(body) if json_length is None else json_length, len(body))
        arrays = await predict(request, message.given, asked.loaded, seat)
    answer, headers = write_infer(message, asked.loaded, arrays)
    return Response(answer, headers=headers)


def _tensor(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": DATATYPES[spec.dtype], "shape": list(spec.shape)}


add_route(router, "GET", "", server_metadata, schemas.SERVER)
add_route(router, "GET", "/", server_metadata, None)
for place in ("/models/{name}", "/models/{name}/versions/{version}"):  # asked most, so it stands first
    add_route(router, "POST", f"{place}/infer", infer, schemas.infer(place))
for place in ("/models/{name}", "/models/{name}/versions/{version}"):
    add_route(router, "GET", place, model_metadata, schemas.v2_model(place))
    add_route(router, "GET", f"{place}/ready", model_ready, schemas.ready(place))
