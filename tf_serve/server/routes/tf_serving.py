"""TensorFlow Serving's REST API: status, metadata and prediction of one model."""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter, Request
from fastapi.responses import Response

from tbconv.contract.reporting import DISCLAIMER
from tf_serve.models.registry import LoadedModel
from tf_serve.server import openapi as schemas
from tf_serve.server.protocol_v1 import describe_signature, describe_status, read_predict, write_predict
from tf_serve.server.routes.common import (
    JSON_TYPE,
    add_route,
    asked_of,
    engine_of,
    json_answer,
    predict,
    read_in_thread,
)
from tf_serve.server.upload import read_body

router = APIRouter(prefix="/v1", tags=["TensorFlow Serving REST"])


async def model_status(request: Request) -> Response:
    """Say which versions of a model answer: all of them, or the one that the address names."""
    asked = asked_of(request)
    named = {"version", "label"} & set(request.path_params)
    versions = (asked.loaded,) if named else engine_of(request).registry.versions(asked.loaded.name)
    return json_answer(describe_status(versions))


async def model_metadata(request: Request) -> Response:
    """Give a model's signature."""
    asked = asked_of(request)
    return json_answer(describe_signature(asked.loaded, asked.artefact.inputs, asked.artefact.outputs))


async def predict_rows_or_columns(request: Request) -> Response:
    """Answer rows with rows, columns with columns."""
    with engine_of(request).admit() as slot:
        asked = asked_of(request)
        body = await read_body(request)
        slot.arrived()
        message = await read_in_thread(partial(read_predict, body, asked.input), len(body))
        arrays = await predict(request, message.given, asked.loaded, slot)
    return Response(write_predict(arrays, columns=message.columns), headers=_who(asked.loaded), media_type=JSON_TYPE)


def _who(loaded: LoadedModel) -> dict[str, str]:
    """Return who answered, in headers: the API's own JSON has no place for it."""
    active = loaded.active
    return {
        "x-model-version": loaded.version,
        "x-model-kind": active.kind,
        "x-model-verdict": active.verdict.verdict.value,
        "x-disclaimer": DISCLAIMER,
    }


for place in ("/models/{name}", "/models/{name}/versions/{version}", "/models/{name}/labels/{label}"):
    add_route(router, "POST", f"{place}:predict", predict_rows_or_columns, schemas.predict(place))
    add_route(router, "GET", place, model_status, schemas.status(place))
    add_route(router, "GET", f"{place}/metadata", model_metadata, schemas.metadata(place))
