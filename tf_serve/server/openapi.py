"""The OpenAPI descriptions of all protocols and the parts that they share."""

from __future__ import annotations

import re
from typing import Any

from tbconv.contract.reporting import DISCLAIMER
from tf_serve.images.decode import FILM_TYPES
from tf_serve.server.protocol_v2 import JSON_LENGTH
from tf_serve.server.upload import ANY_TYPE, FIELD, FORM

# --- schemas ---
# The parts that the OpenAPI descriptions of all protocols share: errors, parameters, bodies and answers.

JSON = "application/json"
Schema = dict[str, Any]

STRING: Schema = {"type": "string"}
BOOLEAN: Schema = {"type": "boolean"}
NUMBER: Schema = {"type": "number"}
INTEGER: Schema = {"type": "integer"}
ANY_OBJECT: Schema = {"type": "object"}
MAYBE_STRING: Schema = {"type": ["string", "null"]}
MAYBE_NUMBER: Schema = {"type": ["number", "null"]}

_ERRORS = {
    400: ("What was sent does not follow the protocol, or is no film.", "inputs has to be an array (it is null)"),
    401: ("The token is missing or another one.", "this address needs the admin token (none came)"),
    403: ("The server was started without the token that this address needs.", "the server has no admin token"),
    404: ("No such model, version or label.", "there is no model 'lungs' (there is kermany)"),
    408: ("The body took too long to arrive.", "the body did not arrive in time (a body may take 30 s)"),
    413: ("More bytes, values or films than one request may have.", "a film may have 32 MB"),
    415: ("A body of another type, or a compressed one.", "the body has to be image/png or image/jpeg"),
    500: ("An error of the server's own; its log says which.", "internal server error"),
    503: ("Not ready, or every place in the queue is taken: come again.", "the queue is full (every worker is busy)"),
}
_RETRY = {"Retry-After": {"description": "Seconds after which to ask again.", "schema": INTEGER}}
_ABOUT = {
    "name": "Name of the model, as /v2/repository/index and the page give it.",
    "version": "First 12 hexadecimal digits of the SHA-256 of the file that answers.",
    "label": "`stable`: the version that answers where none is named.",
}


def array_of(items: Schema, **more: Any) -> Schema:
    """Return the schema of an array."""
    return {"type": "array", "items": items, **more}


def object_of(properties: dict[str, Schema], *, required: tuple[str, ...] = (), **more: Any) -> Schema:
    """Return the schema of an object."""
    need = {"required": list(required)} if required else {}
    return {"type": "object", "properties": properties, **need, **more}


def answer(description: str, schema: Schema, example: Any, **more: Any) -> Schema:
    """Return a JSON answer with an example."""
    return {"description": description, "content": {JSON: {"schema": schema, "example": example}}, **more}


def body(contents: dict[str, Schema], *, required: bool = True) -> Schema:
    """Return a request's body: by content type a schema, with examples beside it."""
    return {"required": required, "content": contents}


def json_body(schema: Schema, examples: dict[str, Any]) -> dict[str, Schema]:
    """Return a JSON body's content with one or more examples by summary."""
    return {
        JSON: {
            "schema": schema,
            "examples": {_key(said): {"summary": said, "value": examples[said]} for said in examples},
        }
    }


def errors(*statuses: int) -> dict[str, Schema]:
    """Return the answers to what goes wrong, by status."""
    schema = object_of({"error": STRING}, required=("error",))
    found = {}
    for status in statuses:
        description, example = _ERRORS[status]
        found[str(status)] = answer(description, schema, {"error": example})
    if "503" in found:
        found["503"]["headers"] = _RETRY
    return found


def operation(path: str, responses: dict[str, Schema], *, summary: str, **more: Any) -> Schema:
    """Return the description of one operation; the parameters that its path names come first."""
    named = [
        {"name": name, "in": "path", "required": True, "schema": STRING, "description": _ABOUT[name]}
        for name in re.findall(r"{(\w+)}", path)
    ]
    parameters = [*named, *more.pop("parameters", [])]
    return {"summary": summary, "parameters": parameters, "responses": responses, **more}


def _key(summary: str) -> str:
    return re.sub(r"\W+", "_", summary.lower()).strip("_")


# --- schemas repository ---
# OpenAPI descriptions of the Open Inference Protocol's repository extension.

_INDEX = array_of(object_of(dict.fromkeys(("name", "version", "state", "reason"), STRING), required=("name", "state")))


def index(path: str) -> Schema:
    """Describe the repository's index."""
    example = [{"name": "kermany", "version": "81b0d2c4e9aa", "state": "READY", "reason": ""}]
    wish = body(json_body(object_of({"ready": BOOLEAN}), {"Those that answer": {"ready": True}}), required=False)
    found = {
        "200": answer("Every version, and why some do not answer.", _INDEX, example),
        **errors(400, 401, 403, 413, 415),
    }
    return operation(path, found, summary="Which models are there?", requestBody=wish)


