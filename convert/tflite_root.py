"""The one place that edits a finished TFLite flatbuffer: a metadata buffer more, a batch that is said to be 1.

All offsets of a flatbuffer are relative, so a new root table may stand in front of the old bytes
and point into them. Unpacking and packing 100 MB again would lose the alignment of the weights
(schema.fbs: `data:[ubyte] (force_align: 16)`), which the kernels read in place.
"""

from __future__ import annotations

from typing import Any

import flatbuffers  # type: ignore[import-untyped]  # it ships no types
from ai_edge_litert import schema_py_generated as schema
from flatbuffers.table import Table  # type: ignore[import-untyped]

from tbconv.contract.errors import ConversionError
from tf_serve.flatbuffer import IDENTIFIER

ALIGNMENT = 16  # of a buffer's data, schema.fbs
# the fields of the table Model by id, schema.fbs version 3; version (0) is a number, the rest are offsets
VERSION, BUFFERS, METADATA, FIELDS = 0, 4, 6, 10
SHAPE_SIGNATURE = 7  # field of the table Tensor
OPEN = -1  # an axis whose length is not fixed


def add_buffer(data: bytes, name: str, content: bytes) -> bytes:
    """Return the model with one more entry in `metadata`.

    Args:
        data: a whole TFLite file without anything appended.
        name: of the entry, such as TFLITE_METADATA.
        content: what its buffer holds.

    Raises:
        ConversionError: the file keeps its weights outside the flatbuffer, by absolute offsets.
        ValueError: it is no TFLite file, or it has such an entry.
    """
    model = _check(data, name)
    old = Table(data, int.from_bytes(data[:4], "little"))
    padded = data + bytes(-len(data) % ALIGNMENT)
    builder = flatbuffers.Builder(len(padded) + len(content) + 8 * model.BuffersLength() + 4096)
    builder.minalign = ALIGNMENT
    builder.head -= len(padded)  # the old file counts as written: the builder grows towards the front
    builder.Bytes[builder.head :] = padded
    buffers = [*_entries(old, BUFFERS, len(padded)), _buffer(builder, content)]
    entry = _entry(builder, name, len(buffers) - 1)
    vectors = {
        BUFFERS: _vector(builder, buffers),
        METADATA: _vector(builder, [*_entries(old, METADATA, len(padded)), entry]),
    }
    builder.Finish(_root(builder, old, model.Version(), vectors, len(padded)), IDENTIFIER)
    return bytes(builder.Output())


def set_batch_of_one(data: bytes) -> bytes:
    """Return the model with the batch of its inputs and outputs said to be 1 instead of open.

    TensorFlow writes the open batch as -1 into `shape_signature`, beside a `shape` of 1. LiteRT.js
    2.5.3 refuses such a file ("does not match expected ranked tensor type Float32[-1, 224, 224, 1]");
    films are answered one by one anyway. Nothing but these numbers changes, and no answer with them.

    Args:
        data: a whole TFLite file.
    """
    settled = bytearray(data)
    graph = schema.Model.GetRootAs(data).Subgraphs(0)
    for index in [*graph.InputsAsNumpy(), *graph.OutputsAsNumpy()]:
        tensor = graph.Tensors(index)
        table = Table(data, tensor._tab.Pos)
        for axis in range(tensor.ShapeSignatureLength()):
            if tensor.ShapeSignature(axis) == OPEN:
                place = table.Vector(table.Offset(4 + 2 * SHAPE_SIGNATURE)) + 4 * axis
                settled[place : place + 4] = int(tensor.Shape(axis)).to_bytes(4, "little")
    return bytes(settled)


def find_buffer(data: bytes, name: str) -> bytes | None:
    """Return what the buffer of a metadata entry holds; None where the file has no such entry."""
    model = schema.Model.GetRootAs(data)
    for index in range(model.MetadataLength()):
        entry = model.Metadata(index)
        if entry.Name() == name.encode():
            return bytes(model.Buffers(entry.Buffer()).DataAsNumpy())
    return None


def _check(data: bytes, name: str) -> Any:
    if data[4:8] != IDENTIFIER or find_buffer(data, name) is not None:
        raise ValueError(f"the file is no TFLite file, or it has {name} already")
    model = schema.Model.GetRootAs(data)
    outside = [index for index in range(model.BuffersLength()) if model.Buffers(index).Offset() > 1]
    if outside:
        raise ConversionError(
            f"{len(outside)} buffers lie outside the flatbuffer",
            why="their places are counted from the file's start, so nothing can be put before them",
            fix="convert a network below 2 GB, which TensorFlow keeps inside",
        )
    return model


def _entries(table: Any, field: int, length: int) -> list[int]:
    """Return the tables of a vector as the builder counts: from the end of the file."""
    offset = table.Offset(4 + 2 * field)
    start, count = (table.Vector(offset), table.VectorLen(offset)) if offset else (0, 0)
    return [length - table.Indirect(start + 4 * index) for index in range(count)]


def _buffer(builder: Any, content: bytes) -> int:
    builder.StartVector(1, len(content), ALIGNMENT)
    builder.head -= len(content)
    builder.Bytes[builder.head : builder.head + len(content)] = content
    data = builder.EndVector()
    schema.BufferStart(builder)
    schema.BufferAddData(builder, data)
    return int(schema.BufferEnd(builder))


def _entry(builder: Any, name: str, buffer: int) -> int:
    text = builder.CreateString(name)
    schema.MetadataStart(builder)
    schema.MetadataAddName(builder, text)
    schema.MetadataAddBuffer(builder, buffer)
    return int(schema.MetadataEnd(builder))


def _vector(builder: Any, places: list[int]) -> int:
    builder.StartVector(4, len(places), 4)
    for place in reversed(places):
        builder.PrependUOffsetTRelative(place)
    return int(builder.EndVector())


def _root(builder: Any, old: Any, version: int, vectors: dict[int, int], length: int) -> int:
    builder.StartObject(FIELDS)
    builder.PrependUint32Slot(VERSION, version, 0)
    for field in range(VERSION + 1, FIELDS):
        offset = old.Offset(4 + 2 * field)
        kept = length - old.Indirect(old.Pos + offset) if offset else 0
        builder.PrependUOffsetTRelativeSlot(field, vectors.get(field, kept), 0)
    return int(builder.EndObject())
