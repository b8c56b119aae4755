"""The two tensor protocols, Open Inference v2 and TensorFlow Serving's REST API: find the model, read, run, write."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import numpy as np
from fastapi import Request
from numpy.typing import NDArray

from tbconv.contract.manifest import Artefact, TensorSpec
from tbconv.contract.preprocess import PreprocessSpec
from tbconv.contract.xray import Rejected, open_film
from tf_serve.errors import BadRequest, UnknownModel
from tf_serve.gate.rules import GateLevel, refuse
from tf_serve.messages import (
    AnswerParameters,
    InferAnswer,
    InferInput,
    InferRequest,
    OutputTensor,
    OutputTensorParameters,
    PredictAnswer,
    PredictRequest,
    malformed,
    read_message,
    write_json,
)
from tf_serve.models.registry import LoadedModel
from tf_serve.predict import margin_limits
from tf_serve.server.engine import Engine, Slot
from tf_serve.server.tensors import (
    DATATYPES,
    NUMBERS,
    InputBatch,
    b64_of,
    films_from_elements,
    films_from_texts,
    flatten,
    images_from_bytes,
    images_from_numbers,
)

JSON_LENGTH = "inference-header-content-length"
# JSON of this many bytes is parsed within a millisecond; more of it goes to a thread, so that the event
# loop answers others meanwhile.
INLINE_JSON = 64 * 1024
INLINE_BINARY = 4 * 1024 * 1024  # bytes of a whole message: base64 of a film of 12 MB takes some 20 ms
_PARSING = anyio.CapacityLimiter(1)
LABEL = "stable"  # the only label: of the version that answers where none is named
Arrays = Mapping[str, NDArray[np.float32]]  # by output


# --- the model of an address ---


@dataclass(frozen=True, slots=True)
class Target:
    """The model that a request's address names, and the file that answers."""

    loaded: LoadedModel
    artefact: Artefact

    @property
    def input(self) -> TensorSpec:
        """The one input."""
        return self.artefact.inputs[0]

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs, in order."""
        return tuple(spec.name for spec in self.artefact.outputs)


def engine_of(request: Request) -> Engine:
    """Return the engine behind the application."""
    engine: Engine = request.app.state.engine
    return engine


def target_of(request: Request) -> Target:
    """Return the model of the address `/models/{name}`, `/versions/{version}` or `/labels/{label}`.

    Raises:
        UnknownModel: there is none.
    """
    parts = request.path_params
    if parts.get("label", LABEL) != LABEL:
        raise UnknownModel("there is no such label", why=f"the only one is {LABEL}", fix="name it, or a version")
    return target_named(engine_of(request), parts["name"], parts.get("version"))


def target_named(engine: Engine, name: str, version: str | None) -> Target:
    """Return the model of a name, and its version that answers where none is named.

    Raises:
        UnknownModel: there is none.
    """
    loaded = engine.registry.get(name, version)
    return Target(loaded, loaded.bundle.manifest.artefact(loaded.active.artefact))


Read = TypeVar("Read")


async def read_in_thread(read: Callable[[], Read], json_bytes: int, all_bytes: int = 0) -> Read:
    """Read a message; a long one in a thread, one after the other: parsing holds Python's lock."""
    if json_bytes <= INLINE_JSON and all_bytes <= INLINE_BINARY:
        return read()
    return await anyio.to_thread.run_sync(read, limiter=_PARSING)


@dataclass(frozen=True, slots=True)
class Answered:
    """What the network gave, and what has to be said of single films."""

    arrays: Arrays
    limits: str = ""  # "film 0: ...", a line a film; of tensors, which are no files, by the margin alone


async def predict(request: Request, batch: InputBatch, loaded: LoadedModel, slot: Slot) -> Answered:
    """Run the network, in worker threads.

    Returns:
        float32 arrays by output name, and the limits of single films: what the screening API says of them.

    Raises:
        BadRequest: a film that the gate rejects.
        FilmError: a film that cannot be opened.
    """
    engine = engine_of(request)
    said: list[tuple[str, ...]] = []
    if isinstance(batch, tuple):
        preprocessing, gate = loaded.bundle.manifest.preprocessing, engine.settings.gate

        def prepare() -> NDArray[np.uint8]:
            opened = [open_one(data, number, preprocessing, gate) for number, data in enumerate(batch)]
            reference = loaded.active.reference
            said[:] = [(*limits, *(reference.limits(one) if reference else ())) for one, limits in opened]
            return np.stack([one for one, _ in opened])[..., None]

        answer = await engine.infer(prepare, loaded, slot)
    else:
        answer = await engine.infer(batch, loaded, slot)
    looks = said or [()] * len(answer.margin)
    said = [
        (*limits, *margin_limits(float(margin), loaded.active))
        for limits, margin in zip(looks, answer.margin, strict=True)
    ]
    lines = [f"film {number}: {' '.join(limits)}" for number, limits in enumerate(said) if limits]
    arrays = {name: getattr(answer, name) for name in ("logits", "probability", "evidence")}
    return Answered(arrays, "\n".join(lines))


