"""What each step of the int8 recipe is worth, on a run's held-out films: `python -m benchmarks.quantize RUN BUNDLE`.

Every row is one int8 file against PyTorch's float32 answers. Decisions are counted at the run's
operating point; a loss is PyTorch minus file, with the one-sided 95 % upper bound of a paired bootstrap.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.results import RESULTS, append_rows, circumstances
from convert.formats.onnx_graph import read_graph
from convert.parity.compare import compare
from convert.parity.inputs import FilmFolder, read_films_of
from convert.parity.runtimes import run_all, torch_runtimes
from convert.parity.statistics import abstention_band, paired_losses
from convert.quantization.int8 import Int8Recipe, to_int8
from convert.worker import run_step
from tbconv.console import TerminalReporter
from tbconv.contract.golden import REFERENCE
from tbconv.contract.preprocess import as_model_input
from tbconv.contract.statistics import Prediction
from tf_serve.runtime.tflite import TFLiteModel
from torch_train.run_folder import CALIBRATION_FILMS, HELDOUT_FILMS, RunFacts, read_films, read_run

NEAR = 3.0  # logits from the threshold: the films whose decisions are at stake


@dataclass(frozen=True, slots=True)
class Case:
    """One row: which graph, and which recipe; None is TensorFlow's converter as it comes."""

    name: str
    equalized: float | None
    recipe: Int8Recipe | None


def cases(keep: list[str]) -> list[Case]:
    plain, head = ("none",), ("head",)
    rows = [
        Case("TensorFlow's default", None, None),
        Case("own ranges", None, Int8Recipe(plain, 0.0, correct_bias=False)),
        Case("+ float head", None, Int8Recipe(head, 0.0, correct_bias=False)),
        Case("+ biases corrected (not equalized)", None, Int8Recipe(head, 0.0)),
    ]
    shares = (0.0, 1e-6, 1e-5, 1e-4)
    clipped = [(f"equalized 0.5, left out {share:g}", Int8Recipe(head, share, correct_bias=False)) for share in shares]
    clipped += [(f"equalized 0.5, left out {share:g}, biases", Int8Recipe(head, share)) for share in shares]
    rows += [Case(name, 0.5, recipe) for name, recipe in clipped]
    rows.append(Case("equalized 0.8, left out 1e-5, biases", 0.8, Int8Recipe(head, 1e-5)))
    rows += [Case(f"recipe, ranges of {films} films", 0.5, Int8Recipe(films=films)) for films in (4, 128)]
    rows += [Case(f"recipe + float {name}", 0.5, Int8Recipe((*head, name))) for name in keep]
    return rows


