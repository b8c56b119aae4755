"""Who else is asked by `verify --matrix`: other kernels, other threads, other optimisation, another converter.

Each file of a bundle has one row of its own; these show how much of that row is the file and how much is the
program that ran it.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from convert.isolate import drop_waiting, run_step
from convert.witnesses import RUNNERS, Witness
from tbconv.contract.manifest import Artefact
from tbconv.contract.reporter import Reporter

ONNX = "model.onnx"
ROUNDED = "ONNX Runtime, float16 weights"  # what a float16 file is measured against
# (xnnpack, threads) beside the file's own row, which is XNNPACK with one thread
KERNELS = ((True, 2), (False, 1), (False, 2))


def matrix_witnesses(root: Path, artefacts: Sequence[Artefact], aside: Path, reporter: Reporter) -> tuple[Witness, ...]:
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
    return (Witness("ONNX Runtime, not optimised", "trained", RUNNERS["onnx"], unoptimised), *made, *kernels)


def _kernels(root: Path, artefact: Artefact, xnnpack: bool, threads: int) -> Witness:
    name = f"{artefact.path} {'XNNPACK' if xnnpack else 'built-in'} x{threads}"  # x2: two threads
    request = {"artefact": str(root / artefact.path), "xnnpack": xnnpack, "threads": threads}
    return Witness(
        name, artefact.network, RUNNERS["tflite"], request, artefact.precision, threads=threads, sampled=not xnnpack
    )


def _round(onnx: Path, aside: Path) -> list[Witness]:
    out = aside / "rounded.onnx"
    run_step("convert.round_onnx", {"onnx": str(onnx), "out": str(out)})
    return [Witness(ROUNDED, "trained", RUNNERS["onnx"], {"artefact": str(out)}, "float16")]


def _onnx2tf(onnx: Path, aside: Path) -> list[Witness]:
    tflite, saved_model = aside / "model_float32.tflite", aside / "saved_model"
    places = {"tflite": str(tflite), "saved_model": str(saved_model)}
    response = run_step("convert.onnx_to_tf", {"onnx": str(onnx)} | places)
    return _pair("onnx2tf", tflite, saved_model)[: 1 if response.get("lacks") else 2]


def _own_layers(onnx: Path, aside: Path) -> list[Witness]:
    """Convert by our own layers where the bundle ships onnx2tf's files."""
    tflite, saved_model = aside / "model_float32.tflite", aside / "saved_model"
    run_step("convert.onnx_to_keras", {"onnx": str(onnx), "saved_model": str(saved_model)})
    run_step("convert.quantize", {"saved_model": str(saved_model), "float32": str(tflite)})
    return _pair("tbconv's layers", tflite, saved_model)


def _pair(maker: str, tflite: Path, saved_model: Path) -> list[Witness]:
    saved = {"artefact": str(saved_model), "film_by_film": maker == "onnx2tf"}
    return [
        Witness(f"{maker} TFLite (witness)", "trained", RUNNERS["tflite"], {"artefact": str(tflite)}),
        Witness(f"{maker} SavedModel (witness)", "trained", RUNNERS["saved_model"], saved),
    ]
