"""An ExportedProgram of others, judged before PyTorch reads it: what is in its archive may only name ATen operations.

`torch.export.load` unpickles custom objects, evaluates the expressions and guards of shapes as Python, looks up
operators by any path below `torch`, writes the names of nodes into Python source, and opens shared libraries. So a new
archive is written of what was read and judged, without the rest, and that is what PyTorch gets.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from tbconv.contract.errors import ConversionError, printable

FRAMEWORK = "torch"

MODEL = "models/model.json"
CONFIGS = ("data/weights/model_weights_config.json", "data/constants/model_constants_config.json")
SAMPLES = "data/sample_inputs/model.pt"  # which torch.load reads as tensors alone
TENSORS = re.compile(r"data/(?:weights/weight|constants/tensor)_\d+")
FORMAT = {"archive_format": b"pt2", "archive_version": b"0", "byteorder": b"little"}
IGNORED = re.compile(r"archive_format|archive_version|byteorder|version|\.data/.*|\.format_version|\.storage_alignment")

PLAIN = re.compile(r"[\w.:+\-]{0,300}")  # a name, a version, a device, an option of an operation
EQUATION = re.compile(r"[A-Za-z., ]{1,100}(?:->[A-Za-z. ]{0,100})?")  # of an einsum, whose letters name axes
TARGET = re.compile(
    r"torch\.ops\.aten\.\w+\.\w+"
    r"|_operator\.(?:getitem|add|sub|mul|floordiv|truediv|mod|neg|eq|ne|lt|le|gt|ge)"
    r"|torch\.sym_(?:int|float|max|min|not)"
)
OF_FILES = re.compile(r"torch\.ops\.aten\.(?:from_file|_?print|warn|_assert\w*|set_\w*|record_stream)\b")
WORDS = (
    "Symbol Integer Rational Add Mul Pow FloorDiv CleanDiv CeilDiv Mod PythonMod Max Min True False integer positive"
)
EXPRESSION = re.compile(
    rf"(?:\b(?:{'|'.join(WORDS.split())}|nonnegative)\b|'[su]\d+'|\b\d+\b|[(),=+\-*/ ])*"
)  # of sympy
CONTAINERS = (None, "builtins.tuple", "builtins.list", "builtins.dict")
EMPTY = {"metadata": {}, "guards_code": [], "stack_trace": ""}
REFUSED = ("as_graph", "as_operator", "as_custom_obj", "custom_obj", "as_complex")


def load_program(path: Path) -> torch.export.ExportedProgram:
    """Return a judged program in eval mode, as it was exported.

    Raises:
        ConversionError: it is none, of another version of PyTorch, or holds what is not read.
    """
    archive = judged(path)
    try:
        return torch.export.load(io.BytesIO(archive))
    except Exception as error:  # whatever PyTorch raises on a program of another version
        why = f"torch {torch.__version__} says: {printable(error, most=300)}"
        fix = "export and save it with that version, or give an ONNX file"
        raise ConversionError(f"{path.name} cannot be loaded", why=why, fix=fix) from error


def judged(path: Path) -> bytes:
    """Return a new archive of what was read and judged.

    Raises:
        ConversionError: it is no such archive, or something in it is not read.
    """
    files = _files(path)
    model = _object(path, files, MODEL)
    _judge(path, model)
    configs = {name: _object(path, files, name) for name in CONFIGS if name in files}
    for name, config in configs.items():
        _judge(path, config)
        for key, value in config.get("config", {}).items():
            if value.get("use_pickle") is not False or not TENSORS.fullmatch(
                f"{Path(name).parent}/{value['path_name']}"
            ):
                raise _refused(path, f"{key} is stored as a pickled object")
    kept = {name: data for name, data in files.items() if TENSORS.fullmatch(name) or name == SAMPLES}
    kept |= {name: json.dumps(value).encode() for name, value in {MODEL: _bare(model), **configs}.items()}
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as archive:
        for name, data in {**FORMAT, "version": b"3\n", **kept}.items():
            archive.writestr(f"archive/{name}", data)
    return written.getvalue()


def _files(path: Path) -> dict[str, bytes]:
    """Read the archive's files by their names below its one folder; each of them must be known."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [one for one in archive.infolist() if not one.is_dir()]
            names = [one.filename.partition("/")[2] for one in entries]
            if "serialized_exported_program.json" in [one.filename for one in entries]:
                raise _refused(path, "it is in the format of PyTorch before 2.8")
            if MODEL not in names or len(set(names)) != len(names):
                raise _refused(path, f"there is no {MODEL} in it, or a file twice")
            known = (MODEL, *CONFIGS, SAMPLES)
            for name, entry in zip(names, entries, strict=True):
                if not (name in known or TENSORS.fullmatch(name) or IGNORED.fullmatch(name)):
                    raise _refused(path, f"it holds {printable(name, most=100)}")
                if entry.compress_type != zipfile.ZIP_STORED:
                    raise _refused(
                        path, f"{printable(name, most=100)} is compressed, which torch.export.save never does"
                    )
            return {name: archive.read(entry) for name, entry in zip(names, entries, strict=True)}
    except (zipfile.BadZipFile, OSError) as error:
        why = printable(error, most=200)
        fix = "torch.export.save(torch.export.export(model, (images,)), PATH)"
        raise ConversionError(f"{path.name} is no ExportedProgram", why=why, fix=fix) from error


