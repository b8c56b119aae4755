"""A predict request of TensorFlow Serving's REST API: rows (`instances`) or columns (`inputs`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tbconv.contract.tensor import TensorSpec
from tf_serve.refusals import BadRequest
from tf_serve.wire.films import b64_of, films_from_texts
from tf_serve.wire.images import NUMBERS, Given, images_from_numbers
from tf_serve.wire.json_body import array_of, malformed, read_json
from tf_serve.wire.nested import flatten

SIGNATURE = "serving_default"


@dataclass(frozen=True, slots=True)
class PredictRequest:
    """What a client asks, and in which of the two formats it wants the answer."""

    given: Given
    columns: bool


def read_predict(body: bytes, spec: TensorSpec) -> PredictRequest:
    """Read a request.

    Args:
        body: JSON.
        spec: the input of the file that will answer.

    Raises:
        BadRequest: it does not follow the API: both formats or neither, another signature, no tensor.
        TooLarge: too many films or values.
    """
    message = read_json(body)
    if message.get("signature_name", SIGNATURE) not in ("", SIGNATURE, None):
        raise BadRequest("the model has no such signature", why=f"it has {SIGNATURE}", fix="leave signature_name out")
    if ("instances" in message) == ("inputs" in message):
        raise malformed("a request has either instances or inputs", "this one has both or neither")
    if "inputs" in message:
        return PredictRequest(_tensor(_column(message["inputs"], spec), spec), columns=True)
    rows = array_of(message["instances"], "instances")
    return PredictRequest(_tensor([_row(row, spec) for row in rows], spec), columns=False)


def _column(value: Any, spec: TensorSpec) -> list[Any]:
    """Return the batch; inputs by name where they are an object, and one film where it is a single b64."""
    value = _row(value, spec)
    return [value] if isinstance(value, dict) else array_of(value, "inputs")


def _row(value: Any, spec: TensorSpec) -> Any:
    """Return what a row or column holds, out of the object that names its input."""
    if not isinstance(value, dict) or "b64" in value:
        return value
    if set(value) != {spec.name}:
        raise malformed(f"the model takes one input, {spec.name}", "the request names others, or none")
    return value[spec.name]


def _tensor(batch: list[Any], spec: TensorSpec) -> Given:
    if isinstance(_first(batch), dict):
        cells, shape = flatten(batch, frozenset({dict}), "the batch")
        if shape not in ((len(cells),), (len(cells), 1)):
            raise malformed("the films stand too deep", 'one row is one film: {"b64": "..."}')
        return films_from_texts([b64_of(cell) for cell in cells])
    values, shape = flatten(batch, NUMBERS, "the batch")
    return images_from_numbers(values, "FP32", shape, spec)


def _first(batch: Any) -> Any:
    while isinstance(batch, list) and batch:
        batch = batch[0]
    return batch
