"""The methods of the Open Inference Protocol over gRPC, as routes: bytes of a protobuf message in, bytes out.

What a request means, its checks and its limits are those of HTTP: an inference is rewritten as HTTP's own form, JSON
with the tensors' bytes behind it, and read by the function that reads it there.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import Response
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from tbconv.contract import __version__
from tf_serve.messages import malformed
from tf_serve.models.registry import LoadedModel
from tf_serve.server.middleware import RPC
from tf_serve.server.protocols import (
    Answered,
    ReadInference,
    Target,
    answer_parameters,
    engine_of,
    predict,
    read_in_thread,
    read_infer,
    target_named,
)
from tf_serve.server.routes.open_inference import describe_target
from tf_serve.server.rpc.schema import MESSAGES
from tf_serve.server.upload import read_body

PROTOBUF = "application/grpc+proto"
router = APIRouter()
METHODS: dict[str, str] = {}  # by name: HTTP's verb for it, by which logs tell answers from what probes fetch


def method(call: Callable[[Request], Awaitable[Any]]) -> Callable[[Request], Awaitable[Any]]:
    """Make a method of the service out of a function that returns its answer."""
    name = call.__name__.title().replace("_", "")
    METHODS[name] = "POST" if name == "ModelInfer" else "GET"

    async def route(request: Request) -> Response:
        return Response((await call(request)).SerializeToString(), media_type=PROTOBUF)

    router.add_api_route(f"{RPC}{name}", route, methods=[METHODS[name]], response_model=None)
    return call


@method
async def server_live(request: Request) -> Any:  # noqa: ARG001  (FastAPI passes it)
    """Return that the process answers."""
    return MESSAGES["ServerLiveResponse"](live=True)


@method
async def server_ready(request: Request) -> Any:
    """Return whether films are answered."""
    return MESSAGES["ServerReadyResponse"](ready=engine_of(request).not_ready is None)


@method
async def model_ready(request: Request) -> Any:
    """Return whether a model answers."""
    engine, asked = engine_of(request), _read("ModelReadyRequest", await read_body(request))
    if engine.not_ready is not None:
        return MESSAGES["ModelReadyResponse"](ready=False)
    target_named(engine, asked.name, asked.version or None)
    return MESSAGES["ModelReadyResponse"](ready=True)


@method
async def server_metadata(request: Request) -> Any:  # noqa: ARG001  (FastAPI passes it)
    """Return which server this is; it has none of HTTP's extensions here."""
    return MESSAGES["ServerMetadataResponse"](name="tbconv", version=__version__)


@method
async def model_metadata(request: Request) -> Any:
    """Return a model's versions and tensors."""
    asked = _read("ModelMetadataRequest", await read_body(request))
    engine = engine_of(request)
    found = describe_target(engine, target_named(engine, asked.name, asked.version or None))
    return MESSAGES["ModelMetadataResponse"](**found.model_dump())


@method
async def model_infer(request: Request) -> Any:
    """Answer images: logits, probability and evidence, as bytes or as numbers, as the request has its own."""
    with engine_of(request).admit() as slot:
        body = await read_body(request)
        slot.arrived()
        asked = await read_in_thread(partial(_read, "ModelInferRequest", body), 0, len(body))
        target = target_named(engine_of(request), asked.model_name, asked.model_version or None)
        numbers = 0 if _is_raw(asked) else len(body)  # they are taken one by one, as those of JSON are
        read = partial(_read_infer, asked, target)
        message = await read_in_thread(read, numbers, len(body))
        answered = await predict(request, message.batch, target.loaded, slot)
    return write_answer(message, target.loaded, answered, raw=_is_raw(asked))


def _read(name: str, body: bytes) -> Any:
    """Read a message; BadRequest where the bytes are none."""
    try:
        return MESSAGES[name].FromString(body)
    except DecodeError as error:
        raise malformed(f"the bytes are no {name}", "protobuf cannot read them") from error


def _is_raw(asked: Any) -> bool:
    return bool(asked.raw_input_contents)


def _read_infer(asked: Any, target: Target) -> ReadInference:
    return read_infer(*as_http(asked), target.input, target.outputs)


def as_http(asked: Any) -> tuple[bytes, int]:
    """Return a request as HTTP's binary extension has it: the body, and how much of it is JSON.

    Raises:
        BadRequest: the tensors have their contents twice, or not one for each.
    """
    contents = list(asked.raw_input_contents)
    if contents and (len(contents) != len(asked.inputs) or any(one.HasField("contents") for one in asked.inputs)):
        raise malformed("the inputs do not fit raw_input_contents", "one is for each input, and contents is left out")
    contents = contents or [_packed(tensor) for tensor in asked.inputs]
    inputs = [
        {
            "name": tensor.name,
            "shape": list(tensor.shape),
            "datatype": tensor.datatype,
            "parameters": {"binary_data_size": len(data)},
        }
        for tensor, data in zip(asked.inputs, contents, strict=True)
    ]
    head: dict[str, Any] = {"inputs": inputs} | ({"id": asked.id} if asked.id else {})
    if asked.outputs:
        head["outputs"] = [{"name": output.name} for output in asked.outputs]
    written = json.dumps(head).encode()
    return b"".join((written, *contents)), len(written)


def _packed(tensor: Any) -> bytes:
    """Return the numbers or films of a tensor as raw contents would have them."""
    contents = tensor.contents
    if tensor.datatype == "FP32":
        return np.array(contents.fp32_contents, "<f4").tobytes()
    if tensor.datatype == "UINT8":
        values = np.array(contents.uint_contents, np.uint32)
        if (values > 255).any():
            raise malformed("a number of UINT8 is above 255", "it has eight bits")
        return values.astype(np.uint8).tobytes()
    return b"".join(len(element).to_bytes(4, "little") + element for element in contents.bytes_contents)


def write_answer(request: ReadInference, loaded: LoadedModel, answered: Answered, *, raw: bool) -> Any:
    """Return an answer; its outputs are bytes where the inputs were, else numbers."""
    answer = MESSAGES["ModelInferResponse"](
        model_name=loaded.name, model_version=loaded.version, id=request.id or "", outputs=[]
    )
    for name, text in answer_parameters(loaded, answered).model_dump(exclude_unset=True).items():
        answer.parameters[name].string_param = text
    for name in request.binary:
        array = np.ascontiguousarray(answered.arrays[name], "<f4")
        output = answer.outputs.add(name=name, datatype="FP32", shape=array.shape)
        if raw:
            answer.raw_output_contents.append(array.tobytes())
        else:
            output.contents.fp32_contents.extend(array.ravel().tolist())
    return answer
