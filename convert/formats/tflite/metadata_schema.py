"""The tables of TFLite's metadata schema that are used here, and the one way to write and read them.

Source: tensorflow_lite_support/metadata/metadata_schema.fbs 1.1.0 of github.com/tensorflow/tflite-support.
Its own Python package, tflite-support, has no wheel for Python 3.12, so the field ids stand here:
a field's place in its row is its id, and a union takes two (its kind, then its table).
"""

from __future__ import annotations

from typing import Any

import flatbuffers  # type: ignore[import-untyped]  # it ships no types
import numpy as np
from flatbuffers import number_types
from flatbuffers.table import Table  # type: ignore[import-untyped]

IDENTIFIER = b"M001"  # file_identifier of the schema
PARSER_VERSION = "1.0.0"  # every field used here was in the first version
DESCRIPTIONS, TENSOR_AXIS_LABELS = 1, 2  # AssociatedFileType
GRAYSCALE = 2  # ColorSpaceType
UNIONS = {
    "ContentProperties": ("NONE", "FeatureProperties", "ImageProperties"),
    "ProcessUnitOptions": ("NONE", "NormalizationOptions"),
}
TABLES = {
    "AssociatedFile": {"name": "string", "description": "string", "type": "byte", "locale": "string"},
    "FeatureProperties": {},
    "ImageSize": {"width": "uint", "height": "uint"},
    "ImageProperties": {"color_space": "byte", "default_size": "ImageSize"},
    "Content": {"content_properties": "ContentProperties"},
    "NormalizationOptions": {"mean": "[float]", "std": "[float]"},
    "ProcessUnit": {"options": "ProcessUnitOptions"},
    "Stats": {"max": "[float]", "min": "[float]"},
    "TensorMetadata": {
        "name": "string",
        "description": "string",
        "dimension_names": "[string]",
        "content": "Content",
        "process_units": "[ProcessUnit]",
        "stats": "Stats",
        "associated_files": "[AssociatedFile]",
    },
    "SubGraphMetadata": {
        "name": "string",
        "description": "string",
        "input_tensor_metadata": "[TensorMetadata]",
        "output_tensor_metadata": "[TensorMetadata]",
    },
    "ModelMetadata": {
        "name": "string",
        "description": "string",
        "version": "string",
        "subgraph_metadata": "[SubGraphMetadata]",
        "author": "string",
        "license": "string",
        "associated_files": "[AssociatedFile]",
        "min_parser_version": "string",
    },
}
NUMBERS = {"byte": number_types.Int8Flags, "ubyte": number_types.Uint8Flags, "uint": number_types.Uint32Flags}


def encode(metadata: dict[str, Any]) -> bytes:
    """Return a ModelMetadata flatbuffer.

    Args:
        metadata: fields by name, tables as dictionaries, a union as {kind: table}.

    Raises:
        ValueError: a field that no table has.
    """
    builder = flatbuffers.Builder(4096)
    builder.Finish(_write(builder, "ModelMetadata", metadata), IDENTIFIER)
    return bytes(builder.Output())


def decode(data: bytes) -> dict[str, Any]:
    """Return what `encode` was given; fields that were not written are left out.

    Raises:
        ValueError: the bytes are no metadata of this schema.
    """
    if data[4:8] != IDENTIFIER:
        raise ValueError(f"bytes 4..8 are {data[4:8]!r}, not {IDENTIFIER!r}")
    return _read("ModelMetadata", Table(data, int.from_bytes(data[:4], "little")))


def _slots(kind: str) -> list[tuple[int, str, str]]:
    slots, slot = [], 0
    for name, of in TABLES[kind].items():
        slots.append((slot, name, of))
        slot += 2 if of in UNIONS else 1
    return slots


def _write(builder: Any, kind: str, value: dict[str, Any]) -> int:
    if unknown := value.keys() - TABLES[kind].keys():
        raise ValueError(f"{kind} has no field {', '.join(sorted(unknown))}")
    slots = [slot for slot in _slots(kind) if slot[1] in value]
    places = {name: _write_child(builder, of, value[name]) for _, name, of in slots if of not in NUMBERS}
    builder.StartObject(sum(2 if of in UNIONS else 1 for of in TABLES[kind].values()))
    for slot, name, of in slots:
        if of in NUMBERS:
            builder.PrependSlot(NUMBERS[of], slot, value[name], 0)
            continue
        if of in UNIONS:
            builder.PrependUint8Slot(slot, UNIONS[of].index(next(iter(value[name]))), 0)
        builder.PrependUOffsetTRelativeSlot(slot + (of in UNIONS), places[name], 0)
    return int(builder.EndObject())


def _write_child(builder: Any, of: str, value: Any) -> int:
    if of == "string":
        return int(builder.CreateString(value))
    if of == "[float]":
        return int(builder.CreateNumpyVector(np.asarray(value, np.float32)))
    if of in UNIONS:
        [(kind, inner)] = value.items()
        return _write(builder, kind, inner)
    if not of.startswith("["):
        return _write(builder, of, value)
    places = [_write_child(builder, of[1:-1], item) for item in value]
    builder.StartVector(4, len(places), 4)
    for place in reversed(places):  # a flatbuffer grows from its end
        builder.PrependUOffsetTRelative(place)
    return int(builder.EndVector())


def _read(kind: str, table: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for slot, name, of in _slots(kind):
        union = of in UNIONS
        offset = table.Offset(4 + 2 * (slot + union))  # a vtable opens with two 16-bit sizes
        if not offset:
            continue
        if union:
            member = UNIONS[of][table.Get(number_types.Uint8Flags, table.Pos + table.Offset(4 + 2 * slot))]
            found[name] = {member: _read_child(member, table, offset)}
        else:
            found[name] = _read_child(of, table, offset)
    return found


def _read_child(of: str, table: Any, offset: int) -> Any:
    place = offset + table.Pos
    if of in NUMBERS:
        return int(table.Get(NUMBERS[of], place))
    if of == "string":
        return table.String(place).decode()
    if not of.startswith("["):
        return _read(of, Table(table.Bytes, table.Indirect(place)))
    start, count = table.Vector(offset), table.VectorLen(offset)
    if of == "[float]":
        return np.frombuffer(table.Bytes, np.float32, count, start).tolist()
    places = [start + 4 * index for index in range(count)]
    if of == "[string]":
        return [table.String(item).decode() for item in places]
    return [_read(of[1:-1], Table(table.Bytes, table.Indirect(item))) for item in places]
