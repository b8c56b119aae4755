"""The messages of the Open Inference Protocol over gRPC, as protobuf classes made from one table.

Names, order and types of the fields are the protocol's (kserve/open-inference-protocol, open_inference_grpc.proto);
in each of its messages the fields are numbered from 1 in this order. The classes live in a pool of their own, so that
a client of the same protocol can be loaded beside them.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto  # type: ignore[import-untyped]
from google.protobuf.descriptor_pool import DescriptorPool  # type: ignore[import-untyped]
from google.protobuf.message_factory import GetMessageClass  # type: ignore[import-untyped]

PACKAGE = "inference"
SERVICE = f"{PACKAGE}.GRPCInferenceService"
_TENSOR = ("string name", "string datatype", "repeated int64 shape")
_VALUE_TENSOR = (*_TENSOR, "map InferParameter parameters", "InferTensorContents contents")
FIELDS: dict[str, tuple[str, ...]] = {
    "ServerLiveRequest": (),
    "ServerLiveResponse": ("bool live",),
    "ServerReadyRequest": (),
    "ServerReadyResponse": ("bool ready",),
    "ModelReadyRequest": ("string name", "string version"),
    "ModelReadyResponse": ("bool ready",),
    "ServerMetadataRequest": (),
    "ServerMetadataResponse": ("string name", "string version", "repeated string extensions"),
    "ModelMetadataRequest": ("string name", "string version"),
    "TensorMetadata": _TENSOR,
    "ModelMetadataResponse": (
        "string name",
        "repeated string versions",
        "string platform",
        "repeated TensorMetadata inputs",
        "repeated TensorMetadata outputs",
    ),
    "InferInputTensor": _VALUE_TENSOR,
    "InferRequestedOutputTensor": ("string name", "map InferParameter parameters"),
    "ModelInferRequest": (
        "string model_name",
        "string model_version",
        "string id",
        "map InferParameter parameters",
        "repeated InferInputTensor inputs",
        "repeated InferRequestedOutputTensor outputs",
        "repeated bytes raw_input_contents",
    ),
    "InferOutputTensor": _VALUE_TENSOR,
    "ModelInferResponse": (
        "string model_name",
        "string model_version",
        "string id",
        "map InferParameter parameters",
        "repeated InferOutputTensor outputs",
        "repeated bytes raw_output_contents",
    ),
    "InferParameter": (
        "bool bool_param",
        "int64 int64_param",
        "string string_param",
        "double double_param",
        "uint64 uint64_param",
    ),
    "InferTensorContents": (
        "repeated bool bool_contents",
        "repeated int32 int_contents",
        "repeated int64 int64_contents",
        "repeated uint32 uint_contents",
        "repeated uint64 uint64_contents",
        "repeated float fp32_contents",
        "repeated double fp64_contents",
        "repeated bytes bytes_contents",
    ),
}
ONE_OF = {"InferParameter": "parameter_choice"}  # messages of whose fields one is set


def _message(name: str) -> DescriptorProto:
    message = DescriptorProto(name=name)
    if name in ONE_OF:
        message.oneof_decl.add(name=ONE_OF[name])
    for number, words in enumerate(FIELDS[name], start=1):
        *labels, kind, field = words.split()
        if labels == ["map"]:
            labels, kind = ["repeated"], _entry(message, name, kind, field)
        made = message.field.add(name=field, number=number, label=_label(labels), **_type(kind))
        if name in ONE_OF:
            made.oneof_index = 0
    return message


def _entry(message: DescriptorProto, name: str, kind: str, field: str) -> str:
    """Add what protobuf makes of a map: repeated pairs of a text and a value."""
    entry = message.nested_type.add(name=f"{field.capitalize()}Entry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, label=_label([]), **_type("string"))
    entry.field.add(name="value", number=2, label=_label([]), **_type(kind))
    return f"{name}.{entry.name}"


def _label(labels: list[str]) -> Any:
    return FieldDescriptorProto.LABEL_REPEATED if labels else FieldDescriptorProto.LABEL_OPTIONAL


def _type(kind: str) -> dict[str, Any]:
    if kind[0].isupper():
        return {"type": FieldDescriptorProto.TYPE_MESSAGE, "type_name": f".{PACKAGE}.{kind}"}
    return {"type": getattr(FieldDescriptorProto, f"TYPE_{kind.upper()}")}


def _classes() -> dict[str, Any]:
    pool = DescriptorPool()
    messages = [_message(name) for name in FIELDS]
    pool.Add(FileDescriptorProto(name="tbconv/inference", package=PACKAGE, syntax="proto3", message_type=messages))
    return {name: GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}")) for name in FIELDS}


MESSAGES = _classes()  # by name
