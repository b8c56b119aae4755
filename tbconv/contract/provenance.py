"""Where a run came from: commit, packages, machine; never a user, host or path name."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

COMMIT_VARIABLE = "TBCONV_GIT_COMMIT"  # for a copy of the tree on a machine without git, such as a rented GPU
PACKAGES = (
    "tbconv",
    "numpy",
    "pillow",
    "torch",
    "torchvision",
    "scikit-learn",
    "scipy",
    "safetensors",
    "onnx",
    "onnxruntime",
    "onnx2tf",
    "tensorflow",
    "keras",
    "ai-edge-litert",
    "protobuf",
)


def package_versions() -> dict[str, str]:
    """Return the installed versions of the packages that a result can depend on."""
    found: dict[str, str] = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def git_commit() -> str | None:
    """Return the commit of the source tree, with '-dirty' where files differ; None outside a checkout."""
    if os.environ.get(COMMIT_VARIABLE):
        return os.environ[COMMIT_VARIABLE]
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        answer = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None


def machine() -> dict[str, Any]:
    """Return processor, cores, system and Python version."""
    return {
        "architecture": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def provenance() -> dict[str, Any]:
    """Return commit, packages and machine in one dictionary, ready for JSON."""
    return {"git_commit": git_commit(), "packages": package_versions(), "machine": machine()}