def _object(path: Path, files: dict[str, bytes], name: str) -> dict[str, Any]:
    try:
        found = json.loads(files[name])
    except (KeyError, ValueError) as error:
        raise _refused(path, f"{name} is missing or no JSON") from error
    if not isinstance(found, dict):
        raise _refused(path, f"{name} is no object")
    return found


def _bare(model: dict[str, Any]) -> dict[str, Any]:
    """Return the program without what people read: sources and names of modules, which PyTorch would parse."""

    def strip(value: Any, key: str = "") -> Any:
        if key in EMPTY:
            return EMPTY[key]
        if isinstance(value, dict):
            return {name: strip(one, name) for name, one in value.items()}
        if key == "module_call_graph":  # the first is the program itself
            return value[:1]
        return [strip(one) for one in value] if isinstance(value, list) else value

    return strip(model)  # type: ignore[no-any-return]


def _judge(path: Path, value: Any, key: str = "") -> None:
    """Refuse whatever PyTorch could take for code, wherever it stands."""
    if isinstance(value, dict):
        for name, one in value.items():
            if not isinstance(name, str) or not PLAIN.fullmatch(name):
                raise _refused(path, f"it names {printable(name, most=100)}")
            if name in REFUSED:
                raise _refused(path, f"it passes {name.removeprefix('as_')}, which is no tensor or number")
            if name not in EMPTY:
                _judge(path, one, name)
    elif isinstance(value, list):
        for one in value[:1] if key == "module_call_graph" else value:
            _judge(path, one, key)
    elif isinstance(value, str) and not RULES.get(key, _plain)(value):
        raise _refused(path, f"its {key or 'list'} holds {printable(value, most=100)}")


def _plain(text: str) -> bool:
    return PLAIN.fullmatch(text) is not None


def _option(text: str) -> bool:
    """Whether it is an option of an operation, which PyTorch passes on as a string."""
    return _plain(text) or EQUATION.fullmatch(text) is not None


def _operation(text: str) -> bool:
    return TARGET.fullmatch(text) is not None and OF_FILES.match(text) is None


def _expression(text: str) -> bool:
    """Whether it is arithmetic of symbols and numbers: sympy evaluates it as Python."""
    return EXPRESSION.fullmatch(text) is not None


def _container(text: str) -> bool:
    """Whether it describes tuples, lists and dictionaries alone: PyTorch imports the types that it names."""
    try:
        described = json.loads(text)
    except ValueError:
        return False
    return all(one.get("type") in CONTAINERS and _plain_context(one.get("context")) for one in _dictionaries(described))


def _plain_context(context: Any) -> bool:
    return context is None or (
        isinstance(context, str) and re.fullmatch(r'null|\[(?:"[\w]*"(?:, )?)*\]', context) is not None
    )


def _dictionaries(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    for one in value if isinstance(value, list) else ():
        yield from _dictionaries(one)


RULES: dict[str, Callable[[str], bool]] = {
    "target": _operation,
    "as_string": _option,
    "expr_str": _expression,
    "in_spec": _container,
    "out_spec": _container,
}


def _refused(path: Path, why: str) -> ConversionError:
    return ConversionError(
        f"{path.name} is not read",
        why=f"{why}; torch.export.load could run code of it",
        fix="export it with torch.export.export of ATen operations and tensors alone, or give an ONNX file",
    )
