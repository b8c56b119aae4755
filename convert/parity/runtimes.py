"""The runtimes that are compared: every artefact and reference of a bundle, and the matrix of further ones."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.formats.table import KERAS, ONNX, SAVED_MODEL, TFLITE, TFLITE_FLOAT32, Format, runner_of
from convert.runners.base import Answer, read_prediction
from convert.worker import drop_waiting, run_side_by_side, run_step
from tbconv.contract.errors import ConversionError, Reporter
from tbconv.contract.files import temporary_folder
from tbconv.contract.golden import REFERENCE
from tbconv.contract.manifest import Artefact, Calibration, Kind

FLOAT64 = "PyTorch float64"
# Who can write a TFLite file of one ONNX, by what `--route` calls them: one ships, the others are compared.
# litert-torch makes it of the PyTorch network, in an environment of its own: of a library's network it may ship.
MAKERS = {"own": "tbconv", "tensorflow": "TensorFlow", "onnx2tf": "onnx2tf", "litert-torch": "litert-torch"}
MOST_PROCESSES = 4  # one thread each; more would contend for memory, not gain time
Outputs = dict[str, NDArray[Any]]  # by name, [N, ...] each


@dataclass(frozen=True, slots=True)
class Runtime:
    """One program that runs a model on the films."""

    name: str
    network: Kind
    step: str  # `module:function`
    request: dict[str, Any] = field(default_factory=dict)
    precision: str = "float32"
    threads: int = 1
    sampled: bool = False  # runs a sample of the films, and every golden input and probe
    may_fail: bool = False  # a failure is then a finding, in words


def torch_runtimes(folder: Path, network: Kind, *, arch: str | None, calibration: Calibration) -> list[Runtime]:
    """Return PyTorch eager of one network: the reference (float32) and the reference in float64."""
    request = {"folder": str(folder), "network": network, "arch": arch, "calibration": asdict(calibration)}
    return [
        Runtime(f"{name} ({network})", network, "convert.runners.pytorch:run", request | {"dtype": dtype})
        for name, dtype in ((REFERENCE, "float32"), (FLOAT64, "float64"))
    ]


def artefact_runtime(folder: Path, artefact: Artefact) -> Runtime:
    """Return the runtime of one file of a bundle."""
    request = {"artefact": str(folder / artefact.path), "film_by_film": "one film a call" in artefact.reader}
    return Runtime(artefact.path, artefact.network, runner_of(artefact.format), request, artefact.precision)


def run_all(
    runtimes: Sequence[Runtime],
    model_inputs: NDArray[np.uint8],
    reporter: Reporter,
    *,
    sample: NDArray[np.int64] | None = None,
) -> dict[str, Answer]:
    """Run every runtime on the same films, each in the process of its framework.

    Args:
        runtimes: with names that differ.
        model_inputs: uint8 [N, 224, 224].
        reporter: shows who is done.
        sample: rows of `model_inputs` that sampled runtimes get; None for all.

    Returns:
        The answers by name.

    Raises:
        TbconvError: one of them failed.
    """
    found = _run_all(runtimes, model_inputs, reporter, sample, read_prediction)
    return {name: answer for name, answer in found.items() if not isinstance(answer, str)}


def run_outputs(
    runtimes: Sequence[Runtime], model_inputs: NDArray[np.uint8], reporter: Reporter
) -> dict[str, Outputs | str]:
    """Run files whose outputs have names of their own; of one that may fail, return the reason in their place.

    Args:
        runtimes: as for `run_all`; a request that names `images` of its own is run on those.
        model_inputs: uint8 [N, S, S].
        reporter: shows who is done.

    Raises:
        TbconvError: one that may not fail did.
    """
    return _run_all(runtimes, model_inputs, reporter, None, _read_outputs)


def _read_outputs(path: Path) -> Outputs:
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def _run_all[T](
    runtimes: Sequence[Runtime],
    model_inputs: NDArray[np.uint8],
    reporter: Reporter,
    sample: NDArray[np.int64] | None,
    read: Callable[[Path], T],
) -> dict[str, T | str]:
    ordered = sorted(runtimes, key=_slow_first)
    with temporary_folder("parity") as folder:
        images = {False: folder / "images.npy", True: folder / "sample.npy"}
        np.save(images[False], model_inputs)
        np.save(images[True], model_inputs if sample is None else model_inputs[sample])
        jobs = [
            (one.step, partial(_run_one, one, images[one.sampled], folder / f"{index}.npz", read))
            for index, one in enumerate(ordered)
        ]
        done = run_side_by_side(jobs, min(MOST_PROCESSES, os.cpu_count() or 1))
        title = f"running {len(ordered)} models on {len(model_inputs)} films"
        return {ordered[number].name: answer for number, answer in reporter.track(done, title=title, total=len(jobs))}


def _slow_first(runtime: Runtime) -> int:
    """Start float64, film-by-film and built-in kernels first, so that none of them runs on alone at the end."""
    request = runtime.request
    slow = request.get("dtype") == "float64" or request.get("film_by_film") or not request.get("xnnpack", True)
    return 0 if slow else 1


def _run_one[T](runtime: Runtime, images: Path, out: Path, read: Callable[[Path], T]) -> T | str:
    try:
        run_step(runtime.step, {"images": str(images)} | runtime.request | {"out": str(out)}, threads=runtime.threads)
    except ConversionError as error:
        if not runtime.may_fail:
            raise
        return error.one_line
    return read(out)


# --- matrix ---
# What `verify --matrix` runs as well: other kernels, other threads, other optimisation, another converter.
#
# Each file of a bundle has one row of its own; these show how much of that row is the file and how much is the
# program that ran it.

ROUNDED = "ONNX Runtime, float16 weights"  # what a float16 file is measured against
# (xnnpack, threads) beside the file's own row, which is XNNPACK with one thread
KERNELS = ((True, 2), (False, 1), (False, 2))


def matrix_runtimes(root: Path, artefacts: Sequence[Artefact], aside: Path, reporter: Reporter) -> tuple[Runtime, ...]:
    """Make what has to be made, and return every further runtime of a bundle's main network.

    Args:
        root: of the bundle, which is only read.
        artefacts: of the bundle.
        aside: a folder for files made here; has to outlive the run.
        reporter: a line for each file made.

    Raises:
        ConversionError: a step failed.
    """
    main = [one for one in artefacts if one.network == "trained"] or list(artefacts)
    kernels = [_kernels(root, one, xnnpack, threads) for one in main if one.is_served for xnnpack, threads in KERNELS]
    onnx = root / ONNX.path
    if not any(one.path == ONNX.path for one in main):
        return tuple(kernels)
    swapped = any(one.path == SAVED_MODEL.path and one.converter.startswith("onnx2tf") for one in main)
    with ThreadPoolExecutor(2) as pool, drop_waiting(pool):
        jobs = [pool.submit(_round, onnx, aside), pool.submit(_own_layers if swapped else _onnx2tf, onnx, aside)]
        made = [runtime for job in jobs for runtime in job.result()]
    reporter.say("made anew for the matrix: " + ", ".join(runtime.name for runtime in made))
    unoptimised = {"artefact": str(onnx), "optimised": False}
    return (Runtime("ONNX Runtime, not optimised", "trained", ONNX.runner, unoptimised), *made, *kernels)


def _kernels(root: Path, artefact: Artefact, xnnpack: bool, threads: int) -> Runtime:
    name = f"{artefact.path} {'XNNPACK' if xnnpack else 'built-in'} x{threads}"  # x2: two threads
    request = {"artefact": str(root / artefact.path), "xnnpack": xnnpack, "threads": threads}
    runner = runner_of(artefact.format)
    return Runtime(name, artefact.network, runner, request, artefact.precision, threads=threads, sampled=not xnnpack)


def _round(onnx: Path, aside: Path) -> list[Runtime]:
    out = aside / "rounded.onnx"
    run_step("convert.quantization.float16:round_onnx", {"onnx": str(onnx), "out": str(out)})
    return [Runtime(ROUNDED, "trained", ONNX.runner, {"artefact": str(out)}, "float16")]


def _onnx2tf(onnx: Path, aside: Path) -> list[Runtime]:
    run_step("convert.formats.onnx_to_onnx2tf:onnx_to_tf", {"onnx": str(onnx)} | places_of("onnx2tf", aside))
    return compared_runtimes(aside, but="own")


def _own_layers(onnx: Path, aside: Path) -> list[Runtime]:
    """Convert by our own layers where the bundle ships onnx2tf's files."""
    places = places_of("own", aside)
    run_step(KERAS.function, {"onnx": str(onnx), "saved_model": places["saved_model"]})
    run_step(TFLITE.function, {TFLITE.reads: str(onnx), "float32": places["tflite"]})
    return compared_runtimes(aside, but="onnx2tf")


