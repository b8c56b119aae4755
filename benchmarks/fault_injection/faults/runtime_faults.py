"""Faults that live in a runtime: the file is right, and what runs it is not; or it was made for another runtime."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.fault_injection.faults.fault import Fault
from convert.runners.elsewhere.browser import Ran
from convert.runners.elsewhere.targets import SCRIPT, TARGETS, Target, run_script
from convert.worker import run_step
from tbconv.contract.files import temporary_folder

FAULTY = Path(__file__).with_name("faulty_litert.py")
FLOAT, INT8 = "model_float32.tflite", "model_int8.tflite"


def faulty_target(name: str) -> Target:
    """Return this Python and processor as a target, with a fault of `faulty_litert`."""
    command = [sys.executable, "-P"], {"RUNTIME_FAULT": name, "RUNTIME_SCRIPT": str(SCRIPT.parent)}

    def run(file: Path, films: NDArray[np.uint8], seconds: float | None) -> Ran:
        return run_script(name, command, file, films, api="interpreter", seconds=seconds, script=FAULTY)

    return Target(name, "LiteRT with a fault", lambda: None, run, slow=False)


def _open_batch(bundle: Path, _: float) -> Target:
    """LiteRT's CompiledModel, of a file whose batch TensorFlow's converter left open."""
    newest = TARGETS["compiled-model"]

    def run(file: Path, films: NDArray[np.uint8], seconds: float | None) -> Ran:
        with temporary_folder("open-batch") as folder:
            made = folder / file.name
            request = {"saved_model": str(bundle / "saved_model"), "out": str(made)}
            run_step("benchmarks.fault_injection.faults.open_batch:write", request)
            return newest.run(made, films, seconds)

    return Target("open batch", newest.what, newest.prepare, run, slow=False)


def _fault(name: str, what: str, inject: Any, path: str = FLOAT) -> Fault:
    return Fault(name, "runtime", what, inject, path)


FAULTS = (
    _fault("open batch", "a file with an open batch, in LiteRT's CompiledModel", _open_batch),
    _fault("second call", "every call answers the first film", lambda *_: faulty_target("second_call")),
    _fault("stale output buffer", "each call answers the film before", lambda *_: faulty_target("stale_buffer")),
    _fault("stale output buffer, int8", "as above", lambda *_: faulty_target("stale_buffer"), INT8),
    _fault("zeros", "from the second film on", lambda *_: faulty_target("zeros")),
    _fault("outputs by place", "the logits in the other order", lambda *_: faulty_target("neighbours")),
)
