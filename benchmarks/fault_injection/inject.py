"""Inject the faults of one level into copies of a clean bundle's file, in a process that has that level's framework."""

from __future__ import annotations

import contextlib
import copy
import importlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.fault_injection.faults.fault import Fault
from convert.worker import run_step

MODULES = {
    name: f"benchmarks.fault_injection.faults.{name.lower()}_faults" for name in ("weights", "ONNX", "Keras", "TFLite")
}
MODULES |= {"PyTorch": "benchmarks.fault_injection.faults.torch_faults"}


class RefusedError(Exception):
    """A converter did not write the file."""


def faults_of(level: str) -> dict[str, Fault]:
    """Return the faults of a level of files, by name."""
    return {one.name: one for one in importlib.import_module(MODULES[level]).FAULTS}


def inject_many(level: str, wanted: Iterable[tuple[str, float, Path]], bundle: Path) -> dict[str, str | None]:
    """Write one faulty file for each (fault, severity, path).

    Returns:
        By path why the step refused to write the file; None where it was written.
    """
    plan = [[name, severity, str(place)] for name, severity, place in wanted]
    found: dict[str, str | None] = run_step(
        f"{__name__}:inject", {"level": level, "plan": plan, "bundle": str(bundle)}
    )["found"]
    return found


def inject(request: dict[str, Any]) -> dict[str, Any]:
    """Inject each fault of the plan; request: level, plan (fault, severity, path), bundle."""
    faults = faults_of(request["level"])
    write = WRITERS[request["level"]](Path(request["bundle"]))
    return {
        "found": {place: _try(write, faults[name], severity, Path(place)) for name, severity, place in request["plan"]}
    }


def _try(write: Callable[[Fault, float, Path], None], fault: Fault, severity: float, place: Path) -> str | None:
    try:
        write(fault, severity, place)
    except RefusedError as error:
        return str(error)
    return None


@contextlib.contextmanager
def _step() -> Iterator[None]:
    """Turn an exception of a converter into its refusal; one of the injection itself stays an error."""
    try:
        yield
    except Exception as error:
        raise RefusedError(f"{type(error).__name__}: {' '.join(str(error).split())[:200]}") from error


def _onnx(bundle: Path) -> Callable[[Fault, float, Path], None]:
    import onnx

    clean = onnx.load(str(bundle / "model.onnx"))

    def write(fault: Fault, severity: float, place: Path) -> None:
        model = copy.deepcopy(clean)
        fault.inject(model, severity)
        onnx.save(model, str(place))

    return write


def _torch(bundle: Path) -> Callable[[Fault, float, Path], None]:
    import warnings

    import onnx

    from convert.formats.torch_to_onnx.of_run import export
    from tbconv.contract.bundle import read_bundle
    from torch_train.model.deployed import load_deployed

    manifest = read_bundle(bundle).manifest
    calibration, arch = manifest.decision_rules["trained"].calibration, manifest.provenance["arch"]
    warnings.simplefilter("ignore")  # that it is exported in training mode is the fault

    def write(fault: Fault, severity: float, place: Path) -> None:
        network = load_deployed(bundle, "trained", arch=arch, calibration=calibration)
        faulty = fault.inject(network, severity)
        with _step():
            onnx.save(export(faulty), str(place))

    return write


def _keras(bundle: Path) -> Callable[[Fault, float, Path], None]:
    import keras

    def write(fault: Fault, severity: float, place: Path) -> None:
        keras.backend.clear_session()
        model = keras.models.load_model(bundle / fault.path, compile=False)
        fault.inject(model, severity)
        with _step():
            model.save(place)

    return write


def _tflite(bundle: Path) -> Callable[[Fault, float, Path], None]:
    def write(fault: Fault, severity: float, place: Path) -> None:
        place.write_bytes(fault.inject((bundle / fault.path).read_bytes(), severity))

    return write


WRITERS = {"weights": _onnx, "ONNX": _onnx, "PyTorch": _torch, "Keras": _keras, "TFLite": _tflite}
