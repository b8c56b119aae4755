"""TensorFlow Serving's REST API: predict requests and their answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tbconv.contract.manifest import TensorSpec
from tf_serve.errors import BadRequest
from tf_serve.models.registry import LoadedModel
from tf_serve.server.messages import (
    NUMBERS,
    Given,
    array_of,
    b64_of,
    films_from_texts,
    flatten,
    images_from_numbers,
    malformed,
    read_json,
    write_json,
)
from tf_serve.server.protocol_v2 import Arrays

# --- predict request ---
# A predict request of TensorFlow Serving's REST API: rows (`instances`) or columns (`inputs`).

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


# --- predict answer ---
# Answers of TensorFlow Serving's REST API: predictions, status and metadata.

_DTYPES = {"float32": "DT_FLOAT", "uint8": "DT_UINT8"}


def write_predict(arrays: Arrays, *, columns: bool) -> bytes:
    """Write the outputs as columns, or as one object a row since there are several of them."""
    lists = {name: array.tolist() for name, array in arrays.items()}
    if columns:
        return write_json({"outputs": lists})
    rows = zip(*lists.values(), strict=True)
    return write_json({"predictions": [dict(zip(lists, row, strict=True)) for row in rows]})


def describe_status(versions: tuple[LoadedModel, ...]) -> dict[str, Any]:
    """Return the state of versions; whatever the registry holds is available."""
    status = {"error_code": "OK", "error_message": ""}
    rows = [{"version": one.version, "state": "AVAILABLE", "status": status} for one in versions]
    return {"model_version_status": rows}


def describe_signature(
    loaded: LoadedModel, inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]
) -> dict[str, Any]:
    """Return the model's metadata, as TensorFlow Serving prints a SavedModel's signature."""
    signature = {
        "inputs": {spec.name: _tensor_info(spec) for spec in inputs},
        "outputs": {spec.name: _tensor_info(spec) for spec in outputs},
        "method_name": "tensorflow/serving/predict",
    }
    return {
        "model_spec": {"name": loaded.name, "signature_name": "", "version": loaded.version},
        "metadata": {"signature_def": {"signature_def": {SIGNATURE: signature}}},
    }


def _tensor_info(spec: TensorSpec) -> dict[str, Any]:
    sides = [{"size": str(side), "name": ""} for side in spec.shape]  # 64-bit numbers are strings in proto3's JSON
    return {
        "dtype": _DTYPES[spec.dtype],
        "tensor_shape": {"dim": sides, "unknown_rank": False},
        "name": f"{SIGNATURE}_{spec.name}:0",
    }