def places_of(maker: str, aside: Path) -> dict[str, str]:
    """Return where files of one maker lie that are compared and not shipped: `tflite`, `saved_model`."""
    folder = aside / maker
    folder.mkdir(parents=True, exist_ok=True)
    return {"tflite": str(folder / TFLITE_FLOAT32.path), "saved_model": str(folder / SAVED_MODEL.path)}


@dataclass(frozen=True, slots=True)
class Compared:
    """A file by another maker than the one whose TFLite is shipped."""

    name: str  # as reports call it
    row: Format
    place: Path
    film_by_film: bool


def compared_files(aside: Path, *, but: str) -> list[Compared]:
    """Return the files that were made aside by every maker but the one whose TFLite is shipped."""
    found = []
    for maker, name in MAKERS.items():
        places = places_of(maker, aside)
        found.append((maker, Compared(f"{name} TFLite", TFLITE_FLOAT32, Path(places["tflite"]), film_by_film=False)))
        saved_model = Path(places["saved_model"])
        by_film = maker == "onnx2tf"  # it fixes the batch at one
        found.append((maker, Compared(f"{name} SavedModel", SAVED_MODEL, saved_model, film_by_film=by_film)))
    return [one for maker, one in found if maker != but and one.place.exists()]


def compared_runtimes(aside: Path, *, but: str) -> list[Runtime]:
    """Return what runs these files, whose outputs are a bundle's."""
    return [
        Runtime(one.name, "trained", one.row.runner, {"artefact": str(one.place), "film_by_film": one.film_by_film})
        for one in compared_files(aside, but=but)
    ]
