"""The Open Inference Protocol v2: requests and answers, as JSON or with the binary extension."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.manifest import TensorSpec
from tbconv.contract.reporting import DISCLAIMER
from tf_serve.models.registry import LoadedModel
from tf_serve.server.messages import (
    DATATYPES,
    DTYPES,
    Given,
    array_of,
    films_from_elements,
    films_from_texts,
    flatten,
    images_from_bytes,
    images_from_numbers,
    kind_of,
    malformed,
    object_of,
    read_json,
    text_of,
    write_json,
)

# --- infer request ---
# An inference request of the Open Inference Protocol v2, as JSON or with the binary extension.

MAX_ID = 1024  # letters; the id comes back in the answer


@dataclass(frozen=True, slots=True)
class Wanted:
    """One output that the client asks for."""

    name: str
    binary: bool


@dataclass(frozen=True, slots=True)
class InferRequest:
    """What a client asks."""

    given: Given
    wanted: tuple[Wanted, ...]
    id: str | None = None


def read_infer(body: bytes, json_length: int | None, spec: TensorSpec, outputs: Sequence[str]) -> InferRequest:
    """Read a request.

    Args:
        body: the whole of it.
        json_length: header Inference-Header-Content-Length; None where all of the body is JSON. 0 means that
            the body is the tensor itself, one film in the datatype of the metadata.
        spec: the input of the file that will answer.
        outputs: names of its outputs, in order.

    Raises:
        BadRequest: it does not follow the protocol, or asks for what the model has not.
        TooLarge: too many films or values.
    """
    if json_length == 0:
        image = images_from_bytes(memoryview(body), DATATYPES[spec.dtype], (1, *spec.shape[1:]), spec)
        return InferRequest(image, tuple(Wanted(name, True) for name in outputs))
    length = len(body) if json_length is None else json_length
    if not 0 <= length <= len(body):
        raise malformed("the JSON is said to be longer than the body", f"the body has {len(body)} bytes")
    message = read_json(memoryview(body)[:length])
    given = _given(message, memoryview(body)[length:], spec)
    wanted = _wanted(message, outputs)
    return InferRequest(given, wanted, _id(message))


def json_length_of(header: str | None) -> int | None:
    """Read the header Inference-Header-Content-Length; BadRequest where it is no number."""
    if header is None:
        return None
    if not (header.isascii() and header.isdigit() and len(header) < 12):
        raise malformed("Inference-Header-Content-Length is no number", "it counts the bytes of the JSON")
    return int(header)


def _id(message: dict[str, Any]) -> str | None:
    if message.get("id") is None:
        return None
    found = text_of(message["id"], "id")
    if len(found) > MAX_ID:
        raise malformed("the id is too long", f"it may have {MAX_ID} letters")
    return found


def _given(message: dict[str, Any], binary: memoryview, spec: TensorSpec) -> Given:
    inputs = array_of(message.get("inputs"), "inputs")
    if len(inputs) != 1:
        raise malformed(f"the model takes one input, {spec.name}", f"{len(inputs)} came")
    tensor = object_of(inputs[0], "an input")
    name = text_of(tensor.get("name"), "an input's name")
    if name != spec.name:
        raise malformed(f"the model has no input {name[:40]!r}", f"it has {spec.name}")
    datatype = text_of(tensor.get("datatype"), "an input's datatype")
    if datatype not in (*DTYPES, "BYTES"):
        raise malformed(f"{spec.name} cannot be {datatype[:40]!r}", f"it takes {', '.join(DTYPES)}, or BYTES of films")
    return _read_tensor(tensor, datatype, binary, spec)


def _read_tensor(tensor: dict[str, Any], datatype: str, binary: memoryview, spec: TensorSpec) -> Given:
    shape = _shape(tensor.get("shape"))
    parameters = object_of(tensor.get("parameters"), "an input's parameters")
    if "shared_memory_region" in parameters:
        raise malformed("shared memory is not an extension of this server", "GET /v2 lists those that are")
    size = parameters.get("binary_data_size")
    if size is None:
        if len(binary):
            raise malformed("bytes follow the JSON", "no input has a binary_data_size")
        return _from_json(tensor.get("data"), datatype, shape, spec)
    if "data" in tensor:
        raise malformed("an input has data and binary_data_size", "one of them has to be left out")
    if size != len(binary) or isinstance(size, bool):
        raise malformed("binary_data_size does not fit the body", f"{len(binary)} bytes follow the JSON")
    if datatype == "BYTES":
        films = films_from_elements(binary)
        _check_count(shape, len(films.files))
        return films
    return images_from_bytes(binary, datatype, shape, spec)


def _from_json(data: Any, datatype: str, shape: tuple[int, ...], spec: TensorSpec) -> Given:
    if datatype != "BYTES":
        return images_from_numbers(data, datatype, shape, spec)
    texts, _ = flatten(array_of(data, "data"), frozenset({str}), "data")
    _check_count(shape, len(texts))
    return films_from_texts(texts)


def _check_count(shape: tuple[int, ...], films: int) -> None:
    if shape not in ((films,), (films, 1)) or not films:
        raise malformed(f"shape {list(shape)[:4]} does not fit {films} films", "BYTES of N films are [N] or [N, 1]")


def _shape(value: Any) -> tuple[int, ...]:
    sides = array_of(value, "shape")
    if not all(type(side) is int and 0 <= side < 2**31 for side in sides):
        raise malformed("shape has to hold whole numbers", "and none of them negative")
    return tuple(sides)


def _wanted(message: dict[str, Any], outputs: Sequence[str]) -> tuple[Wanted, ...]:
    all_binary = _flag(object_of(message.get("parameters"), "parameters"), "binary_data_output", default=False)
    if not message.get("outputs"):
        return tuple(Wanted(name, all_binary) for name in outputs)
    rows = [object_of(row, "an output") for row in array_of(message["outputs"], "outputs")]
    wanted = tuple(_one_wanted(row, outputs, all_binary) for row in rows)
    if len({one.name for one in wanted}) < len(wanted):
        raise malformed("an output is asked for twice", f"there are {', '.join(outputs)}")
    return wanted


def _one_wanted(row: dict[str, Any], outputs: Sequence[str], all_binary: bool) -> Wanted:
    name = text_of(row.get("name"), "an output's name")
    if name not in outputs:
        raise malformed(f"the model has no output {name[:40]!r}", f"it has {', '.join(outputs)}")
    parameters = object_of(row.get("parameters"), "an output's parameters")
    if unknown := sorted({"classification", "shared_memory_region"} & set(parameters)):
        raise malformed(f"{unknown[0]} is not an extension of this server", "GET /v2 lists those that are")
    return Wanted(name, _flag(parameters, "binary_data", default=all_binary))


def _flag(parameters: dict[str, Any], name: str, *, default: bool) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise malformed(f"{name} has to be true or false", f"it is {kind_of(value)}")
    return value


# --- infer answer ---
# An inference answer of the Open Inference Protocol v2, as JSON or with the binary extension.

JSON_LENGTH = "inference-header-content-length"
Arrays = Mapping[str, NDArray[np.float32]]  # by output


def write_infer(request: InferRequest, loaded: LoadedModel, arrays: Arrays) -> tuple[bytes, dict[str, str]]:
    """Write an answer.

    Returns:
        The body, and the headers that say what it is.
    """
    message: dict[str, Any] = {"model_name": loaded.name, "model_version": loaded.version}
    if request.id is not None:
        message["id"] = request.id
    message["parameters"] = describe_answer(loaded)
    message["outputs"] = [_describe(wanted, arrays[wanted.name]) for wanted in request.wanted]
    head = write_json(message)
    tail = [np.ascontiguousarray(arrays[one.name], "<f4").tobytes() for one in request.wanted if one.binary]
    if not tail:
        return head, {"content-type": "application/json"}
    return b"".join((head, *tail)), {"content-type": "application/octet-stream", JSON_LENGTH: str(len(head))}


def describe_answer(loaded: LoadedModel) -> dict[str, str]:
    """Return who answered and what the answer is not: strings, as the protocol's parameters may be."""
    active = loaded.active
    reason = {"fallback_reason": active.reason} if active.reason else {}
    return {"kind": active.kind, "verdict": active.verdict.verdict.value, **reason, "disclaimer": DISCLAIMER}


def _describe(wanted: Wanted, array: NDArray[np.float32]) -> dict[str, Any]:
    row: dict[str, Any] = {"name": wanted.name, "shape": list(array.shape), "datatype": "FP32"}
    if wanted.binary:
        return row | {"parameters": {"binary_data_size": array.size * 4}}
    return row | {"data": array.ravel().tolist()}  # flat, row-major
