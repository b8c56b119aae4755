"""What a `.tflite` file says of itself: the one place that puts labels, preprocessing and threshold into it.

Two forms of the same facts, as Android's MetadataExtractor expects them: a flatbuffer under the
name TFLITE_METADATA, and a zip after the model's last byte, which any unzip program opens. No
framework is needed, no weight moves, and the same facts give the same bytes.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from convert import metadata_schema as known
from convert.repeat import timeless_entry
from convert.tflite_facts import TFLiteFacts, describe
from convert.tflite_root import add_buffer, find_buffer, set_batch_of_one
from tbconv.contract.errors import ArtefactError, ConversionError
from tbconv.contract.files import write_atomic
from tf_serve.flatbuffer import MAKE_AGAIN, check_tflite
from tf_serve.model import INPUT, OUTPUTS, SIGNATURE

ENTRY = "TFLITE_METADATA"  # the name that MetadataExtractor looks for (tflite-support, metadata_parser.h)


def label_tflite(path: Path, facts: TFLiteFacts) -> None:
    """Put the facts into a file, in place, whole or not at all, and fix its batch at 1; errors as of `add_metadata`."""
    write_atomic(path, add_metadata(set_batch_of_one(path.read_bytes()), facts))


def add_metadata(data: bytes, facts: TFLiteFacts) -> bytes:
    """Return a TFLite file with the facts inside and the files appended.

    Args:
        data: a TFLite file without metadata, as its converter wrote it.
        facts: what to say of it.

    Raises:
        ConversionError: its signature is not image -> logits, probability, evidence.
        ValueError: it is no TFLite file, or has metadata.
    """
    outputs = _outputs_in_order(data)
    model = add_buffer(data, ENTRY, known.encode(describe(facts, outputs)))
    return _append(model, facts.files())


def read_metadata(path: Path) -> dict[str, Any]:
    """Return what a file says of itself: the fields of its metadata, and `files`, name to text.

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
        raise ArtefactError(f"{path.name} says nothing of itself", why=why, fix=MAKE_AGAIN) from error


def _outputs_in_order(data: bytes) -> list[str]:
    """Return the outputs' names in the order of the subgraph's tensors, which metadata must follow."""
    model = schema.ModelT.InitFromPackedBuf(data)
    for row in model.signatureDefs or []:
        inputs = [tensor.name.decode() for tensor in row.inputs]
        named = {tensor.tensorIndex: tensor.name.decode() for tensor in row.outputs}
        if row.signatureKey.decode() == SIGNATURE and inputs == [INPUT] and set(named.values()) == set(OUTPUTS):
            return [named[index] for index in model.subgraphs[row.subgraphIndex].outputs]
    told = "; ".join(_signature(row) for row in model.signatureDefs or []) or "none"
    raise ConversionError(
        f"the file has no signature {SIGNATURE}: {INPUT} -> {', '.join(OUTPUTS)}",
        why=f"its signatures are {told}",
        fix="convert with --route keras, whose outputs carry their names",
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