def open_one(
    data: bytes, number: int, preprocessing: PreprocessSpec, gate: GateLevel
) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Open a film and bring it into the shape of the network, as the screening API does.

    Returns:
        uint8 [224, 224], and what an answer to this film has to say.

    Raises:
        BadRequest: the gate rejects it, since a tensor has no place for a reason.
        FilmError: it is damaged, too large or of another type.
    """
    try:
        film = open_film(data, name=f"film {number}")
        reason = refuse(film, gate)
    except Rejected as error:
        reason = error.reason
    if reason:
        fix = "leave it out, or send it to POST /api/v1/screen, which answers with the reason"
        raise BadRequest(f"film {number} is rejected: {reason}", why=reason.explanation, fix=fix)
    return preprocessing.model_input(film.pixels), film.limits


# --- Open Inference Protocol v2, as JSON or with the binary extension ---


@dataclass(frozen=True, slots=True)
class ReadInference:
    """An inference request, read: the batch, and by name whether each requested output is binary."""

    batch: InputBatch
    binary: Mapping[str, bool]
    id: str | None = None


def read_infer(body: bytes, json_length: int | None, spec: TensorSpec, outputs: Sequence[str]) -> ReadInference:
    """Read a request.

    Args:
        body: the whole of it.
        json_length: header Inference-Header-Content-Length; None where all of the body is JSON. 0 means that
            the body is the tensor itself, one film in the datatype of the metadata.
        spec: the input of the file that will answer.
        outputs: names of its outputs, in order.

    Raises:
        BadRequest: it does not follow the protocol, or names what the model does not have.
        TooLarge: too many films or values.
    """
    if json_length == 0:
        image = images_from_bytes(memoryview(body), DATATYPES[spec.dtype], (1, *spec.shape[1:]), spec)
        return ReadInference(image, dict.fromkeys(outputs, True))
    length = len(body) if json_length is None else json_length
    if not 0 <= length <= len(body):
        raise malformed("the JSON is said to be longer than the body", f"the body has {len(body)} bytes")
    message = read_message(InferRequest, memoryview(body)[:length])
    batch = _read_input(message.inputs[0], memoryview(body)[length:], spec)
    default = message.parameters is not None and message.parameters.binary_data_output
    if not message.outputs:
        return ReadInference(batch, dict.fromkeys(outputs, default), message.id)
    binary: dict[str, bool] = {}
    for output in message.outputs:
        parameters = output.parameters
        stated = parameters is not None and "binary_data" in parameters.model_fields_set
        binary[output.name] = parameters.binary_data if parameters is not None and stated else default
    return ReadInference(batch, binary, message.id)


def json_length_of(header: str | None) -> int | None:
    """Read the header Inference-Header-Content-Length; BadRequest where it is not a number."""
    if header is None:
        return None
    if not (header.isascii() and header.isdigit() and len(header) < 12):
        raise malformed("Inference-Header-Content-Length is not a number", "it counts the bytes of the JSON")
    return int(header)


def _read_input(tensor: InferInput, binary: memoryview, spec: TensorSpec) -> InputBatch:
    shape, size = tuple(tensor.shape), tensor.parameters and tensor.parameters.binary_data_size
    if size is None:
        if len(binary):
            raise malformed("bytes follow the JSON", "no input has a binary_data_size")
        if tensor.datatype != "BYTES":
            return images_from_numbers(tensor.data, tensor.datatype, shape, spec)
        texts, _ = flatten(tensor.data, frozenset({str}), "data")
        _check_count(shape, len(texts))
        return films_from_texts(texts)
    if "data" in tensor.model_fields_set:
        raise malformed("an input has data and binary_data_size", "one of them has to be left out")
    if size != len(binary):
        raise malformed("binary_data_size does not fit the body", f"{len(binary)} bytes follow the JSON")
    if tensor.datatype != "BYTES":
        return images_from_bytes(binary, tensor.datatype, shape, spec)
    films = films_from_elements(binary)
    _check_count(shape, len(films))
    return films


def _check_count(shape: tuple[int, ...], films: int) -> None:
    if shape not in ((films,), (films, 1)) or not films:
        raise malformed(f"shape {list(shape)[:4]} does not fit {films} films", "BYTES of N films are [N] or [N, 1]")


def write_infer(request: ReadInference, loaded: LoadedModel, answered: Answered) -> tuple[bytes, dict[str, str]]:
    """Write an answer.

    Returns:
        The body, and the headers that say what it is.
    """
    arrays, optional = answered.arrays, {} if request.id is None else {"id": request.id}
    message = InferAnswer(
        model_name=loaded.name,
        model_version=loaded.version,
        **optional,
        parameters=answer_parameters(loaded, answered),
        outputs=[_output(name, arrays[name], binary=binary) for name, binary in request.binary.items()],
    )
    head = write_json(message)
    tail = [np.ascontiguousarray(arrays[name], "<f4").tobytes() for name, binary in request.binary.items() if binary]
    if not tail:
        return head, {"content-type": "application/json"}
    return b"".join((head, *tail)), {"content-type": "application/octet-stream", JSON_LENGTH: str(len(head))}


def answer_parameters(loaded: LoadedModel, answered: Answered) -> AnswerParameters:
    """Return which model answered and why, and what the answer is not; what there is nothing of is not set."""
    active = loaded.active
    reason = {"fallback_reason": active.reason} if active.reason else {}
    limits = {"limits": answered.limits} if answered.limits else {}
    return AnswerParameters(
        kind=active.kind,
        verdict=active.verdict.verdict.value,
        **reason,
        disclaimer=loaded.bundle.manifest.words.disclaimer,
        **limits,
    )


def _output(name: str, array: NDArray[np.float32], *, binary: bool) -> OutputTensor:
    if binary:
        parameters = OutputTensorParameters(binary_data_size=array.size * 4)
        return OutputTensor(name=name, shape=list(array.shape), datatype="FP32", parameters=parameters)
    return OutputTensor(name=name, shape=list(array.shape), datatype="FP32", data=array.ravel().tolist())


# --- TensorFlow Serving's REST API: rows (`instances`) or columns (`inputs`) ---


def read_predict(body: bytes, spec: TensorSpec) -> tuple[InputBatch, bool]:
    """Read a request; returns the batch, and whether the answer comes in columns.

    Args:
        body: JSON.
        spec: the input of the file that will answer.

    Raises:
        BadRequest: it does not follow the API: both formats or neither, another signature, no tensor.
        TooLarge: too many films or values.
    """
    message = read_message(PredictRequest, body)
    if "inputs" in message.model_fields_set:
        column = _named_input(message.inputs, spec)  # one film where it is a single b64
        return _read_batch([column] if isinstance(column, dict) else column, spec), True
    if not isinstance(message.instances, list):
        raise malformed("instances has to be an array", "each of its values is one row")
    return _read_batch([_named_input(row, spec) for row in message.instances], spec), False


def _named_input(value: Any, spec: TensorSpec) -> Any:
    """Return what a row or column holds, out of the object that names its input."""
    if not isinstance(value, dict) or "b64" in value:
        return value
    if set(value) != {spec.name}:
        raise malformed(f"the model takes one input, {spec.name}", "the request names others, or none")
    return value[spec.name]


def _read_batch(batch: Any, spec: TensorSpec) -> InputBatch:
    first = batch
    while isinstance(first, list) and first:
        first = first[0]
    if isinstance(first, dict):
        cells, shape = flatten(batch, frozenset({dict}), "the batch")
        if shape not in ((len(cells),), (len(cells), 1)):
            raise malformed("the films are nested too deep", 'one row is one film: {"b64": "..."}')
        return films_from_texts([b64_of(cell) for cell in cells])
    values, shape = flatten(batch, NUMBERS, "the batch")
    return images_from_numbers(values, "FP32", shape, spec)


def write_predict(arrays: Arrays, *, columns: bool) -> bytes:
    """Write the outputs as columns, or as one object a row since there are several of them."""
    lists = {name: array.tolist() for name, array in arrays.items()}
    if columns:
        return write_json(PredictAnswer(outputs=lists))
    rows = zip(*lists.values(), strict=True)
    return write_json(PredictAnswer(predictions=[dict(zip(lists, row, strict=True)) for row in rows]))
