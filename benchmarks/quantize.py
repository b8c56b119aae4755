"""int8 on any runs: tbconv's search, TensorFlow's default and ONNX Runtime's, on the same calibration films.

    python -m benchmarks.quantize RUN [RUN=BUNDLE ...] [--budget SECONDS] [--near]

Every row is one file against ONNX Runtime's float32 answers to the run's held-out films, which no candidate has seen.
Decisions are counted at the raw operating point; a row of all runs together gives flips with their 95 % interval. RUN
alone is exported first; RUN=BUNDLE takes the bundle's model.onnx.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from benchmarks.results import RESULTS, append_rows, circumstances
from convert.parity.inputs import evenly
from convert.parity.statistics import abstention_band, paired_losses
from convert.worker import run_step, workers
from tbconv.contract.preprocess import as_model_input
from tbconv.contract.statistics import is_positive, proportion, sqnr_db
from torch_train.run_folder import CALIBRATION_FILMS, HELDOUT_FILMS, Films, read_films, read_run, write_films

FLOAT32 = "float32 of tbconv"  # beside them: the file that nothing was taken from
OURS, TENSORFLOW, RUNTIME = "tbconv", "TensorFlow's default", "ONNX Runtime's default"
NEAR = 32  # films shown, nearest to the threshold
ROUNDS, WARM_UP = 15, 2  # of all files in turn
Answers = Callable[[NDArray[np.uint8]], NDArray[np.float64]]  # one film -> its margin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", help="run folders of tbconv train, each alone or as RUN=BUNDLE")
    parser.add_argument("--budget", type=float, default=240.0, help="seconds of the search; 0: one candidate")
    parser.add_argument("--calibration", type=int, default=512, help="calibration films, at most")
    parser.add_argument(
        "--nearest", type=int, default=4096, help="held-out films to run, those nearest to the threshold"
    )
    parser.add_argument("--margins", type=Path, help="folder of NAME.json with float32 margins of the held-out films")
    parser.add_argument("--only", default="", help="files whose name holds this")
    parser.add_argument("--near", action="store_true", help="show the films nearest to the threshold one by one")
    given = parser.parse_args()
    pooled: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    with workers():
        for text in given.runs:
            run, _, bundle = text.partition("=")
            with tempfile.TemporaryDirectory() as place:
                for name, row in measure_run(Path(run), bundle, Path(place), given):
                    pooled[name] = [
                        a + b for a, b in zip(pooled[name], (row["missed"] + row["added"], row["n"], 1), strict=True)
                    ]
    for name, (flips, films, runs) in pooled.items():
        share = proportion(flips, films)
        print(f"{name}: {flips} of {films} films flip over {runs} networks, {_span(share)}")


def _span(share: Any) -> str:
    return f"{100 * share.value:.2f} % (95 %: {100 * share.low:.2f} to {100 * share.high:.2f})"


def measure_run(run: Path, bundle: str, place: Path, given: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any]]]:
    facts, held = read_run(run), read_films(run / HELDOUT_FILMS)
    threshold = facts.decision_rules["trained"].operating_point.margin
    onnx = Path(bundle) / "model.onnx" if bundle else export(run, place)
    reference = reference_margins(run, onnx, held, given.margins)
    nearest = np.sort(np.argsort(np.abs(reference - threshold), kind="stable")[: given.nearest])
    rest = np.delete(np.abs(reference - threshold), nearest).min(initial=np.inf)
    films, labels = held.model_inputs[nearest], held.labels[nearest]
    float32, calibration = place / "float32.tflite", place / CALIBRATION_FILMS
    run_step("convert.formats.tflite.write:onnx_to_tflite", {"onnx": str(onnx), "float32": str(float32)})
    write_films(calibration, part_of(read_films(run / CALIBRATION_FILMS), given.calibration))
    what = f"{len(held.labels)} held-out films, {int(held.labels.sum())} positive, threshold {threshold:.3f}"
    print(
        f"{run.name}: {facts.arch}, {what}; run on the {len(films)} nearest, the others beyond {rest:.2f}", flush=True
    )
    made: dict[str, tuple[Path, Answers]] = {}
    for name, make in (
        (FLOAT32, own_float32),
        (OURS, ours),
        (TENSORFLOW, tensorflow_default),
        (RUNTIME, runtime_default),
    ):
        if given.only in name:
            start, path = time.monotonic(), place / f"{name.split(chr(39))[0].replace(' ', '_')}.bin"
            answers = make(calibration, onnx, path, threshold, given.budget)
            print(f"  {name}: made in {time.monotonic() - start:.0f} s", flush=True)
            made[name] = path, answers
    ratios = latencies({"float32": litert_answers(float32)} | {name: one for name, (_, one) in made.items()}, films[0])
    for name, (path, answers) in made.items():
        margins = np.array([answers(film) for film in films])
        row = figures(reference, nearest, margins, held.labels, threshold) | {
            "bytes": round(path.stat().st_size / float32.stat().st_size, 3),
            "latency": round(ratios[name], 3),
        }
        print(f"  {name:24s} " + "  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
        if given.near:
            for film in np.argsort(np.abs(reference[nearest] - threshold))[:NEAR]:
                before, after = reference[nearest][film] - threshold, margins[film] - threshold
                print(f"    film {nearest[film]}, label {labels[film]}: {before:+.3f} -> {after:+.3f}")
        append_rows(RESULTS / "int8.csv", [circumstances() | {"network": run.name, "file": name} | row])
        yield name, row


def reference_margins(run: Path, onnx: Path, held: Films, known: Path | None) -> NDArray[np.float64]:
    """Return the float32 margins of all held-out films: measured, or those that another machine left."""
    if known is not None:
        return np.asarray(json.loads((known / f"{run.name}.json").read_text())["margins"], np.float64)
    answer = onnx_answers(onnx)
    return np.array([answer(film) for film in held.model_inputs])


def part_of(films: Films, most: int) -> Films:
    rows = evenly(np.arange(len(films.labels)), most)
    return Films(films.model_inputs[rows], films.labels[rows], films.part[rows])


def export(run: Path, place: Path) -> Path:
    facts, out = read_run(run), place / "model.onnx"
    calibration = asdict(facts.decision_rules["trained"].calibration)
    request = {
        "folder": str(run),
        "network": "trained",
        "arch": facts.arch,
        "calibration": calibration,
        "out": str(out),
    }
    run_step("convert.formats.torch_to_onnx.of_run:torch_to_onnx", request)
    return out


# --- files ---


def own_float32(_films: Path, onnx: Path, out: Path, _threshold: float, _budget: float) -> Answers:
    run_step("convert.formats.tflite.write:onnx_to_tflite", {"onnx": str(onnx), "float32": str(out)})
    return litert_answers(out)


def ours(films: Path, onnx: Path, out: Path, threshold: float, budget: float) -> Answers:
    request = {
        "onnx": str(onnx),
        "films": str(films),
        "decisions": {"threshold": threshold},
        "keep_float": ["head"],
        "budget": budget,
        "out": str(out),
    }
    found = run_step("convert.quantization.search:search", request)["search"]
    for number, one in enumerate(found["candidates"]):
        print(f"    {'*' if number == found['chosen'] else ' '} {json.dumps(one)}", flush=True)
    print(f"    {found['ended']}; {found['verdict']}; {found['seconds']} s")
    return litert_answers(out)


def tensorflow_default(films: Path, onnx: Path, out: Path, _threshold: float, _budget: float) -> Answers:
    saved = str(out.with_suffix(".saved_model"))
    run_step("convert.formats.onnx_to_keras:onnx_to_keras", {"onnx": str(onnx), "saved_model": saved})
    request = {"saved_model": saved, "films": str(films), "out": str(out)}
    run_step("benchmarks.quantize_peers:tensorflow_default", request)
    return litert_answers(out)


class _Films(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime ships no types
    def __init__(self, films: Films) -> None:
        self._films = iter(films.model_inputs)

    def get_next(self) -> dict[str, Any] | None:
        film = next(self._films, None)
        return None if film is None else {"image": as_onnx(film)}


def runtime_default(films: Path, onnx: Path, out: Path, _threshold: float, _budget: float) -> Answers:
    prepared = out.with_suffix(".prepared.onnx")
    quant_pre_process(str(onnx), str(prepared))
    quantize_static(str(prepared), str(out), _Films(read_films(films)), quant_format=QuantFormat.QDQ)
    return onnx_answers(out)


# --- answers ---


def as_onnx(film: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.ascontiguousarray(as_model_input(film[None]).transpose(0, 3, 1, 2))


def onnx_answers(path: Path) -> Answers:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda film: _margin(session.run(["logits"], {"image": as_onnx(film)})[0])


def litert_answers(path: Path) -> Answers:
    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    runner = interpreter.get_signature_runner()
    [(name, detail)] = runner.get_input_details().items()
    return lambda film: _margin(runner(**{name: as_model_input(film[None]).astype(detail["dtype"])})["logits"])


def _margin(logits: NDArray[np.float32]) -> Any:
    return np.float64(logits[0, 1]) - np.float64(logits[0, 0])


def latencies(files: dict[str, Answers], film: NDArray[np.uint8]) -> dict[str, float]:
    """Return by file the median, over rounds, of its time as a share of the float32 file's in the same round."""
    ratios: dict[str, list[float]] = defaultdict(list)
    for turn in range(WARM_UP + ROUNDS):
        taken = {}
        for name, answers in files.items():
            start = time.perf_counter()
            answers(film)
            taken[name] = time.perf_counter() - start
        for name in files if turn >= WARM_UP else ():
            ratios[name].append(taken[name] / taken["float32"])
    return {name: float(np.median(rows)) for name, rows in ratios.items()}


