"""The processors and runtimes that a TFLite file can be tried on from here, and how each of them runs it.

What is emulated is called so: qemu computes every instruction of another processor as that processor defines it, with
the vendor's own build of LiteRT, which picks its kernels by what the processor says that it has. Nothing is said of
speed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from convert.runners.elsewhere.browser import Ran, run_in_browser
from convert.runners.elsewhere.environments import (
    LITERT,
    NEWEST_LITERT,
    NUMPY,
    chromium,
    lean_environment,
    litert_js,
    python_of_arm,
    python_packages,
    require_program,
)
from tbconv.contract.environment import processor, tried_as
from tbconv.contract.errors import ConfigError, ConversionError
from tbconv.contract.files import temporary_folder
from tbconv.family import family_of_child

SCRIPT = Path(__file__).with_name("run_litert.py")
TAIL_LINES = 6
LONGEST_FILM_S = 3600.0  # of one process, beside what it may take by itself
Api = Literal["interpreter", "compiled"]


@dataclass(frozen=True, slots=True)
class Target:
    """One processor or runtime."""

    name: str  # as `--where` takes it
    what: str  # in words, for the table
    prepare: Callable[[], object]  # gets what it needs; SetupError where that cannot be had
    run: Callable[[Path, NDArray[np.uint8], float | None], Ran]  # a file, films uint8 [N, S, S], seconds
    slow: bool = True  # whether its films are counted by time: emulated, or a GPU that is computed


def parse_targets(words: str) -> tuple[Target, ...]:
    """Return the targets of a list as `--where` takes it, in its order; `all` for every one.

    Raises:
        ConfigError: one is not known, or none is named.
    """
    names = list(dict.fromkeys(word.strip() for word in words.split(",") if word.strip()))
    names = list(TARGETS) if names == ["all"] else names
    unknown = [name for name in names if name not in TARGETS]
    if unknown or not names:
        what = f"--where {','.join(unknown) or words!r} names no target"
        raise ConfigError(what, why=f"there are {', '.join(TARGETS)}", fix="name some of them, or --where all")
    return tuple(TARGETS[name] for name in names)


# --- how each runs a file ---


def _emulated(*command: str) -> list[str]:
    """Return a command of qemu, which the system has to have."""
    return [require_program(command[0], package="qemu-user"), *command[1:]]


def _needs_no_emulation() -> bool:
    """Return whether this processor is one of AVX2 and no more, so that emulating it would show nothing else."""
    return tried_as(processor()["kernel_flags"]) == "avx2"


def _avx2() -> tuple[list[str], dict[str, str]]:
    packages = python_packages(LITERT, NUMPY)
    emulator = [] if _needs_no_emulation() else _emulated("qemu-x86_64", "-cpu", "Haswell")
    return [*emulator, sys.executable, "-S", "-P"], {"PYTHONPATH": str(packages)}


def _arm(cpu: str) -> tuple[list[str], dict[str, str]]:
    emulator = _emulated("qemu-aarch64", "-cpu", cpu)
    root, packages = python_of_arm()
    python = [*emulator, "-L", str(root), str(root / "usr" / "bin" / "python3"), "-S", "-P"]
    return python, {"PYTHONHOME": str(root / "usr"), "PYTHONPATH": str(packages)}


def _compiled() -> tuple[list[str], dict[str, str]]:
    return [sys.executable, "-S", "-P"], {"PYTHONPATH": str(python_packages(NEWEST_LITERT, "numpy"))}


def _litert(
    name: str, what: str, command: Callable[[], tuple[list[str], dict[str, str]]], api: Api, *, slow: bool
) -> Target:
    def run(file: Path, films: NDArray[np.uint8], seconds: float | None) -> Ran:
        return run_script(name, command(), file, films, api=api, seconds=seconds)

    return Target(name, what, command, run, slow)


def _of_arm(name: str, cpu: str, what: str) -> Target:
    return _litert(name, what, lambda: _arm(cpu), "interpreter", slow=True)


def _browser(name: Literal["wasm", "webgpu"], what: str) -> Target:
    def run(file: Path, films: NDArray[np.uint8], seconds: float | None) -> Ran:
        return run_in_browser(file, films, accelerator=name, seconds=seconds)

    return Target(name, what, lambda: (chromium(), litert_js()), run, slow=name == "webgpu")


def run_script(
    name: str,
    command: tuple[Sequence[str], dict[str, str]],
    file: Path,
    films: NDArray[np.uint8],
    *,
    api: Api,
    seconds: float | None,
    script: Path = SCRIPT,
) -> Ran:
    """Run films by `run_litert` in another Python.

    Args:
        name: of the target.
        command: of the Python, and what its environment has beside a lean one.
        file: a `.tflite` file.
        films: uint8 [N, S, S].
        api: of LiteRT.
        seconds: of the process's own time, after which no further film is begun; None runs all.
        script: that is run, with a request of `run_litert`.

    Raises:
        ConversionError: it failed, with its last lines.
    """
    python, more = command
    with temporary_folder("where") as folder:
        images, out, request = folder / "images.npy", folder / "out.npz", folder / "request.json"
        np.save(images, films)
        asked = {"artefact": str(file), "images": str(images), "out": str(out), "api": api, "seconds": seconds}
        request.write_text(json.dumps(asked), encoding="utf-8")
        try:
            done = subprocess.run(
                [*python, str(script), str(request)],
                cwd=folder,
                env=lean_environment(TMPDIR=str(folder), PYTHONDONTWRITEBYTECODE="1", **more) | family_of_child(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                timeout=LONGEST_FILM_S + (seconds or 0.0),
            )
        except subprocess.TimeoutExpired as error:
            raise _failed(name, file, f"it took more than {error.timeout:,.0f} s") from error
        if done.returncode != 0 or not out.is_file():
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            ended = f"it ended with exit code {done.returncode}, and its last lines were:"
            raise _failed(name, file, "\n    ".join([ended, *(lines[-TAIL_LINES:] or ["(nothing)"])]))
        told = json.loads(done.stdout.splitlines()[-1])
        with np.load(out, allow_pickle=False) as arrays:
            return Ran(dict(arrays), told["runtime"])


def _failed(name: str, file: Path, why: str) -> ConversionError:
    fix = f"convert the run again, or leave {name} out of --where"
    return ConversionError(f"{name} cannot run {file.name}", why=why, fix=fix)


def _avx2_in_words() -> str:
    return f"x86-64 with AVX2 and no AVX-512, {'as this processor is' if _needs_no_emulation() else 'emulated'}"


_ALL = (
    _litert("avx2", _avx2_in_words(), _avx2, "interpreter", slow=not _needs_no_emulation()),
    _of_arm("aarch64", "max", "ARM with every instruction that qemu knows, emulated"),
    _of_arm("cortex-a53", "cortex-a53", "ARM of 2012 (NEON, no dot product), emulated"),
    _of_arm("cortex-a76", "cortex-a76", "ARM of 2018 (NEON with dot product), emulated"),
    _browser("wasm", "WebAssembly, one thread, in headless Chromium"),
    _browser("webgpu", "WebGPU by SwiftShader in headless Chromium"),
    _litert("compiled-model", "the newest LiteRT's CompiledModel on this processor", _compiled, "compiled", slow=False),
)
TARGETS = {one.name: one for one in _ALL}