def change(path: str, summary: str) -> Schema:
    """Describe load, unload and roll back; only a load has a parameter."""
    loads = path.endswith("/load")
    version = {"properties": {"version": STRING}, "additionalProperties": False} if loads else {}
    wish = object_of({"parameters": {"type": ["object", "null"], **version}})
    examples: dict[str, Any] = {"The best one, or nothing more to say": {}}
    if loads:
        examples["A version"] = {"parameters": {"version": "81b0d2c4e9aa"}}
    state = object_of(dict.fromkeys(("name", "version", "state"), STRING), required=("name", "state"))
    done = answer("What answers now.", state, {"name": "kermany", "version": "81b0d2c4e9aa", "state": "READY"})
    found = {"200": done, **errors(400, 401, 403, 404, 413, 415, 503)}
    wished = body(json_body(wish, examples), required=False)
    return operation(path, found, summary=summary, requestBody=wished)


# --- schemas screening ---
# OpenAPI descriptions of the screening API.

_EVIDENCE = object_of(
    {"map": array_of(array_of(NUMBER)), "side": MAYBE_STRING, "zone": MAYBE_STRING, "href": MAYBE_STRING},
    description="What each of 7 x 7 regions adds to the margin: the margin is the mean of the map.",
)
_SCREENING_ANSWER = object_of(
    {
        "result_id": STRING,
        "status": {"enum": ["ok", "rejected"]},
        "reason": MAYBE_STRING,
        "explanation": MAYBE_STRING,
        "probability": MAYBE_NUMBER,
        "margin": MAYBE_NUMBER,
        "score": MAYBE_NUMBER,
        "threshold": MAYBE_NUMBER,
        "indeterminate_band": MAYBE_NUMBER,
        "decision": {"enum": ["refer", "indeterminate", "not_flagged", None]},
        "evidence": {"anyOf": [_EVIDENCE, {"type": "null"}]},
        "calibration": ANY_OBJECT,
        "model": ANY_OBJECT,
        "limits": array_of(STRING),
    },
    required=("result_id", "status", "model", "limits"),
)
_MODEL = {"name": "kermany", "version": "81b0d2c4e9aa", "kind": "trained", "verdict": "BOUNDED"}
_OK = {
    "result_id": "5b0c3f0d9d2b4a6f8f6d2f5a0c1e7b3d",
    "status": "ok",
    "reason": None,
    "probability": 0.8731,
    "margin": 1.93,
    "score": 87.3,
    "threshold": 0.42,
    "indeterminate_band": 0.2,
    "decision": "refer",
    "evidence": {"map": [[0.4, 3.1], [2.2, 2.0]], "side": "right", "zone": "upper", "href": None},
    "calibration": {"slope": 1.1, "offset": -0.2},
    "model": _MODEL,
    "limits": [DISCLAIMER],
}
_NULLS = dict.fromkeys(("probability", "margin", "score", "threshold", "indeterminate_band", "decision", "evidence"))
_REJECTED = {
    "result_id": "0c1e7b3d5b0c3f0d9d2b4a6f8f6d2f5a",
    "status": "rejected",
    "reason": "too_small",
    "explanation": "The picture has a side of less than 100 pixels: too small to show a lung.",
    **_NULLS,
    "calibration": {"slope": 1.1, "offset": -0.2},
    "model": _MODEL,
    "limits": [DISCLAIMER],
}
_FILE: Schema = {"type": "string", "format": "binary"}
_FORM = {
    "schema": object_of({FIELD: {**_FILE, "description": "PNG, JPEG or DICOM"}}, required=(FIELD,)),
    "encoding": {FIELD: {"contentType": ", ".join((*FILM_TYPES, ANY_TYPE))}},
}
_WHICH = [
    {"name": name, "in": "query", "schema": STRING, "description": said}
    for name, said in (("model", "The default model by default."), ("version", "The current one by default."))
]


def screen(path: str) -> Schema:
    """Describe the answer to one film."""
    found = {
        "description": "An answer, or `rejected` with a reason code where the film is none for this network.",
        "content": {
            "application/json": {
                "schema": _SCREENING_ANSWER,
                "examples": {
                    "ok": {"summary": "A film that is referred", "value": _OK},
                    "rejected": {"summary": "A picture that is no chest film", "value": _REJECTED},
                },
            }
        },
    }
    contents = {FORM: _FORM, **{kind: {"schema": _FILE} for kind in (*FILM_TYPES, ANY_TYPE)}}
    responses = {"200": found, **errors(400, 404, 408, 413, 415, 503)}
    return operation(path, responses, summary="Screen one film", parameters=_WHICH, requestBody=body(contents))


