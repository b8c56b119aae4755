"""TensorFlow Serving's REST API: status, metadata and prediction of one model."""

from __future__ import annotations

from functools import partial
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import Response

from tbconv.contract.manifest import TensorSpec
from tf_serve.messages import (
    SIGNATURE,
    ModelSpec,
    ModelStatus,
    PredictAnswer,
    PredictRequest,
    SignatureMetadata,
    StatusCode,
    VersionStatus,
)
from tf_serve.server.openapi import ANSWER_HEADERS, STRING, add_route
from tf_serve.server.protocols import engine_of, predict, read_in_thread, read_predict, target_of, write_predict
from tf_serve.server.upload import JSON_TYPE, json_answer, read_body

_DTYPES = {"float32": "DT_FLOAT", "uint8": "DT_UINT8"}
router = APIRouter(prefix="/v1", tags=["TensorFlow Serving REST"])


async def model_status(request: Request) -> Response:
    """Return which versions of a model answer: all of them, or the one in the address."""
    loaded = target_of(request).loaded
    named = {"version", "label"} & set(request.path_params)
    versions = (loaded,) if named else engine_of(request).registry.versions(loaded.name)
    status = StatusCode(error_code="OK", error_message="")  # whatever the registry holds is available
    rows = [VersionStatus(version=one.version, state="AVAILABLE", status=status) for one in versions]
    return json_answer(ModelStatus(model_version_status=rows))


async def model_metadata(request: Request) -> Response:
    """Return a model's signature, as TensorFlow Serving prints that of a SavedModel."""
    target = target_of(request)
    signature = {
        "inputs": {spec.name: _tensor_info(spec) for spec in target.artefact.inputs},
        "outputs": {spec.name: _tensor_info(spec) for spec in target.artefact.outputs},
        "method_name": "tensorflow/serving/predict",
    }
    spec = ModelSpec(name=target.loaded.name, signature_name="", version=target.loaded.version)
    return json_answer(
        SignatureMetadata(model_spec=spec, metadata={"signature_def": {"signature_def": {SIGNATURE: signature}}})
    )


async def predict_rows_or_columns(request: Request) -> Response:
    """Answer rows with rows, columns with columns."""
    with engine_of(request).admit() as slot:
        target = target_of(request)
        body = await read_body(request)
        slot.arrived()
        batch, columns = await read_in_thread(partial(read_predict, body, target.input), len(body))
        answered = await predict(request, batch, target.loaded, slot)
    active = target.loaded.active
    headers = {  # the API's own JSON has no place for them
        "x-model-version": target.loaded.version,
        "x-model-kind": active.kind,
        "x-model-verdict": active.verdict.verdict.value,
        "x-disclaimer": _in_a_header(target.loaded.bundle.manifest.words.disclaimer),
    }
    if answered.limits:
        headers["x-limits"] = " ".join(answered.limits.split("\n"))
    return Response(write_predict(answered.arrays, columns=columns), headers=headers, media_type=JSON_TYPE)


def _in_a_header(text: str) -> str:
    """Return text as a header may carry it: what is not ASCII as percent-encoded UTF-8 (RFC 9110, section 5.5)."""
    return quote(text, safe=" !\"#$&'()*+,/:;<=>?@[]^`{|}~")


def _tensor_info(spec: TensorSpec) -> dict[str, Any]:
    sides = [{"size": str(side), "name": ""} for side in spec.shape]  # 64-bit numbers are strings in proto3's JSON
    return {
        "dtype": _DTYPES[spec.dtype],
        "tensor_shape": {"dim": sides, "unknown_rank": False},
        "name": f"{SIGNATURE}_{spec.name}:0",
    }


for place in ("/models/{name}", "/models/{name}/versions/{version}", "/models/{name}/labels/{label}"):
    add_route(
        router,
        "POST",
        f"{place}:predict",
        predict_rows_or_columns,
        summary="Run a model on rows or columns",
        request=PredictRequest,
        answer=PredictAnswer,
        answer_headers={name: {"description": said, "schema": STRING} for name, said in ANSWER_HEADERS.items()},
        errors=(400, 404, 408, 413, 415, 503),
    )
    add_route(router, "GET", place, model_status, summary="Versions of a model", answer=ModelStatus, errors=(404, 503))
    add_route(
        router,
        "GET",
        f"{place}/metadata",
        model_metadata,
        summary="Signature of a model",
        answer=SignatureMetadata,
        errors=(404, 503),
    )
