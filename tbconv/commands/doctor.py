"""`tbconv doctor`: what of Python, packages, processor and GPU is there, and what killed commands left over."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tbconv.console import print_out

if TYPE_CHECKING:
    from tbconv.contract.files import Leftover

# The versions of ../shared/conversion.md, which were measured to work together.
MEASURED = {
    "torch": "2.11.0",
    "torchvision": "0.26.0",
    "onnx": "1.20.1",
    "onnxruntime": "1.26.0",
    "onnx2tf": "2.6.9",
    "tensorflow": "2.21.0",
    "keras": "3.15.0",
    "ai-edge-litert": "2.1.2",
    "numpy": "2.2.6",
}
EXTRAS = {
    "serve": ("ai-edge-litert", "fastapi", "uvicorn", "python-multipart"),
    "dicom": ("pydicom", "imagecodecs", "pylibjpeg-openjpeg", "pylibjpeg-rle"),
    "train": ("torch", "torchvision", "scikit-learn", "scipy", "matplotlib", "safetensors", "imagehash"),
    "tflite": ("ai-edge-litert", "flatbuffers", "onnx", "onnxruntime"),
    "convert": ("onnx", "onnxruntime", "onnx2tf", "tensorflow", "keras"),
    "grpc": ("grpcio", "protobuf"),
    "otel": ("opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http"),
    "tensorboard": ("tensorboard",),
    "mlflow": ("mlflow-skinny",),
    "hub": ("huggingface-hub",),
    "hospital": ("highdicom", "fhir.resources"),
}


def doctor(
    clean: Annotated[
        bool, typer.Option("--clean", help="Remove what killed commands left; without it, it is listed.")
    ] = False,
    folder: Annotated[
        list[Path] | None,
        typer.Option(help="Look for it there as well as in the working and the temporary folder; may be repeated."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings for a program.")] = False,
) -> None:
    """Say what this machine has, how to get what is missing, and what killed commands left; exit 1 if that stays."""
    findings: dict[str, Any] = {
        "python": sys.version.split()[0],
        "extras": _extras(),
        "versions": _versions(),
        "gpu": _gpu(),
    }
    leftovers = _leftovers(folder or [], remove=clean)
    findings |= {"leftovers": [_record(one) for one in leftovers], "removed": clean}
    if as_json:
        print_out(json.dumps(findings, indent=2))
    else:
        _print(findings)
        _print_leftovers(leftovers, removed=clean)
    raise typer.Exit(1 if any(one.problem for one in leftovers) else 0)


def _print(findings: dict[str, Any]) -> None:
    ok = sys.version_info[:2] == (3, 12)
    print_out(
        f"python {findings['python']}: {'ok' if ok else 'onnx2tf 2.x needs 3.12; install it and make .venv anew'}"
    )
    for extra, missing in findings["extras"].items():
        words = f"missing {', '.join(missing)}; pip install 'tbconv[{extra}]'" if missing else "complete"
        print_out(f"extra {extra}: {words}")
    others = {name: pair for name, pair in findings["versions"].items() if pair[0] != pair[1]}
    for name, (found, wanted) in others.items():
        print_out(f"{name} {found}: measured with {wanted}; pip install '{name}=={wanted}'")
    if not others:
        print_out("versions: those that were measured to work together")
    print_out(f"gpu: {findings['gpu'] or 'none; training runs on the processor'}")


def _leftovers(folders: list[Path], *, remove: bool) -> list[Leftover]:
    """Return what dead processes left where commands write: here, in the temporary folder, where it says and beside."""
    from tbconv.contract.files import find_leftovers, remove_leftovers, temporary_place

    waiting, seen = [temporary_place(), Path.cwd(), *folders], set[Path]()
    found: list[Leftover] = []
    while waiting:
        place = waiting.pop(0).resolve()
        if place in seen:
            continue
        seen.add(place)
        here = find_leftovers(place)
        waiting += [Path(one.owner.beside) for one in here if one.owner is not None and one.owner.beside]
        found += remove_leftovers(place) if remove else here
    return found


def _record(leftover: Leftover) -> dict[str, Any]:
    return {
        "path": str(leftover.path),
        "bytes": leftover.bytes,
        "owner": _owner(leftover),
        "problem": leftover.problem,
    }


def _owner(leftover: Leftover) -> str | None:
    return None if leftover.owner is None else str(leftover.owner)


def _print_leftovers(leftovers: list[Leftover], *, removed: bool) -> None:
    if not leftovers:
        print_out("leftovers: none")
        return
    total = f"{sum(one.bytes for one in leftovers) / 1e6:.1f} MB"
    how = "removed" if removed else "'tbconv doctor --clean' removes them, and so does the next command of their kind"
    if stay := sum(one.problem is not None for one in leftovers):
        how = f"{stay} of {len(leftovers)} could not be removed"
    print_out(f"leftovers: {total} from killed commands; {how}")
    for one in leftovers:
        print_out(f"  {one.bytes / 1e6:9.1f} MB  {one.path}  {_fate(one)}".rstrip())


def _fate(leftover: Leftover) -> str:
    if leftover.problem is not None:
        return f"could not be removed: {leftover.problem}"
    return _owner(leftover) or ""


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _extras() -> dict[str, list[str]]:
    return {extra: [name for name in names if _version(name) is None] for extra, names in EXTRAS.items()}


def _versions() -> dict[str, tuple[str, str]]:
    found = {name: _version(name) for name in MEASURED}
    return {name: (version, MEASURED[name]) for name, version in found.items() if version is not None}


def _gpu() -> str | None:
    """Query the driver, not torch: importing torch takes seconds."""
    if shutil.which("nvidia-smi") is None:
        return None
    command = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):  # a driver that hangs or fails is no GPU to train on
        return None
    return answer.stdout.strip() or None
