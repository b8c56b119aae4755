"""Small edits of a TFLite file: unpacked whole, changed, packed again; for networks of some megabytes."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

DTYPES = {0: np.float32, 1: np.float16, 2: np.int32, 4: np.int64, 9: np.int8}  # schema.fbs, TensorType


def edited(change: Callable[[Any, float], None]) -> Callable[[bytes, float], bytes]:
    """Return a function of a file's bytes that applies a change to its unpacked model."""

    def inject(data: bytes, severity: float) -> bytes:
        import flatbuffers  # type: ignore[import-untyped]
        from ai_edge_litert import schema_py_generated as schema

        model = schema.ModelT.InitFromPackedBuf(data, 0)
        change(model, severity)
        builder = flatbuffers.Builder(len(data) + 65536)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output()) + _appended(data)

    return inject


def _appended(data: bytes) -> bytes:
    """Return the zip behind the model's last byte, with which a file describes itself."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return data[min(one.header_offset for one in archive.infolist()) :]
    except zipfile.BadZipFile:
        return b""


def operation(model: Any, part: str, *, inputs: int = 1) -> Any:
    """Return the first operation of so many inputs at least whose output's name holds `part`."""
    graph = model.subgraphs[0]
    named = (one for one in graph.operators if part in graph.tensors[one.outputs[0]].name.decode())
    return next(one for one in named if len(one.inputs) >= inputs)


def tensor(model: Any, index: int) -> Any:
    """Return a tensor by its index."""
    return model.subgraphs[0].tensors[index]


def output_of(model: Any, part: str) -> Any:
    """Return the tensor that the operation of a name gives."""
    return tensor(model, operation(model, part).outputs[0])


def weights_of(model: Any, part: str, place: int = 1) -> Any:
    """Return the tensor of weights (1) or bias (2) that the operation of a name reads."""
    return tensor(model, operation(model, part, inputs=2).inputs[place])


def read(model: Any, one: Any) -> NDArray[Any]:
    """Return a copy of a stored tensor's values."""
    data = np.asarray(model.buffers[one.buffer].data, np.uint8)
    return data.view(DTYPES[one.type]).reshape([int(side) for side in one.shape]).copy()


def write(model: Any, one: Any, values: NDArray[Any]) -> None:
    """Store other values; every tensor that shares the buffer gets them."""
    model.buffers[one.buffer].data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
