"""What a converted file states of itself, and how a `.tflite` file carries it (others: convert.formats.metadata).

Two forms of the same facts, as Android's MetadataExtractor expects them: a flatbuffer under the
name TFLITE_METADATA, and a zip after the model's last byte, which any unzip program opens. No
framework is needed, no weight moves, and the same facts give the same bytes.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flatbuffers  # type: ignore[import-untyped]  # it ships no types
from ai_edge_litert import schema_py_generated as schema
from flatbuffers.table import Table  # type: ignore[import-untyped]

from convert.formats.reproducible import timeless_entry
from convert.formats.tflite import metadata_schema as known
from tbconv.contract.bundle import MAKE_AGAIN
from tbconv.contract.consistency import LABELS, OPERATING_POINT, PREPROCESSING
from tbconv.contract.errors import ArtefactError, ConversionError
from tbconv.contract.files import sha256_bytes, write_atomic
from tbconv.contract.manifest import STATEMENT, Kind, Manifest, canonical_json
from tf_serve.predict import BASELINE_LIMIT, SYNTHETIC_LIMIT
from tf_serve.runtime.structure import IDENTIFIER, check_tflite
from tf_serve.runtime.tflite import INPUT, OUTPUTS, SIGNATURE

FRAMEWORK = "litert"

# --- facts ---
# What every file states, in words and numbers: the one place where it is written down.

RULE = "flagged where logits[1] - logits[0] >= operating_point.margin"
CALIBRATION = "probability = 1 / (1 + exp(-(slope * margin + offset)))"
AXES = {
    "image": ["batch", "y", "x", "grey"],
    "logits": ["batch", "class"],
    "probability": ["batch", "positive"],
    "evidence": ["batch", "y", "x"],
}
MEANING = {
    "image": "One grey film, padded with black to a square, resized with Pillow's BILINEAR; 0 black to 255 white.",
    "logits": f"(negative, positive); {RULE}.",
    "probability": "Calibrated probability of the positive class. For people; decisions compare the margin.",
    "evidence": "What each place adds to the margin: margin = mean(evidence). Not where disease is.",
}


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What a file carries along, so that it can be used without its bundle."""

    manifest: Manifest  # of the bundle; its artefacts, provenance and list of files are not read
    network: Kind
    weights_sha256: str  # of the weights that were converted: weights.safetensors or baseline.safetensors
    author: str = "tbconv"
    license: str = "tbconv's code: MIT. Weights: as the films they were trained on."

    @property
    def description(self) -> str:
        """What the file is, with the sentences that stand wherever a result is shown."""
        manifest = self.manifest
        purpose = (
            f"Looks for signs of {manifest.labels.positive} on one frontal chest X-ray. {manifest.words.disclaimer}"
        )
        synthetic = f" {SYNTHETIC_LIMIT}" if manifest.synthetic else ""
        return purpose + synthetic + (f" {BASELINE_LIMIT}" if self.network == "baseline" else "")

    @property
    def rule(self) -> str:
        """How the outputs decide, and what the bundle says that a flag calls for."""
        return f"{RULE}; a flag calls for {self.manifest.words.calls_for}"

    @property
    def statement(self) -> str:
        """All of it as one line of JSON, in ASCII, sorted: the same in every file of a network, whatever its format."""
        words = {
            "rule": self.rule,
            "calibrated": CALIBRATION,
            "limits": self.description,
            "license": self.license,
            "weights_sha256": self.weights_sha256,
        }
        return canonical_json(self.manifest.stated(self.network) | words)

    def files(self) -> dict[str, bytes]:
        """Return the files that are appended to a `.tflite` file, by name."""
        stated = self.manifest.stated(self.network)
        decision: dict[str, Any] = {
            key: stated[key] for key in ("calibration", "operating_point", "network", "referral") if key in stated
        }
        decision |= {"rule": self.rule, "calibrated": CALIBRATION, "limits": self.description}
        return {
            LABELS: "".join(f"{name}\n" for name in self.manifest.labels.names).encode(),
            PREPROCESSING: _json(stated["preprocessing"]),
            OPERATING_POINT: _json(decision),
            STATEMENT: self.statement.encode(),
        }


