"""What every converted file states of itself, put into it and read from it again: the one place, for every format.

The same line of JSON (`FileFacts.statement`) in all files of a network, each where its format keeps what is no network:

- ONNX: `metadata_props`, key `tbconv`
- `.keras`: `metadata.json` in the zip, key `tbconv`
- H5: attribute `tbconv` of the root
- SavedModel: `assets.extra/tbconv.json`, the folder that TensorFlow leaves to others
- TFLite: `tbconv.json` in the zip at its end, beside the forms that Android reads (convert.formats.tflite.metadata)

No weight moves, and the same facts give the same bytes.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from convert.formats.reproducible import copy_entry, timeless_entry
from convert.worker import run_step
from tbconv.contract.bundle import parse_json, read_small
from tbconv.contract.consistency import appended_files
from tbconv.contract.errors import ArtefactError, BundleError, ConversionError, TbconvError, printable
from tbconv.contract.files import atomic_file, sha256_file, write_atomic
from tbconv.contract.manifest import STATEMENT, Manifest
from torch_train.run_folder import BASELINE, WEIGHTS

FRAMEWORK = "litert"

KEY = "tbconv"
EXTRA = "assets.extra"  # "not loaded by the graph": tensorflow/python/saved_model/README.md
H5_ROOM = 8192  # bytes of the attribute, zeros behind the text: another threshold then moves nothing else in the file
KERAS_FACTS = "metadata.json"  # of the zip; load_model reads config.json and the weights alone


def label_files(folder: Path, manifest: Manifest) -> None:
    """Write into every file of a bundle in the making what the manifest says, in the place of what it stated before.

    Args:
        folder: with the files of `manifest.artefacts`, those that are there, and the weights that they were made of.
        manifest: labels, preprocessing and decision rules are read; not its list of files.

    Raises:
        ConversionError: a file is none of its format.
    """
    files = {str(folder / one.path): one.network for one in manifest.artefacts if (folder / one.path).exists()}
    weights = {
        network: sha256_file(folder / (BASELINE if network == "baseline" else WEIGHTS))
        for network in sorted(set(files.values()))
    }
    run_step("convert.formats.metadata:write", {"files": files, "manifest": manifest.to_json(), "weights": weights})


def read_statements(places: dict[str, Path]) -> dict[str, str | TbconvError | None]:
    """Return what files state of themselves, each as it has it.

    Args:
        places: of the files, by any name.

    Returns:
        By that name; None where a file states nothing, an error where it is damaged.
    """
    found = run_step("convert.formats.metadata:read", {"files": {name: str(at) for name, at in places.items()}})
    return {
        name: ArtefactError(**one["problem"]) if "problem" in one else one["statement"] for name, one in found.items()
    }


# --- steps ---


def write(request: dict[str, Any]) -> dict[str, Any]:
    """Write statements.

    Args:
        request: files (network by path), manifest, weights (SHA-256 by network).
    """
    from convert.formats.tflite.metadata import FileFacts, label_tflite

    manifest = Manifest.from_json(request["manifest"])
    for name, network in request["files"].items():
        facts, path = FileFacts(manifest, network, request["weights"][network]), Path(name)
        if path.suffix == ".tflite":
            label_tflite(path, facts)
        else:
            _format_of(path)[0](path, facts.statement)
    return {}


def read(request: dict[str, Any]) -> dict[str, Any]:
    """Read statements.

    Args:
        request: files (path by name).

    Returns:
        By name, {"statement": its text or null}, or {"problem": what, why, fix}.
    """
    return {name: _read(Path(path)) for name, path in request["files"].items()}


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.suffix == ".tflite":
            found = (appended_files(path) or {}).get(STATEMENT)
            return {"statement": None if found is None else found.decode()}
        return {"statement": _format_of(path)[1](path)}
    except TbconvError as error:
        return {"problem": {"what": error.what, "why": error.why, "fix": error.fix}}
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, zipfile.BadZipFile) as error:
        why = printable(f"{type(error).__name__}: {error}", most=300)
        return {"problem": {"what": f"{path.name} is cut off or damaged", "why": why, "fix": "convert again"}}


# --- formats ---

type Writer = Callable[[Path, str], None]
type Reader = Callable[[Path], str | None]


def _format_of(path: Path) -> tuple[Writer, Reader]:
    if path.is_dir():
        return _write_saved_model, _read_saved_model
    by_suffix: dict[str, tuple[Writer, Reader]] = {
        ".onnx": (_write_onnx, _read_onnx),
        ".keras": (_write_keras, _read_keras),
        ".h5": (_write_h5, _read_h5),
    }
    if path.suffix not in by_suffix:
        raise ConversionError(f"{path.name} is of no known format", why="its suffix is unknown", fix="convert again")
    return by_suffix[path.suffix]


def _write_onnx(path: Path, statement: str) -> None:
    from convert.formats.onnx_graph import load_onnx

    model = load_onnx(path)
    others = [one for one in model.metadata_props if one.key != KEY]
    del model.metadata_props[:]
    model.metadata_props.extend(others)
    model.metadata_props.add(key=KEY, value=statement)
    write_atomic(path, model.SerializeToString(deterministic=True), durable=False)  # as all of a bundle in the making


def _read_onnx(path: Path) -> str | None:
    from convert.formats.onnx_graph import load_onnx

    return next((str(one.value) for one in load_onnx(path).metadata_props if one.key == KEY), None)


def _write_keras(path: Path, statement: str) -> None:
    with zipfile.ZipFile(path) as old, atomic_file(path, durable=False) as file, zipfile.ZipFile(file, "w") as new:
        for name in old.namelist():
            if name == KERAS_FACTS:
                content = json.loads(old.read(name)) | {KEY: statement}
                new.writestr(timeless_entry(name), json.dumps(content))
            else:
                copy_entry(old, new, name)


def _read_keras(path: Path) -> str | None:
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo(KERAS_FACTS)
        if member.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"{KERAS_FACTS} is packed; Keras stores it as it is")
        facts = parse_json(archive.read(member), KERAS_FACTS, keys_of_users=True)
    return _text(facts.get(KEY) if isinstance(facts, dict) else None)


def _write_h5(path: Path, statement: str) -> None:
    import h5py  # type: ignore[import-untyped]  # it ships no types

    data, room = io.BytesIO(path.read_bytes()), -(-len(statement) // H5_ROOM) * H5_ROOM
    with h5py.File(data, "r+") as file:
        file.attrs.modify(KEY, np.array(statement.encode(), f"S{room}"))  # in place where there is one
    write_atomic(path, data.getvalue(), durable=False)


def _read_h5(path: Path) -> str | None:
    import h5py

    with h5py.File(path, "r") as file:
        value = file.attrs.get(KEY)
        return _text(value.decode() if isinstance(value, bytes) else value)


def _write_saved_model(folder: Path, statement: str) -> None:
    (folder / EXTRA).mkdir(exist_ok=True)
    write_atomic(folder / EXTRA / STATEMENT, statement)


def _read_saved_model(folder: Path) -> str | None:
    place = folder / EXTRA / STATEMENT
    return read_small(place, BundleError).decode() if place.is_file() else None


def _text(value: object) -> str | None:
    if value is not None and not isinstance(value, str):
        raise ValueError(f"what it states under {KEY} is no text")
    return value