def figures(
    reference: NDArray[np.float64],
    nearest: NDArray[np.int64],
    margins: NDArray[np.float64],
    labels: NDArray[np.int64],
    threshold: float,
) -> dict[str, Any]:
    """Return what a file costs; films that it was not run on keep their float32 margin."""
    moved = margins - reference[nearest]
    every = reference.copy()
    every[nearest] = margins
    right, found = is_positive(reference, threshold), is_positive(every, threshold)
    losses = paired_losses(reference, every, labels, threshold=threshold) if 0 < labels.sum() < len(labels) else None
    band = abstention_band(reference, every, threshold=threshold)  # those beyond the nearest weigh nothing
    near = np.argsort(np.abs(reference[nearest] - threshold))[:NEAR]
    return {
        "n": len(labels),
        "run": len(nearest),
        "dB": round(sqnr_db(reference[nearest], margins), 1),
        "rms_near": round(float(np.sqrt(np.square(moved)[near].mean())), 3),
        "mean_near": round(float(moved[near].mean()), 3),
        "largest": round(float(np.abs(moved).max()), 2),
        "missed": int((right & ~found).sum()),
        "added": int((~right & found).sum()),
        "sensitivity_loss": round(losses["sensitivity_loss"]["value"], 4) if losses else None,
        "AUROC_loss_upper95": round(losses["auroc_loss"]["upper95"], 5) if losses else None,
        "band": round(band["half_width"], 3),
        "undecided": band["inside"],
    }


if __name__ == "__main__":
    main()