def describe(facts: FileFacts, outputs: list[str]) -> dict[str, Any]:
    """Return the metadata of a file, as `metadata_schema.encode` takes it.

    Args:
        facts: what to state.
        outputs: their names in the order of the subgraph's tensors.
    """
    point = {"name": OPERATING_POINT, "description": facts.rule, "type": known.DESCRIPTIONS}
    whole = {"name": STATEMENT, "description": "all of it, as in every format", "type": known.DESCRIPTIONS}
    return {
        "name": f"{facts.manifest.name} ({facts.network})",
        "description": facts.description,
        "version": facts.weights_sha256,
        "subgraph_metadata": [
            {"input_tensor_metadata": [_image(facts)], "output_tensor_metadata": [_output(name) for name in outputs]}
        ],
        "author": facts.author,
        "license": facts.license,
        "associated_files": [point, whole],
        "min_parser_version": known.PARSER_VERSION,
    }


def _image(facts: FileFacts) -> dict[str, Any]:
    size = {"width": facts.manifest.preprocessing.size, "height": facts.manifest.preprocessing.size}
    properties = {"color_space": known.GRAYSCALE, "default_size": size}
    file = {"name": PREPROCESSING, "description": "how a film becomes this tensor", "type": known.DESCRIPTIONS}
    return {
        **_tensor(INPUT),
        "content": {"content_properties": {"ImageProperties": properties}},
        # the graph scales and normalises by itself: a client that normalises as stated here changes nothing
        "process_units": [{"options": {"NormalizationOptions": {"mean": [0.0], "std": [1.0]}}}],
        "stats": {"max": [255.0], "min": [0.0]},
        "associated_files": [file],
    }


def _output(name: str) -> dict[str, Any]:
    described = {**_tensor(name), "content": {"content_properties": {"FeatureProperties": {}}}}
    if name == "probability":
        described["stats"] = {"max": [1.0], "min": [0.0]}
    if name == "logits":
        axis = "the classes, in the order of the logits"
        described["associated_files"] = [{"name": LABELS, "description": axis, "type": known.TENSOR_AXIS_LABELS}]
    return described


def _tensor(name: str) -> dict[str, Any]:
    return {"name": name, "description": MEANING[name], "dimension_names": AXES[name]}


def _json(value: dict[str, Any]) -> bytes:
    return f"{json.dumps(value, indent=2, sort_keys=True, allow_nan=False)}\n".encode()


# --- tflite metadata ---

ENTRY = "TFLITE_METADATA"  # the name that MetadataExtractor looks for (tflite-support, metadata_parser.h)


def label_tflite(path: Path, facts: FileFacts) -> None:
    """Put the facts into a file, or others in their place, whole or not at all; errors as of `add_metadata`."""
    write_atomic(path, add_metadata(path.read_bytes(), facts))


def add_metadata(data: bytes, facts: FileFacts) -> bytes:
    """Return a TFLite file with the facts inside and the files appended, in the place of those that it has.

    Args:
        data: a TFLite file, as its converter wrote it or with other facts: where the flatbuffer says the same, the
            bytes are those that the converter's file would get.
        facts: what to state of it.

    Raises:
        ConversionError: its signature is not image -> logits, probability, evidence.
        ValueError: it is no TFLite file.
    """
    model = _without_files(data)
    content = known.encode(describe(facts, _outputs_in_order(model)))
    return _append(put_buffer(model, ENTRY, content), facts.files())


