"""Provenance of a run: commit, packages, machine, processor."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from tbconv.contract import module_path
from tbconv.contract.files import sha256_bytes


@contextmanager
def working_folder_hidden() -> Iterator[None]:
    """Keep the working folder off the module path of every process that is started within.

    `python -m` and `python -c`, which `multiprocessing` uses, put it first, and so does an empty entry in PYTHONPATH: a
    json.py that lies there would be run. `multiprocessing` also hands our own module path to its children. All of it is
    as before afterwards: it is the caller's.
    """
    path, sys.path[:] = list(sys.path), module_path()
    before = {name: os.environ.get(name) for name in ("PYTHONSAFEPATH", "PYTHONPATH")}
    os.environ["PYTHONSAFEPATH"] = "1"
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (before["PYTHONPATH"] or "").split(os.pathsep)))
    try:
        yield
    finally:
        sys.path[:] = [*path, *(one for one in sys.path if one not in path)]
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


# What a process needs to start that reads files of strangers; tokens and addresses are not for it to see.
SEEN_BY_CHILDREN = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "LANG", "LC_ALL", "TZ", "TMPDIR")


def child_environment() -> dict[str, str]:
    """Return the environment of a process that reads files of strangers: little, and one thread a library."""
    kept = {name: os.environ[name] for name in SEEN_BY_CHILDREN if name in os.environ}
    return kept | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


# --- provenance ---
# Where a run came from: commit, packages, machine; never a user, host or path name.

CPUINFO = Path("/proc/cpuinfo")
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
        "processor": _read_cpuinfo(CPUINFO, "model name") or platform.processor(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
    }


def provenance() -> dict[str, Any]:
    """Return commit, packages and machine in one dictionary, ready for JSON."""
    return {"git_commit": git_commit(), "packages": package_versions(), "machine": machine()}


# --- processor ---
# The processor's flags decide which kernels run, and so how outputs round.

# What XNNPACK and LiteRT's own kernels branch on: vector and matrix instructions of x86 and of ARM.
KERNEL_FLAGS = ("amx", "asimd", "avx", "bf16", "f16c", "fma", "fphp", "i8mm", "neon", "sme", "sse4", "ssse3", "sve")


def processor(cpuinfo: Path = CPUINFO) -> dict[str, Any]:
    """Return the processor's model, the flags that kernels branch on, and the digest of all its flags.

    Args:
        cpuinfo: a file in the format of Linux's /proc/cpuinfo.

    Returns:
        model, kernel_flags (sorted) and flags_sha256, which is None where the system reports no flags.
    """
    flags = sorted(set(_read_cpuinfo(cpuinfo, "flags", "Features").split()))  # on x86, on ARM
    return {
        "model": machine()["processor"],
        "kernel_flags": [flag for flag in flags if flag.startswith(KERNEL_FLAGS)],
        "flags_sha256": sha256_bytes(" ".join(flags).encode()) if flags else None,
    }


def processor_difference(certified: dict[str, Any], here: dict[str, Any]) -> str | None:
    """Return what differs for kernels between two processors, as one sentence; None if nothing is known to.

    A model of another name with the same kernel flags runs the same kernels, so only flags count.
    """
    if not certified.get("kernel_flags") or not here.get("kernel_flags"):
        return None
    then, now = set(certified["kernel_flags"]), set(here["kernel_flags"])
    lacking = [f"lacks {', '.join(sorted(then - now))}"] if then - now else []
    more = [f"has {', '.join(sorted(now - then))} beyond it"] if now - then else []
    if not lacking and not more:
        return None
    return f"certified on {certified.get('model')}; this processor, {here.get('model')}, {' and '.join(lacking + more)}"


# Processors that files are tried on (`tbconv verify --where`), the one that has most first: a processor runs the
# kernels of the first whose flags it has, and none of the flags that lead further.
TRIED_AS = (
    ("aarch64", ("asimddp", "i8mm"), ()),
    ("cortex-a76", ("asimddp",), ()),
    ("cortex-a53", ("asimd",), ()),
    ("avx2", ("avx2", "fma"), ("avx512", "avx_vnni", "avx10", "amx")),
)


def tried_as(kernel_flags: Sequence[str]) -> str | None:
    """Return the name of the target that stands for a processor with these flags; None where none does.

    Args:
        kernel_flags: as `processor` returns them.
    """
    for name, needed, beyond in TRIED_AS:
        if set(needed) <= set(kernel_flags) and not any(flag.startswith(beyond) for flag in kernel_flags if beyond):
            return name
    return None


def _read_cpuinfo(cpuinfo: Path, *names: str) -> str:
    """Return the first processor's value of the first of these lines that there is; empty where there is none."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(names)), "")
