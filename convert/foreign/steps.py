"""The steps of a foreign conversion, each framework in a process of its own; a line for each that is done."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.foreign.config import ForeignConfig
from convert.islands import HEAD, NOTHING
from convert.isolate import run_step
from convert.steps import PRECISIONS
from tbconv.contract.errors import ConversionError
from tbconv.contract.reporter import Reporter
from torch_train.run_folder import CALIBRATION_FILMS, Films, write_films

MODEL, SAVED_MODEL = "model.onnx", "saved_model"
# path, format, precision
FILES = (
    (MODEL, "onnx", "float32"),
    ("model.keras", "keras", "float32"),
    ("model.h5", "keras_h5", "float32"),
    (SAVED_MODEL, "saved_model", "float32"),
    *((f"model_{precision}.tflite", "tflite", precision) for precision in (*PRECISIONS, "int8")),
)
WITNESS = "onnx2tf TFLite"
LARGEST_HEAD = 0.5  # of the weights: VGG keeps nine tenths in its head, and such an int8 file would save nothing


@dataclass(slots=True)
class Bench:
    """The folders of one conversion, who made what, and how long it took."""

    config: ForeignConfig
    folder: Path  # what becomes --out
    aside: Path  # what is asked but not shipped
    reporter: Reporter
    converters: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    not_made: dict[str, str] = field(default_factory=dict)  # why, by path: of files that the conversion can lack

    def step(self, name: str, module: str, **request: Any) -> dict[str, Any]:
        """Run one step and say that it is done."""
        start = time.monotonic()
        response = run_step(module, request)
        self.seconds[name] = time.monotonic() - start
        self.converters[name] = response["converter"]
        self.reporter.say(f"  {name}: {self.seconds[name]:.0f} s, {self.converters[name]}")
        return response


def wrap_source(bench: Bench) -> dict[str, Any]:
    """Write model.onnx: the foreign graph behind its preprocessing; return what convert.foreign.wrap says."""
    config = bench.config
    facts = bench.step(
        "wrap",
        "convert.foreign.wrap",
        onnx=str(config.onnx),
        out=str(bench.folder / MODEL),
        normalise=config.normalise,
        mean=config.mean,
        std=config.std,
    )
    batch = "any batch" if facts["dynamic_batch"] else "one film a call"
    bench.reporter.say(
        f"  {config.onnx.name}: {facts['channels']} channels of {facts['size']} x {facts['size']}, opset "
        f"{facts['opset']}, {facts['parameters']:,} parameters, {batch}; outputs {', '.join(facts['outputs'])}"
    )
    return facts


def make_formats(bench: Bench, calibration: NDArray[np.uint8], facts: dict[str, Any]) -> None:
    """Make every file from model.onnx, and the witness beside them.

    Raises:
        ConversionError: a float32 file could not be made; int8 and the witness only leave a reason.
    """
    model, saved = str(bench.folder / MODEL), str(bench.folder / SAVED_MODEL)
    places = {"h5": str(bench.folder / "model.h5"), "keras": str(bench.folder / "model.keras"), "saved_model": saved}
    bench.step("keras", "convert.onnx_to_keras", onnx=model, **places)
    files = {precision: str(bench.folder / f"model_{precision}.tflite") for precision in PRECISIONS}
    bench.step("tflite", "convert.quantize", saved_model=saved, **files)
    _make_int8(bench, calibration, facts)
    _make_witness(bench)


def _make_int8(bench: Bench, calibration: NDArray[np.uint8], facts: dict[str, Any]) -> None:
    """Make the int8 file; a recipe that does not fit this graph is a reason in the report, not the end."""
    films, equalised = bench.aside / CALIBRATION_FILMS, bench.aside / "equalised"
    unknown = np.zeros(len(calibration), np.int64)  # nobody said what these films show, and no range needs it
    write_films(films, Films(calibration, unknown, np.full(len(calibration), "train")))
    keep = bench.config.keep_float or _keep(facts)
    onnx, out = str(bench.aside / "equalised.onnx"), bench.folder / "model_int8.tflite"
    try:
        bench.step("equalised", "convert.equalise", onnx=str(bench.folder / MODEL), films=str(films), out=onnx)
        bench.step("equalised keras", "convert.onnx_to_keras", onnx=onnx, saved_model=str(equalised))
        given = {"saved_model": str(equalised), "films": str(films), "keep_float": list(keep)}
        bench.step("int8", "convert.int8", **given, out=str(out))
    except ConversionError as error:
        bench.not_made[out.name] = _line(error)
        bench.reporter.say(f"  int8: not made; {_line(error)}")


def _keep(facts: dict[str, Any]) -> tuple[str, ...]:
    """Return what int8 leaves in float32 unless told otherwise: the head, but one that holds most of the weights."""
    return (NOTHING,) if facts["dense_share"] > LARGEST_HEAD else (HEAD,)


def _make_witness(bench: Bench) -> None:
    """Have onnx2tf convert the same file: what it cannot do is no failure of ours."""
    place = bench.aside / "witness.tflite"
    try:
        bench.step("onnx2tf", "convert.onnx_to_tf", onnx=str(bench.folder / MODEL), tflite=str(place))
    except ConversionError as error:
        bench.not_made[WITNESS] = f"onnx2tf does not convert it: {_line(error)}"
        bench.reporter.say(f"  {bench.not_made[WITNESS]}")


def _line(error: ConversionError) -> str:
    """Return an error as one line: what happened, and the last line of why that says something."""
    lines = [line.strip() for line in error.why.splitlines() if line.strip()]
    telling = next((line for line in reversed(lines) if "rror" in line), lines[-1] if lines else "")
    return f"{error.what} ({telling[:200]})"
