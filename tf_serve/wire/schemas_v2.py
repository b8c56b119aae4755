"""OpenAPI descriptions of the Open Inference Protocol v2; the repository extension has a module of its own."""

from __future__ import annotations

from tf_serve.wire.infer_answer import JSON_LENGTH
from tf_serve.wire.schemas import (
    ANY_OBJECT,
    BOOLEAN,
    INTEGER,
    STRING,
    Schema,
    answer,
    array_of,
    body,
    errors,
    json_body,
    object_of,
    operation,
)

_SHAPE = array_of(INTEGER)
_TENSOR = object_of({"name": STRING, "datatype": STRING, "shape": _SHAPE}, required=("name", "datatype", "shape"))
_DATA: Schema = {"type": "array", "description": "Row-major, flat or nested.", "items": {}}
_LENGTH = {
    "name": JSON_LENGTH,
    "in": "header",
    "schema": {"type": "integer", "minimum": 0},
    "description": "Bytes of the JSON that opens the body; the binary tensors follow it. "
    "0: the body is one film's tensor, in the datatype of the metadata.",
}
_INPUT = object_of(
    {
        "name": {"const": "image"},
        "shape": _SHAPE,
        "datatype": {"enum": ["FP32", "UINT8", "BYTES"]},
        "parameters": {
            **object_of({"binary_data_size": {"type": "integer", "minimum": 0}}),
            "type": ["object", "null"],
        },
        "data": _DATA,
    },
    required=("name", "shape", "datatype"),
)
_REQUEST = object_of(
    {
        "id": STRING,
        "parameters": {**object_of({"binary_data_output": BOOLEAN}), "type": ["object", "null"]},
        "inputs": array_of(_INPUT, minItems=1, maxItems=1),
        "outputs": array_of(
            object_of(
                {
                    "name": {"enum": ["logits", "probability", "evidence"]},
                    "parameters": object_of({"binary_data": BOOLEAN}),
                },
                required=("name",),
            )
        ),
    },
    required=("inputs",),
)
_OUTPUT = object_of(
    {"name": STRING, "shape": _SHAPE, "datatype": STRING, "parameters": ANY_OBJECT, "data": _DATA},
    required=("name", "shape", "datatype"),
)
_ANSWER = object_of(
    {
        "model_name": STRING,
        "model_version": STRING,
        "id": STRING,
        "parameters": ANY_OBJECT,
        "outputs": array_of(_OUTPUT),
    },
    required=("model_name", "model_version", "outputs"),
)
_LOGITS = {"name": "logits", "shape": [1, 2], "datatype": "FP32", "data": [1.25, -1.5]}
_ANSWER_EXAMPLE = {
    "model_name": "kermany",
    "model_version": "81b0d2c4e9aa",
    "id": "film-1",
    "parameters": {"kind": "trained", "verdict": "BOUNDED", "disclaimer": "Research tool, not a medical device: ..."},
    "outputs": [_LOGITS],
}
_FILM = {"name": "image", "shape": [1], "datatype": "BYTES", "data": ["iVBORw0KGgoAAAANSUhEUgAA..."]}
_NUMBERS = {"name": "image", "shape": [1, 224, 224, 1], "datatype": "FP32", "data": [0.0, 12.0, 255.0]}
_EXAMPLES = {
    "One film as base64, the logits alone": {"id": "film-1", "inputs": [_FILM], "outputs": [{"name": "logits"}]},
    "One tensor of 224 x 224 grey levels (shortened)": {"inputs": [_NUMBERS]},
}
_NAMED = object_of({"name": STRING, "ready": BOOLEAN}, required=("name", "ready"))

LIVE = operation(
    "",
    {"200": answer("The process answers.", object_of({"live": BOOLEAN}), {"live": True})},
    summary="Is the process alive?",
)
SERVER_READY = operation(
    "",
    {
        "200": answer("Films are answered.", object_of({"ready": BOOLEAN, "model": ANY_OBJECT}), {"ready": True}),
        **errors(503),
    },
    summary="Are films answered?",
)
SERVER = operation(
    "",
    {
        "200": answer(
            "Name, version, extensions.",
            object_of({"name": STRING, "version": STRING, "extensions": array_of(STRING)}),
            {"name": "tbconv", "version": "0.1.0", "extensions": ["binary_tensor_data", "model_repository"]},
        )
    },
    summary="Which server is this?",
)


def model(path: str) -> Schema:
    """Describe a model's metadata."""
    names = object_of(
        {
            "name": STRING,
            "versions": array_of(STRING),
            "platform": STRING,
            "inputs": array_of(_TENSOR),
            "outputs": array_of(_TENSOR),
        },
        required=("name", "platform", "inputs", "outputs"),
    )
    example = {
        "name": "kermany",
        "versions": ["81b0d2c4e9aa"],
        "platform": "litert_tflite",
        "inputs": [{"name": "image", "datatype": "UINT8", "shape": [-1, 224, 224, 1]}],
        "outputs": [{"name": "logits", "datatype": "FP32", "shape": [-1, 2]}],
    }
    found = answer("Versions and tensors; -1 is the number of films.", names, example)
    return operation(path, {"200": found, **errors(404, 503)}, summary="Which tensors does a model take and give?")


def ready(path: str) -> Schema:
    """Describe a model's readiness."""
    found = answer("The model answers.", _NAMED, {"name": "kermany", "ready": True})
    return operation(path, {"200": found, **errors(404, 503)}, summary="Does a model answer?")


def infer(path: str) -> Schema:
    """Describe inference."""
    found = answer("The outputs that were asked for, all of them by default.", _ANSWER, _ANSWER_EXAMPLE)
    found["content"]["application/octet-stream"] = {"schema": {"type": "string", "format": "binary"}}
    found["headers"] = {JSON_LENGTH: {"description": "Bytes of the JSON before the tensors.", "schema": INTEGER}}
    binary = {"schema": {"type": "string", "format": "binary"}}
    return operation(
        path,
        {"200": found, **errors(400, 404, 408, 413, 415, 503)},
        summary="Ask a model about images",
        parameters=[_LENGTH],
        requestBody=body({**json_body(_REQUEST, _EXAMPLES), "application/octet-stream": binary}),
    )