def _without_files(data: bytes) -> bytes:
    """Return a file without the zip that tbconv appended to it, if it did."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
    except zipfile.BadZipFile:
        return data
    return data[: min(one.header_offset for one in members)] if members else data


def read_metadata(path: Path) -> dict[str, Any]:
    """Return the metadata of a file: the fields of its metadata, and `files`, name to text.

    Raises:
        ArtefactError: the file is missing, or carries no metadata that can be read.
    """
    check_tflite(path)
    content = find_buffer(path.read_bytes(), ENTRY)
    try:
        with zipfile.ZipFile(path) as archive:
            files = {name: archive.read(name).decode() for name in archive.namelist()}
        return {**known.decode(content or b""), "files": files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        why = f"it has no {ENTRY}" if content is None else str(error)
        raise ArtefactError(f"{path.name} has no metadata", why=why, fix=MAKE_AGAIN) from error


def _outputs_in_order(data: bytes) -> list[str]:
    """Return the outputs' names in the order of the subgraph's tensors, which metadata must follow."""
    model = schema.ModelT.InitFromPackedBuf(data)
    for row in model.signatureDefs or []:
        inputs = [tensor.name.decode() for tensor in row.inputs]
        named = {tensor.tensorIndex: tensor.name.decode() for tensor in row.outputs}
        if row.signatureKey.decode() == SIGNATURE and inputs == [INPUT] and set(named.values()) == set(OUTPUTS):
            return [named[index] for index in model.subgraphs[row.subgraphIndex].outputs]
    signatures = "; ".join(_signature(row) for row in model.signatureDefs or []) or "none"
    raise ConversionError(
        f"the file has no signature {SIGNATURE}: {INPUT} -> {', '.join(OUTPUTS)}",
        why=f"its signatures are {signatures}",
        fix="convert with --route own, whose outputs carry their names",
    )


def _signature(row: Any) -> str:
    inputs, outputs = (", ".join(sorted(tensor.name.decode() for tensor in side)) for side in (row.inputs, row.outputs))
    return f"{row.signatureKey.decode()}: {inputs} -> {outputs}"


def _append(model: bytes, files: dict[str, bytes]) -> bytes:
    whole = io.BytesIO(model)
    with zipfile.ZipFile(whole, "a", zipfile.ZIP_STORED) as archive:  # stored: Android reads it in place
        for name, content in files.items():
            archive.writestr(timeless_entry(name), content)
    return whole.getvalue()


# --- tflite claims ---
# What the metadata flatbuffers of TFLite files claim, read in a process of its own: LiteRT's schema stays in there.


def claims(request: dict[str, Any]) -> dict[str, Any]:
    """Read files.

    Args:
        request: files (paths).

    Returns:
        by path, the fields of the metadata (convert.formats.tflite.metadata_schema), or {"problem": why there is none}.
    """
    return {path: _claims(Path(path)) for path in request["files"]}


def _claims(path: Path) -> dict[str, Any]:
    try:
        return read_metadata(path)
    except ArtefactError as error:
        return {"problem": error.one_line}


# --- tflite root ---
# The one place that edits a finished TFLite flatbuffer: a metadata buffer more.
#
# All offsets of a flatbuffer are relative, so a new root table may stand in front of the old bytes
# and point into them. Unpacking and packing 100 MB again would lose the alignment of the weights
# (schema.fbs: `data:[ubyte] (force_align: 16)`), which the kernels read in place.

ALIGNMENT = 16  # of a buffer's data, schema.fbs
# the fields of the table Model by id, schema.fbs version 3; version (0) is a number, the rest are offsets
VERSION, BUFFERS, METADATA, FIELDS = 0, 4, 6, 10
OPEN = -1  # an axis whose length is not fixed
# operations whose output has the sides that one of their inputs says, and which input that is
SHAPED_BY = {
    getattr(schema.BuiltinOperator, name): slot
    for name, slot in {"RESHAPE": 1, "PAD": 1, "PADV2": 1, "MEAN": 1, "SUM": 1, "BROADCAST_TO": 1, "FILL": 0}.items()
} | {schema.BuiltinOperator.STRIDED_SLICE: 1, schema.BuiltinOperator.SLICE: 1, schema.BuiltinOperator.TRANSPOSE: 1}


def put_buffer(data: bytes, name: str, content: bytes) -> bytes:
    """Return the model with an entry in `metadata`, a new one or one that holds something else than before.

    Args:
        data: a whole TFLite file without anything appended.
        name: of the entry, such as TFLITE_METADATA.
        content: what its buffer holds.

    Raises:
        ConversionError: the file keeps its weights outside the flatbuffer, by absolute offsets.
        ValueError: it is no TFLite file.
    """
    model, known_at = _check(data), _buffer_number(data, name)
    if known_at is not None and find_buffer(data, name) == content:
        return data
    old = Table(data, int.from_bytes(data[:4], "little"))
    padded = data + bytes(-len(data) % ALIGNMENT)
    builder = flatbuffers.Builder(len(padded) + len(content) + 8 * model.BuffersLength() + 4096)
    builder.minalign = ALIGNMENT
    builder.head -= len(padded)  # the old file counts as written: the builder grows towards the front
    builder.Bytes[builder.head :] = padded
    buffers, entries = (_entries(old, field, len(padded)) for field in (BUFFERS, METADATA))
    fresh = _buffer(builder, content)
    if known_at is None:
        entries.append(_entry(builder, name, len(buffers)))
        buffers.append(fresh)
    else:
        buffers[known_at] = fresh
    vectors = {BUFFERS: _vector(builder, buffers), METADATA: _vector(builder, entries)}
    builder.Finish(_root(builder, old, model.Version(), vectors, len(padded)), IDENTIFIER)
    return bytes(builder.Output())


def open_tensors(data: bytes) -> list[str]:
    """Return the names of tensors whose shape is not fixed, in the order of the file; none is what ships.

    LiteRT allocates them while it runs: its CompiledModel refuses such a file, and LiteRT.js 2.5.3 answers zeros from
    the second film on, or refuses it as well ("does not match expected ranked tensor type Float32[-1, 224, 224, 1]").

    Args:
        data: a whole TFLite file.
    """
    model, found = schema.Model.GetRootAs(data), dict[str, None]()
    for graph in map(model.Subgraphs, range(model.SubgraphsLength())):
        for tensor in map(graph.Tensors, range(graph.TensorsLength())):
            if OPEN in [tensor.ShapeSignature(axis) for axis in range(tensor.ShapeSignatureLength())]:
                found[tensor.Name().decode(errors="replace")] = None
        made = {int(one) for one in graph.InputsAsNumpy()}
        for operator in map(graph.Operators, range(graph.OperatorsLength())):
            outputs = [int(one) for one in operator.OutputsAsNumpy()]
            code = model.OperatorCodes(operator.OpcodeIndex())
            slot = SHAPED_BY.get(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()))
            if slot is not None and operator.InputsLength() > slot and operator.Inputs(slot) in made:
                found |= dict.fromkeys(graph.Tensors(one).Name().decode(errors="replace") for one in outputs)
            made |= set(outputs)
    return list(found)


def require_fixed(request: dict[str, Any]) -> dict[str, Any]:
    """Refuse files with a tensor whose shape is not fixed, whoever wrote them; request: files (paths).

    Raises:
        ConversionError: naming the first of them.
    """
    for path in map(Path, request["files"]):
        if found := open_tensors(path.read_bytes()):
            raise ConversionError(
                f"{path.name} keeps {len(found)} tensors of an open shape",
                why=f"the first is {found[0]!r}; LiteRT's CompiledModel refuses such a file, LiteRT.js answers zeros",
                fix="convert with --route own, whose shapes are fixed",
            )
    return {}


def open_files(request: dict[str, Any]) -> dict[str, Any]:
    """Return how many tensors of each file have an open shape, by path; request: files (paths)."""
    return {path: len(open_tensors(Path(path).read_bytes())) for path in request["files"]}


def find_buffer(data: bytes, name: str) -> bytes | None:
    """Return what the buffer of a metadata entry holds; None where the file has no such entry."""
    number = _buffer_number(data, name)
    return None if number is None else bytes(schema.Model.GetRootAs(data).Buffers(number).DataAsNumpy())


def _buffer_number(data: bytes, name: str) -> int | None:
    model = schema.Model.GetRootAs(data)
    entries = map(model.Metadata, range(model.MetadataLength()))
    return next((entry.Buffer() for entry in entries if entry.Name() == name.encode()), None)


def weight_digests(data: bytes) -> dict[str, str]:
    """Return the SHA-256 of every int8 constant of the first subgraph, by the name of its tensor."""
    model = schema.Model.GetRootAs(data)
    graph = model.Subgraphs(0)
    tensors = [graph.Tensors(index) for index in range(graph.TensorsLength())]
    return {
        tensor.Name().decode(): sha256_bytes(model.Buffers(tensor.Buffer()).DataAsNumpy().tobytes())
        for tensor in tensors
        if tensor.Type() == schema.TensorType.INT8 and model.Buffers(tensor.Buffer()).DataLength()
    }


def _check(data: bytes) -> Any:
    if data[4:8] != IDENTIFIER:
        raise ValueError("the file is no TFLite file")
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
