"""OpenAPI descriptions of TensorFlow Serving's REST API."""

from __future__ import annotations

from tf_serve.wire.schemas import (
    ANY_OBJECT,
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

_STATUS = object_of(
    {"version": STRING, "state": STRING, "status": object_of({"error_code": STRING, "error_message": STRING})},
    required=("version", "state", "status"),
)
_STATUS_EXAMPLE = {
    "version": "81b0d2c4e9aa",
    "state": "AVAILABLE",
    "status": {"error_code": "OK", "error_message": ""},
}
_REQUEST = object_of(
    {"signature_name": {"const": "serving_default"}, "instances": {"type": "array", "minItems": 1}, "inputs": {}},
    description="Either instances (rows) or inputs (columns).",
    oneOf=[{"required": ["instances"]}, {"required": ["inputs"]}],
)
_EXAMPLES = {
    "Rows: films as base64": {"instances": [{"b64": "iVBORw0KGgoAAAANSUhEUgAA..."}]},
    "Columns: films as base64": {"inputs": {"image": [{"b64": "iVBORw0KGgoAAAANSUhEUgAA..."}]}},
    "Rows: grey levels, 224 x 224 x 1 (shortened)": {"instances": [[[[0.0], [12.0]], [[255.0], [90.0]]]]},
}
_ANSWER = object_of({"predictions": array_of(ANY_OBJECT), "outputs": ANY_OBJECT})
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
    found = answer("`predictions` to rows, `outputs` to columns.", _ANSWER, example)
    found["headers"] = {
        name: {"description": said, "schema": STRING}
        for name, said in (
            ("x-model-version", "Who answered."),
            ("x-model-kind", "trained or baseline."),
            ("x-model-verdict", "The certificate's word on the file."),
            ("x-disclaimer", "What the answer is not."),
        )
    }
    asked = body(json_body(_REQUEST, _EXAMPLES))
    responses = {"200": found, **errors(400, 404, 408, 413, 415, 503)}
    return operation(path, responses, summary="Ask a model about rows or columns", requestBody=asked)
