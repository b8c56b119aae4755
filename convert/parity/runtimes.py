"""The runtimes that are compared: every artefact and reference of a bundle, and the matrix of further ones."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.runners.base import Answer, read_prediction
from convert.worker import drop_waiting, run_step
from tbconv.contract.golden import REFERENCE
from tbconv.contract.manifest import Artefact, Calibration, Kind
from tbconv.contract.reporting import Reporter

# --- witnesses ---
# Everyone who is asked: each artefact, each reference, in a process of its own, on the same films.
#
# A witness that is slow answers a stated sample of them.

FLOAT64 = "PyTorch float64"
RUNNERS = {
    "onnx": "convert.runners.onnxruntime:run",
    "saved_model": "convert.runners.saved_model:run",
    "keras_h5": "convert.runners.keras:run",
    "keras": "convert.runners.keras:run",
    "tflite": "convert.runners.tflite:run",
}
MOST_PROCESSES = 4  # one thread each; more would contend for memory, not gain time


@dataclass(frozen=True, slots=True)
class Runtime:
    """One program that answers the films."""

    name: str
    network: Kind
    module: str
    request: dict[str, Any] = field(default_factory=dict)
    precision: str = "float32"
    threads: int = 1
    sampled: bool = False  # answers a sample of the films, and every golden input and probe


def torch_runtimes(folder: Path, network: Kind, *, arch: str | None, calibration: Calibration) -> list[Runtime]:
    """Return the reference (float32, eager) and the oracle (float64) of one network."""
    request = {"folder": str(folder), "network": network, "arch": arch, "calibration": asdict(calibration)}
    module = "convert.runners.pytorch:run"
    return [
        Runtime(f"{name} ({network})", network, module, request | {"dtype": dtype})
        for name, dtype in ((REFERENCE, "float32"), (FLOAT64, "float64"))
    ]


def artefact_runtime(folder: Path, artefact: Artefact) -> Runtime:
    """Return the witness for one file of a bundle."""
    request = {"artefact": str(folder / artefact.path), "film_by_film": "one film a call" in artefact.reader}
    return Runtime(artefact.path, artefact.network, RUNNERS[artefact.format], request, artefact.precision)


def run_all(
    witnesses: Sequence[Runtime],
    model_inputs: NDArray[np.uint8],
    reporter: Reporter,
    *,
    sample: NDArray[np.int64] | None = None,
) -> dict[str, Answer]:
    """Ask everyone about the same films.

    Args:
        witnesses: with names that differ.
        model_inputs: uint8 [N, 224, 224].
        reporter: shows who has answered.
        sample: rows of `model_inputs` that sampled witnesses answer; None for all.

    Returns:
        The answers by witness name.

    Raises:
        TbconvError: one of them failed.
    """
    processes = min(MOST_PROCESSES, os.cpu_count() or 1)
    place = tempfile.TemporaryDirectory(prefix="tbconv-parity-")
    with place as name, ThreadPoolExecutor(processes) as pool, drop_waiting(pool):
        folder = Path(name)
        images = {False: folder / "images.npy", True: folder / "sample.npy"}
        np.save(images[False], model_inputs)
        np.save(images[True], model_inputs if sample is None else model_inputs[sample])
        waiting = {
            pool.submit(_ask_one, witness, images[witness.sampled], folder / f"{index}.npz"): witness.name
            for index, witness in enumerate(sorted(witnesses, key=_slow_first))
        }
        title = f"asking {len(witnesses)} files about {len(model_inputs)} films"
        done = reporter.track(as_completed(waiting), title=title, total=len(waiting))
        return {waiting[future]: future.result() for future in done}


def _slow_first(witness: Runtime) -> int:
    """Start float64, film-by-film and built-in kernels first, so that none of them runs on alone at the end."""
    request = witness.request
    slow = request.get("dtype") == "float64" or request.get("film_by_film") or not request.get("xnnpack", True)
    return 0 if slow else 1


def _ask_one(witness: Runtime, images: Path, out: Path) -> Answer:
    request = witness.request | {"images": str(images), "out": str(out)}
    run_step(witness.module, request, threads=witness.threads)
    return read_prediction(out)


# --- matrix ---
# Who else is asked by `verify --matrix`: other kernels, other threads, other optimisation, another converter.
#
# Each file of a bundle has one row of its own; these show how much of that row is the file and how much is the
# program that ran it.

ONNX = "model.onnx"
ROUNDED = "ONNX Runtime, float16 weights"  # what a float16 file is measured against
# (xnnpack, threads) beside the file's own row, which is XNNPACK with one thread
KERNELS = ((True, 2), (False, 1), (False, 2))


def matrix_runtimes(root: Path, artefacts: Sequence[Artefact], aside: Path, reporter: Reporter) -> tuple[Runtime, ...]:
    """Make what has to be made, and return every further witness of a bundle's main network.

    Args:
        root: of the bundle, which is only read.
        artefacts: of the bundle.
        aside: a folder for the witnesses' own files; has to outlive the asking.
        reporter: a line for each file made.

    Raises:
        ConversionError: a step failed.
    """
    main = [one for one in artefacts if one.network == "trained"] or list(artefacts)
    kernels = [
        _kernels(root, one, xnnpack, threads) for one in main if one.format == "tflite" for xnnpack, threads in KERNELS
    ]
    onnx = root / ONNX
    if not any(one.path == ONNX for one in main):
        return tuple(kernels)
    foreign = any(one.path == "saved_model" and one.converter.startswith("onnx2tf") for one in main)
    with ThreadPoolExecutor(2) as pool, drop_waiting(pool):
        jobs = [pool.submit(_round, onnx, aside), pool.submit(_own_layers if foreign else _onnx2tf, onnx, aside)]
        made = [witness for job in jobs for witness in job.result()]
    reporter.say("made afresh for the matrix: " + ", ".join(witness.name for witness in made))
    unoptimised = {"artefact": str(onnx), "optimised": False}
    return (Runtime("ONNX Runtime, not optimised", "trained", RUNNERS["onnx"], unoptimised), *made, *kernels)


def _kernels(root: Path, artefact: Artefact, xnnpack: bool, threads: int) -> Runtime:
    name = f"{artefact.path} {'XNNPACK' if xnnpack else 'built-in'} x{threads}"  # x2: two threads
    request = {"artefact": str(root / artefact.path), "xnnpack": xnnpack, "threads": threads}
    return Runtime(
        name, artefact.network, RUNNERS["tflite"], request, artefact.precision, threads=threads, sampled=not xnnpack
    )


def _round(onnx: Path, aside: Path) -> list[Runtime]:
    out = aside / "rounded.onnx"
    run_step("convert.quantization.float16:round_onnx", {"onnx": str(onnx), "out": str(out)})
    return [Runtime(ROUNDED, "trained", RUNNERS["onnx"], {"artefact": str(out)}, "float16")]


def _onnx2tf(onnx: Path, aside: Path) -> list[Runtime]:
    tflite, saved_model = aside / "model_float32.tflite", aside / "saved_model"
    places = {"tflite": str(tflite), "saved_model": str(saved_model)}
    response = run_step("convert.formats.onnx_to_onnx2tf:onnx_to_tf", {"onnx": str(onnx)} | places)
    return _pair("onnx2tf", tflite, saved_model)[: 1 if response.get("lacks") else 2]


def _own_layers(onnx: Path, aside: Path) -> list[Runtime]:
    """Convert by our own layers where the bundle ships onnx2tf's files."""
    tflite, saved_model = aside / "model_float32.tflite", aside / "saved_model"
    run_step("convert.formats.onnx_to_keras:onnx_to_keras", {"onnx": str(onnx), "saved_model": str(saved_model)})
    run_step(
        "convert.formats.saved_model_to_tflite:quantize", {"saved_model": str(saved_model), "float32": str(tflite)}
    )
    return _pair("tbconv's layers", tflite, saved_model)


def _pair(maker: str, tflite: Path, saved_model: Path) -> list[Runtime]:
    saved = {"artefact": str(saved_model), "film_by_film": maker == "onnx2tf"}
    return [
        Runtime(f"{maker} TFLite (witness)", "trained", RUNNERS["tflite"], {"artefact": str(tflite)}),
        Runtime(f"{maker} SavedModel (witness)", "trained", RUNNERS["saved_model"], saved),
    ]