def blocks(bundle: Path) -> list[Case]:
    """Return the recipe, without its biases, with nothing more in float, then with one block of the body."""
    names = {node.name for node in read_graph(bundle / "model.onnx").nodes}
    found = sorted({".".join(name.split(".")[:3]) for name in names if name.startswith("body.layer")})
    tried = [(), ("body.conv1",), *((name,) for name in found)]
    rows = [Int8Recipe(("head", *names), correct_bias=False) for names in tried]
    return [Case(f"search: head {' '.join(recipe.keep_float[1:])}", 0.5, recipe) for recipe in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="run folder of tbconv train")
    parser.add_argument("bundle", type=Path, help="its bundle, for model.onnx and the SavedModel")
    parser.add_argument("--data", type=Path, help="folder of films, in place of the run's held-out ones")
    parser.add_argument("--films", type=int, default=512, help="held-out films, at most")
    parser.add_argument("--keep-float", action="append", default=[], help="try the recipe with this node in float, too")
    parser.add_argument("--search", action="store_true", help="one block in float at a time, on calibration films")
    parser.add_argument("--only", default="", help="rows whose name holds this")
    given = parser.parse_args()
    facts = read_run(given.run)
    model_inputs, labels = films(given)
    truth = reference(given.run, facts, model_inputs)
    with tempfile.TemporaryDirectory() as place:
        for case, data in make(given, Path(place)):
            (Path(place) / "model.tflite").write_bytes(data)
            answer = TFLiteModel(Path(place) / "model.tflite").predict(as_model_input(model_inputs))
            row = measure(facts, labels, truth, answer) | {"MB": round(len(data) / 1e6, 1)}
            print(f"{case.name:42s} " + "  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
            append_rows(RESULTS / "quantize.csv", [circumstances() | {"network": facts.name, "case": case.name} | row])


def films(given: argparse.Namespace) -> tuple[Any, Any]:
    if given.search:  # the held-out films are for the verdict, not for a choice
        chosen = read_films(given.run / CALIBRATION_FILMS)
        return chosen.model_inputs, chosen.labels
    if given.data is not None:
        folder = FilmFolder(folder=given.data, most=given.films)
        model_inputs, labels, _ = read_films_of(folder, given.bundle, TerminalReporter())
        return model_inputs, labels
    held = read_films(given.run / HELDOUT_FILMS)
    rows = np.linspace(0, len(held.model_inputs) - 1, min(given.films, len(held.model_inputs))).astype(int)
    return held.model_inputs[rows], held.labels[rows]


def reference(run: Path, facts: RunFacts, model_inputs: Any) -> Prediction:
    calibration = facts.decision_rules["trained"].calibration
    first = torch_runtimes(run, "trained", arch=facts.arch, calibration=calibration)[:1]
    return run_all(first, model_inputs, TerminalReporter())[f"{REFERENCE} (trained)"]


def make(given: argparse.Namespace, place: Path) -> Iterator[tuple[Case, bytes]]:
    model_inputs = read_films(given.run / CALIBRATION_FILMS).model_inputs
    saved: dict[float | None, str] = {None: str(given.bundle / "saved_model")}
    for case in blocks(given.bundle) if given.search else cases(given.keep_float):
        if given.only not in case.name:
            continue
        if case.equalized not in saved:
            onnx, folder = str(place / f"{case.equalized}.onnx"), str(place / f"{case.equalized}")
            films = str(given.run / CALIBRATION_FILMS)
            source = str(given.bundle / "model.onnx")
            run_step(
                "convert.quantization.equalization:equalize",
                {"onnx": source, "films": films, "out": onnx, "balance": case.equalized},
            )
            run_step("convert.formats.onnx_to_keras:onnx_to_keras", {"onnx": onnx, "saved_model": folder})
            saved[case.equalized] = folder
        folder = saved[case.equalized]
        yield case, default(folder, model_inputs) if case.recipe is None else to_int8(folder, model_inputs, case.recipe)


def default(saved_model: str, model_inputs: Any) -> bytes:
    import tensorflow as tf

    from convert.quantization.int8 import representative

    converter = tf.lite.TFLiteConverter.from_saved_model(saved_model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative(model_inputs)
    converter.inference_input_type = tf.uint8
    return bytes(converter.convert())


def measure(facts: RunFacts, labels: Any, truth: Prediction, answer: Prediction) -> dict[str, Any]:
    threshold = facts.decision_rules["trained"].operating_point.margin
    found = compare(truth, answer, threshold=threshold)
    losses = paired_losses(truth.margin, answer.margin, labels, threshold=threshold)
    band = abstention_band(truth.margin, answer.margin, threshold=threshold)
    moved = answer.margin.astype(np.float64) - truth.margin
    near = moved[np.abs(truth.margin - threshold) < NEAR]
    return {
        "n": len(labels),
        "SQNR_dB": round(found.sqnr_db, 1),
        "max_d_margin": round(found.max_abs_margin, 2),
        "mean_d_margin": round(float(moved.mean()), 3),
        "rms_near_threshold": round(float(np.sqrt((near**2).mean())), 3) if len(near) else None,
        "missed": found.missed,
        "added": found.added,
        "AUROC_loss_upper95": round(losses["auroc_loss"]["upper95"], 5),
        "sensitivity_loss": round(losses["sensitivity_loss"]["value"], 4),
        "identity": f"{found.identity:.0e}",
        "band": round(band["half_width"], 2),
        "undecided": band["inside"],
    }


if __name__ == "__main__":
    main()
