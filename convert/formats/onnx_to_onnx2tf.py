"""ONNX -> TFLite and SavedModel with onnx2tf: the reference converter, which shares no code with our own route.

onnx2tf rewrites the file that it is given and swallows its errors: it gets a copy, and is
judged by what it left behind, never by its exit code or by "complete!".
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import onnx

from convert.formats.onnx_graph import load_onnx
from convert.worker import LONGEST_S, RETURN_MEMORY, TAIL_LINES
from tbconv.contract.errors import ConversionError
from tbconv.contract.files import disk_refusal, temporary_folder

BACKEND = "flatbuffer_direct"  # named always: onnx2tf's default differs by version; the other one took 15 min
STEM = "converted"


def onnx_to_tf(request: dict[str, Any]) -> dict[str, Any]:
    """Convert one ONNX file.

    Args:
        request: onnx, tflite and saved_model (where to leave the two; saved_model may be null); limit, in seconds, may
            be given.

    Returns:
        converter; lacks, why there is no SavedModel though one was asked for, or null (2.6.9 writes none of a
        network with depthwise convolutions).

    Raises:
        ConversionError: there is no TFLite file.
    """
    lacks = None
    with temporary_folder("onnx2tf") as folder:
        copy = folder / f"{STEM}.onnx"
        _write_static_copy(Path(request["onnx"]), copy)
        output = folder / "out"
        said = _run(copy, output, request.get("limit", LONGEST_S))
        _keep(output / f"{STEM}_float32.tflite", Path(request["tflite"]), said)
        if request.get("saved_model"):
            lacks = _keep_saved_model(output, Path(request["saved_model"]), said)
    return {"converter": f"onnx2tf {metadata.version('onnx2tf')} -tb {BACKEND}", "lacks": lacks}


def _write_static_copy(source: Path, copy: Path) -> None:
    """Copy with batch 1: a dynamic batch grows onnx2tf's graph."""
    model = load_onnx(source)
    for value in [*model.graph.input, *model.graph.output]:
        value.type.tensor_type.shape.dim[0].Clear()
        value.type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, str(copy))


def _run(copy: Path, output: Path, limit: float) -> str:
    program = shutil.which("onnx2tf", path=str(Path(sys.executable).parent)) or "onnx2tf"
    command = [program, "-i", str(copy), "-o", str(output), "-tb", BACKEND, "-fdosm", "-osd", "-coion", "-n"]
    environment = {name: value for name, value in os.environ.items() if name not in RETURN_MEMORY}  # it runs alone
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=copy.parent, env=environment, timeout=limit
        )
    except subprocess.TimeoutExpired as error:
        why, fix = f"it took more than {limit:g} s, and was ended", "convert without --route onnx2tf"
        raise ConversionError("onnx2tf wrote no file", why=why, fix=fix) from error
    return done.stdout + done.stderr


def _last_lines(said: str) -> str:
    return "\n    ".join([line for line in said.splitlines() if line.strip()][-TAIL_LINES:])


def _keep(made: Path, place: Path, said: str) -> None:
    if not made.is_file():
        if refusal := disk_refusal(_last_lines(said)):
            raise refusal
        raise ConversionError(
            f"onnx2tf left no {made.name}",
            why=f"its last lines were:\n    {_last_lines(said)}",
            fix="convert without --route: our own files need no onnx2tf; or report the node that it names",
        )
    shutil.move(made, place)


def _keep_saved_model(output: Path, place: Path, said: str) -> str | None:
    """Move the SavedModel into its place, or return why there is none."""
    if not (output / "saved_model.pb").is_file():
        if refusal := disk_refusal(_last_lines(said)):
            raise refusal
        return _last_lines(said).splitlines()[-1].strip() if said.strip() else "it said nothing"
    place.mkdir(parents=True)
    for name in ("saved_model.pb", "variables", "fingerprint.pb"):
        if (output / name).exists():
            shutil.move(output / name, place / name)
    return None
