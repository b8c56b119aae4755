"""An inference answer of the Open Inference Protocol v2, as JSON or with the binary extension."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.disclaimer import DISCLAIMER
from tf_serve.registry import Loaded
from tf_serve.wire.infer_request import InferRequest, Wanted
from tf_serve.wire.json_body import write_json

JSON_LENGTH = "inference-header-content-length"
Arrays = Mapping[str, NDArray[np.float32]]  # by output


def write_infer(request: InferRequest, loaded: Loaded, arrays: Arrays) -> tuple[bytes, dict[str, str]]:
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


def describe_answer(loaded: Loaded) -> dict[str, str]:
    """Return who answered and what the answer is not: strings, as the protocol's parameters may be."""
    served = loaded.served
    reason = {"fallback_reason": served.reason} if served.reason else {}
    return {"kind": served.kind, "verdict": served.verdict.verdict.value, **reason, "disclaimer": DISCLAIMER}


def _describe(wanted: Wanted, array: NDArray[np.float32]) -> dict[str, Any]:
    row: dict[str, Any] = {"name": wanted.name, "shape": list(array.shape), "datatype": "FP32"}
    if wanted.binary:
        return row | {"parameters": {"binary_data_size": array.size * 4}}
    return row | {"data": array.ravel().tolist()}  # flat, row-major
