"""`tbconv doctor`: what of Python, packages, processor and GPU is there, and how to get what is not."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib import metadata
from typing import Annotated

import typer

from tbconv.console import print_out

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
    "train": ("torch", "torchvision", "scikit-learn", "scipy", "matplotlib", "safetensors", "imagehash"),
    "convert": ("onnx", "onnxruntime", "onnx2tf", "tensorflow", "keras"),
}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings for a program.")] = False,
) -> None:
    """Say what this machine has, and how to get what is missing."""
    findings = {"python": sys.version.split()[0], "extras": _extras(), "versions": _versions(), "gpu": _gpu()}
    if as_json:
        print_out(json.dumps(findings, indent=2))
        return
    ok = sys.version_info[:2] == (3, 12)
    print_out(
        f"python {findings['python']}: {'ok' if ok else 'onnx2tf 2.x needs 3.12; install it and make .venv anew'}"
    )
    for extra, missing in _extras().items():
        words = f"missing {', '.join(missing)}; pip install 'tbconv[{extra}]'" if missing else "complete"
        print_out(f"extra {extra}: {words}")
    others = {name: pair for name, pair in _versions().items() if pair[0] != pair[1]}
    for name, (found, wanted) in others.items():
        print_out(f"{name} {found}: measured with {wanted}; pip install '{name}=={wanted}'")
    if not others:
        print_out("versions: those that were measured to work together")
    print_out(f"gpu: {_gpu() or 'none; training runs on the processor'}")


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