def model_card(path: str) -> Schema:
    """Describe who answers."""
    found = answer("Who answers, its figures, its limits.", ANY_OBJECT, {**_MODEL, "limits": [DISCLAIMER]})
    return operation(path, {"200": found, **errors(404, 503)}, summary="Which model screens?", parameters=_WHICH)


# --- schemas v1 ---
# OpenAPI descriptions of TensorFlow Serving's REST API.

_STATUS = object_of(
    {"version": STRING, "state": STRING, "status": object_of({"error_code": STRING, "error_message": STRING})},
    required=("version", "state", "status"),
)
_STATUS_EXAMPLE = {
    "version": "81b0d2c4e9aa",
    "state": "AVAILABLE",
    "status": {"error_code": "OK", "error_message": ""},
}
_V1_REQUEST = object_of(
    {"signature_name": {"const": "serving_default"}, "instances": {"type": "array", "minItems": 1}, "inputs": {}},
    description="Either instances (rows) or inputs (columns).",
    oneOf=[{"required": ["instances"]}, {"required": ["inputs"]}],
)
_V1_EXAMPLES = {
    "Rows: films as base64": {"instances": [{"b64": "iVBORw0KGgoAAAANSUhEUgAA..."}]},
    "Columns: films as base64": {"inputs": {"image": [{"b64": "iVBORw0KGgoAAAANSUhEUgAA..."}]}},
    "Rows: grey levels, 224 x 224 x 1 (shortened)": {"instances": [[[[0.0], [12.0]], [[255.0], [90.0]]]]},
}
_V1_ANSWER = object_of({"predictions": array_of(ANY_OBJECT), "outputs": ANY_OBJECT})
_ROW = {"logits": [1.25, -1.5], "probability": [0.06], "evidence": [[-2.75, -2.5]]}


def status(path: str) -> Schema:
    """Describe the state of a model's versions."""
    schema = object_of({"model_version_status": array_of(_STATUS)}, required=("model_version_status",))
    found = answer("Every version that answers.", schema, {"model_version_status": [_STATUS_EXAMPLE]})
    return operation(path, {"200": found, **errors(404, 503)}, summary="Which versions answer?")


def metadata(path: str) -> Schema:
    """Describe a model's signature."""
    schema = object_of({"model_spec": ANY_OBJECT, "metadata": ANY_OBJECT}, required=("model_spec", "metadata"))
    spec = {"name": "kermany", "signature_name": "", "version": "81b0d2c4e9aa"}
    example = {"model_spec": spec, "metadata": {"signature_def": {"signature_def": {"serving_default": {}}}}}
    found = answer("The signature, as a SavedModel's is printed.", schema, example)
    return operation(path, {"200": found, **errors(404, 503)}, summary="Which signature has a model?")


def predict(path: str) -> Schema:
    """Describe prediction."""
    example = {"predictions": [_ROW]}
    found = answer("`predictions` to rows, `outputs` to columns.", _V1_ANSWER, example)
    found["headers"] = {
        name: {"description": said, "schema": STRING}
        for name, said in (
            ("x-model-version", "Who answered."),
            ("x-model-kind", "trained or baseline."),
            ("x-model-verdict", "The certificate's word on the file."),
            ("x-disclaimer", "What the answer is not."),
        )
    }
    asked = body(json_body(_V1_REQUEST, _V1_EXAMPLES))
    responses = {"200": found, **errors(400, 404, 408, 413, 415, 503)}
    return operation(path, responses, summary="Ask a model about rows or columns", requestBody=asked)


# --- schemas v2 ---
# OpenAPI descriptions of the Open Inference Protocol v2; the repository extension has a module of its own.

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
_V2_REQUEST = object_of(
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
_V2_ANSWER = object_of(
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
_V2_EXAMPLES = {
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


def v2_model(path: str) -> Schema:
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
    found = answer("The outputs that were asked for, all of them by default.", _V2_ANSWER, _ANSWER_EXAMPLE)
    found["content"]["application/octet-stream"] = {"schema": {"type": "string", "format": "binary"}}
    found["headers"] = {JSON_LENGTH: {"description": "Bytes of the JSON before the tensors.", "schema": INTEGER}}
    binary = {"schema": {"type": "string", "format": "binary"}}
    return operation(
        path,
        {"200": found, **errors(400, 404, 408, 413, 415, 503)},
        summary="Ask a model about images",
        parameters=[_LENGTH],
        requestBody=body({**json_body(_V2_REQUEST, _V2_EXAMPLES), "application/octet-stream": binary}),
    )
