"""Which ONNX files can be converted at all: everything that is refused, and why, before anything is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # protobuf ships no types
from onnx import TensorProto

from tbconv.contract.errors import ConversionError
from tbconv.contract.files import sha256_file

LOWEST_OPSET = 7  # from there on Add and Mul broadcast as numpy does, which the front relies on
CHANNELS = (1, 3)
QUANTISED = (
    "QLinear",
    "QuantizeLinear",
    "DequantizeLinear",
    "DynamicQuantize",
    "ConvInteger",
    "MatMulInteger",
    "QGemm",
)
FIRST_BYTE = 0x08  # the tag of ir_version, with which every exporter begins a ModelProto
EXPORT_AGAIN = "export it again"


def read_foreign(path: Path) -> onnx.ModelProto:
    """Read a file that others made, with its external data, and check that it is whole.

    Raises:
        ConversionError: it is no ONNX file, cut off, lacks external data, or ONNX's checker finds it invalid.
    """
    model = _parse(path)
    external_files(model, path)
    try:
        onnx.load_external_data_for_model(model, str(path.parent))
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError, OSError) as error:
        line = " ".join(str(error).split())[:400]
        raise ConversionError(f"{path.name} is not a valid ONNX file", why=line, fix=EXPORT_AGAIN) from error
    return model


def external_files(model: onnx.ModelProto, path: Path) -> list[str]:
    """Return the names of the files that hold weights beside the ONNX file; ConversionError where one is missing."""
    stored = [tensor for tensor in model.graph.initializer if tensor.data_location == TensorProto.EXTERNAL]
    places = {entry.value for tensor in stored for entry in tensor.external_data if entry.key == "location"}
    missing = [name for name in sorted(places) if not (path.parent / name).is_file()]
    if missing:
        raise ConversionError(
            f"{path.name} keeps weights in {', '.join(missing)}, which is not beside it",
            why="an ONNX file above 2 GB, or one exported with external data, is several files",
            fix=f"put {', '.join(missing)} into {path.parent}, or export with external_data=False",
        )
    return sorted(places)


def digests(path: Path) -> dict[str, str]:
    """Return the SHA-256 of the file and of its external data, by name."""
    beside = [path.parent / name for name in external_files(_parse(path), path)]
    return {one.name: sha256_file(one) for one in (path, *beside)}


def image_input(model: onnx.ModelProto) -> onnx.ValueInfoProto:
    """Return the one input, [N, 1 or 3, S, S] float32.

    Raises:
        ConversionError: there are several, or it is no square image of a fixed size.
    """
    stored = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in stored]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs) or "none"
        raise _refused(f"it has {len(inputs)} inputs: {names}", "a film is one image", "export the image network alone")
    [value] = inputs
    kind = value.type.tensor_type
    if kind.elem_type != TensorProto.FLOAT:
        found = TensorProto.DataType.Name(kind.elem_type)
        raise _refused(f"its input {value.name} is {found}", "float32 is needed", "export the float32 network")
    _check_shape(value.name, shape_of(value))
    return value


def check_body(model: onnx.ModelProto) -> int:
    """Return the opset, after what no front can mend was refused.

    Raises:
        ConversionError: an old opset, a file that is quantised already, weights of another float type,
            or outputs that are no classes.
    """
    opset = max((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), default=0)
    if opset < LOWEST_OPSET:
        why = f"{LOWEST_OPSET} is the first whose Add and Mul broadcast"
        raise _refused(f"its opset is {opset}", why, "export with opset 18")
    quantised = [node for node in model.graph.node if node.op_type.startswith(QUANTISED)]
    if quantised:
        what = f"it is quantised already: {len(quantised)} nodes such as {quantised[0].op_type}"
        raise _refused(what, "rounding twice cannot be told from an error", "export the float32 network")
    others = {t.data_type for t in model.graph.initializer} & {
        TensorProto.FLOAT16,
        TensorProto.BFLOAT16,
        TensorProto.DOUBLE,
    }
    if others:
        names = ", ".join(sorted(TensorProto.DataType.Name(one) for one in others))
        raise _refused(f"it holds weights in {names}", "float32 is needed", "export the network with .float()")
    for value in model.graph.output:
        rank = len(shape_of(value))
        if value.type.tensor_type.HasField("shape") and rank != 2:
            why = f"a classifier gives [N, classes], this has {rank} axes"
            raise _refused(
                f"its output {value.name} is no list of classes", why, "export the classifier's outputs alone"
            )
    return opset


def shape_of(value: onnx.ValueInfoProto) -> list[int | str | None]:
    """Return each side as a number, a name where it is dynamic, None where nothing is said."""
    sides = value.type.tensor_type.shape.dim
    return [side.dim_value if side.HasField("dim_value") else side.dim_param or None for side in sides]


def _parse(path: Path) -> onnx.ModelProto:
    try:
        # not by its suffix: onnx would read .json and .textproto as text, which ONNX Runtime cannot
        model = onnx.load(str(path), format="protobuf", load_external_data=False)
    except DecodeError as error:
        data = path.open("rb").read(1)
        if data[:1] == bytes([FIRST_BYTE]):
            why = f"it begins as one and then cannot be read ({path.stat().st_size} bytes)"
            raise ConversionError(
                f"{path.name} is cut off or damaged", why=why, fix="copy or export it again"
            ) from error
        raise _no_onnx(path) from error
    except OSError as error:
        why = error.strerror or str(error)
        raise ConversionError(f"{path} cannot be read", why=why, fix="check the path and its permissions") from error
    if not model.graph.node:
        raise _no_onnx(path)
    return model


def _no_onnx(path: Path) -> ConversionError:
    why = "there is no graph in it"
    return ConversionError(
        f"{path.name} is not an ONNX file", why=why, fix="give a run folder, or a file of torch.onnx.export"
    )


def _check_shape(name: str, shape: list[Any]) -> None:
    said = f"[{', '.join('?' if side is None else str(side) for side in shape)}]"
    if len(shape) != 4:
        raise _refused(f"its input {name} is {said}", "an image is [N, C, H, W]", "export a network that takes images")
    _, channels, height, width = shape
    if channels not in CHANNELS:
        last = " (it looks like [N, H, W, C])" if shape[3] in CHANNELS else ""
        why = f"a grey film gives one channel, or the same in three{last}"
        raise _refused(f"its input {name} is {said}", why, "export it as [N, 1 or 3, H, W]")
    if not (isinstance(height, int) and isinstance(width, int)):
        why = "a converted file has one size, and which one this network was trained at nobody says"
        raise _refused(
            f"its input {name} is {said}, height or width dynamic", why, "export with a fixed size, such as 224"
        )
    if height != width:
        raise _refused(f"its input {name} is {said}, not square", "films are padded to a square", "export it square")


def _refused(what: str, why: str, fix: str) -> ConversionError:
    return ConversionError(f"this ONNX file cannot be converted: {what}", why=why, fix=fix)
