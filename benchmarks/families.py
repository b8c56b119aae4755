"""One network of each family of timm and of torchvision's classifiers: `python -m benchmarks.families FILMS`.

A fast pass, each network as `tbconv convert LIBRARY:NAME` builds it: random seeded weights with running statistics of
films, exported, our own TFLite writer, Keras, the proof of both, and what PyTorch in float64, ONNX Runtime, TFLite and
Keras answer to 64 films. A row a network in results/families.csv; those that have one of this commit or any other are
skipped unless --again. A network that takes more than its time ends, and so does the process that it ran in.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.families_table import CSV, FAMILIES, read_rows
from benchmarks.networks import CSV as BACKBONES
from benchmarks.networks_table import draw_table
from benchmarks.results import append_rows, circumstances
from convert import worker
from convert.formats.normalise import Normalise, prepare
from convert.formats.torch_to_onnx.source import RUNNER, STEP
from convert.parity.inputs import evenly, find_films
from convert.parity.runtimes import Runtime, run_outputs
from convert.proof.prove import prove_files
from convert.worker import run_step, workers
from tbconv.contract.errors import Silence, TbconvError
from tbconv.contract.preprocess import PreprocessSpec
from tbconv.contract.statistics import exact_interval, is_positive

ROOT = Path(__file__).resolve().parent.parent
FILMS, WARMING = 64, 16
SCRIPT = "benchmarks.families"
PROCESSES = 4  # that stay alive, one a framework and one more: imports would be most of a small network's time
LEAST_SIDE = 16  # films on each side of the decision
SIDES = (96, 128, 224, None)  # of the image: the smallest that a network takes; None is that of its config
COLUMNS = (
    "network",
    "library",
    "parameters",
    "side",
    "open_batch",
    "converts",
    "stage",
    "reason",
    "operations",
    "proof_tflite",
    "proof_keras",
    "steps_onnx",
    "steps_tflite",
    "steps_keras",
    "flips",
    "sides",
    "tflite_mb",
    "seconds",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("films", type=Path, nargs="?", help="folder of films; left out, only the table is drawn")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="networks, or the start of their names: timm:vit")
    parser.add_argument("--limit", type=float, default=300, help="seconds a network")
    parser.add_argument("--again", action="store_true", help="those too that have a row")
    parser.add_argument("--refused", type=Path, help="file to append what was refused to, by operation")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)  # in this process, a row a line
    given = parser.parse_args()
    names = [one for one in FAMILIES if given.only is None or one.startswith(tuple(given.only))]
    if given.here:
        worker.MOST_ALIVE = PROCESSES
        with workers():
            for name in given.only:
                print(json.dumps(row_of(name, given.films)), flush=True)
        return
    done = set() if given.again else {row["network"] for row in read_rows()}
    if given.films is not None:
        run([one for one in names if one not in done], given.films, given.limit, given.refused)
    draw_table(BACKBONES)
    rows = read_rows()
    converted = sum(row["converts"] == "yes" for row in rows)
    if rows:
        low, high = exact_interval(converted, len(rows))
        print(f"{converted} of {len(rows)} tried convert ({low:.0%} to {high:.0%}, 95 %)")
    blamed = Counter(one for row in rows for one in row["operations"].split())
    print("refused, by operation: " + ", ".join(f"{name} {count}" for name, count in blamed.most_common()))


def run(
    names: list[str], films: Path, limit: float, refused: Path | None, *, script: str = SCRIPT, csv: Path = CSV
) -> None:
    """Run networks one after the other in another process, and begin a new one where that ends or takes too long.

    `script` is the module that does so with --here, a line of JSON each; `csv` gets the rows.
    """
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    while names:
        command = [sys.executable, "-P", "-m", script, str(films), "--here", "--only", *names]
        places = os.environ | {"PYTHONPATH": paths}  # -P leaves out the working folder
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True, env=places)
        lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=_read, args=(child, lines), daemon=True).start()
        while names:
            try:
                line = lines.get(timeout=limit)
            except queue.Empty:
                line = ""
            name, names = names[0], names[1:]
            ended = "the process ended" if child.poll() is not None else f"it took more than {limit:g} s"
            row = json.loads(line) if line else _blank(name) | {"stage": "limit", "reason": ended}
            append_rows(csv, [circumstances() | row])
            print(row["network"], row["converts"], row["stage"], row["reason"][:200], f"{row['seconds']} s", flush=True)
            if refused is not None and row["converts"] != "yes":
                with refused.open("a", encoding="utf-8") as file:
                    file.write(f"{name}\t{row['stage']}\t{row['operations']}\t{row['reason']}\n")
            if not line:
                break
        with suppress(ProcessLookupError):  # all of it has ended
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _read(child: subprocess.Popen[str], lines: queue.Queue[str]) -> None:
    for line in child.stdout or ():
        if line.startswith("{"):
            lines.put(line)
    lines.put("")


def _blank(name: str) -> dict[str, Any]:
    return dict.fromkeys(COLUMNS, "") | {"network": name, "converts": "no"}


def row_of(name: str, films: Path) -> dict[str, Any]:
    """Return the row of one network; a refusal is one, too."""
    return told(name, lambda row, place: _fill(row, name, films, place))


def told(name: str, fill: Callable[[dict[str, Any], Path], None]) -> dict[str, Any]:
    """Return the row that `fill` writes with files in a folder of its own, or the refusal that it ends with."""
    row, started = _blank(name), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="tbconv-family-") as folder:
        try:
            fill(row, Path(folder))
            row |= {"converts": "yes", "stage": ""}
        except TbconvError as error:
            nodes = Counter(re.findall(r"\((\w+)\)|operation ::(\w+)", f"{error.what} {error.why}"))
            row["operations"] = " ".join(sorted({"".join(one) for one in nodes if "".join(one)[:1].isupper()}))
            row["reason"] = error.one_line[:600]
    row["seconds"] = round(time.monotonic() - started)
    return row


def _fill(row: dict[str, Any], name: str, films: Path, place: Path) -> None:
    """Do the whole pass; `stage` says how far it came.

    Raises:
        TbconvError: the network is refused.
    """
    kind, _, network = name.partition(":")
    row["stage"] = "export"
    facts = export_family(kind, network, films, place)
    side, given = facts["size"], facts["preprocessing"]
    row |= {"library": facts["library"], "side": side, "open_batch": facts["dynamic"]}
    row["parameters"] = facts["parameters"]
    images = films_of(films, FILMS, side)
    normalise = Normalise("given", tuple(given["mean"]), tuple(given["std"]))
    fed = place / "fed.npy"
    np.save(fed, prepare(images, normalise))
    of_torch = facts["request"] | {"images": str(fed), "dtype": "float64"}
    pass_through(row, Path(facts["onnx"]), Runtime("torch", "trained", RUNNER, of_torch), images, normalise)


def pass_through(
    row: dict[str, Any], onnx: Path, reference: Runtime, images: NDArray[np.uint8], normalise: Normalise
) -> None:
    """Convert an ONNX file, prove what is made of it, and judge it by films; `stage` says how far it came.

    Args:
        row: is filled in.
        onnx: the exported file; what is made lies beside it.
        reference: answers the films in float64.
        images: uint8 [N, S, S].
        normalise: of the network's channels.

    Raises:
        TbconvError: the network is refused; ConversionWrongError: it is not, and answers otherwise.
    """
    place = onnx.parent
    row["stage"] = "wrap"
    numbers = {"mean": normalise.mean, "std": normalise.std}
    model = place / "model.onnx"
    wrapped = run_step("convert.formats.onnx_wrap.wrap:wrap", {"onnx": str(onnx), "out": str(model), **numbers})
    row["stage"] = "tflite"
    tflite, keras = place / "model_float32.tflite", place / "model.keras"
    reduced = {one: str(place / f"model_{one}.tflite") for one in ("float16", "dynamic")}
    run_step("convert.formats.tflite.write:onnx_to_tflite", {"onnx": str(model), "float32": str(tflite), **reduced})
    row |= {"tflite_mb": round(tflite.stat().st_size / 1e6, 1), "stage": "keras"}
    run_step("convert.formats.onnx_to_keras:onnx_to_keras", {"onnx": str(model), "keras": str(keras)})
    row["stage"] = "proof"
    proofs = prove_files(model, {"tflite": tflite, "keras": keras})
    row |= {f"proof_{one}": str(proof.verdict) for one, proof in proofs.items()}
    row["stage"] = "run"
    batch = {} if wrapped["dynamic_batch"] else {"batch": 1}
    artefact = {"artefact": str(model), "optimised": False} | batch
    runtimes = [
        reference,
        Runtime("onnx", "trained", "convert.runners.onnxruntime:run", artefact),
        Runtime("tflite", "trained", "convert.runners.tflite:run_any", {"artefact": str(tflite)}),
        Runtime("keras", "trained", "convert.runners.tensorflow:run_keras", {"artefact": str(keras)} | batch),
    ]
    found = run_outputs(runtimes, images, Silence())
    answers = {one: next(iter(answer.values())) for one, answer in found.items() if not isinstance(answer, str)}
    row |= judged(answers)
    if row["flips"] or "NOT EQUIVALENT" in (row["proof_tflite"], row["proof_keras"]):
        raise ConversionWrongError("the files are wrong", why=f"{row['flips']} flips, proofs {proofs}", fix="mend it")


class ConversionWrongError(TbconvError):
    """A network that converts, and gives other decisions: the worst that there is."""


def judged(answers: dict[str, NDArray[np.float32]]) -> dict[str, Any]:
    """Return how far each runtime is from PyTorch in float64, in float32 steps of the largest answer, and its flips.

    The decision is the difference of the first two logits, or the only one, against the middle of the widest gap
    between two films that leaves at least 16 on each side.
    """
    reference = answers["torch"].astype(np.float64)
    step = float(np.finfo(np.float32).eps) * float(np.abs(reference).max())
    apart = {one: float(np.abs(answer - reference).max()) / step for one, answer in answers.items()}
    margins = {one: answer[:, 0].astype(np.float64) - answer[:, 1:2].sum(1) for one, answer in answers.items()}
    ordered = np.sort(margins["torch"])
    gaps = np.diff(ordered)[LEAST_SIDE - 1 : len(ordered) - LEAST_SIDE]
    at = LEAST_SIDE - 1 + int(gaps.argmax())
    threshold = float(ordered[at : at + 2].mean())
    positive = {one: is_positive(margin, threshold) for one, margin in margins.items()}
    flips = max(int((one != positive["torch"]).sum()) for one in positive.values())
    row: dict[str, Any] = {f"steps_{one}": round(apart[one], 1) for one in answers if one != "torch"}
    return row | {"flips": flips, "sides": f"{int(positive['torch'].sum())} + {int((~positive['torch']).sum())}"}


def export_family(kind: str, network: str, films: Path, place: Path) -> dict[str, Any]:
    """Export at the smallest side that the network takes.

    Raises:
        TbconvError: it takes none.
    """
    last: TbconvError | None = None
    for size in SIDES:
        request: dict[str, Any] = {"kind": kind, "network": network, "weights": None, "size": size}
        try:
            images = place / "warm.npy"
            np.save(images, films_of(films, WARMING, size or 224))
            weights, onnx = str(place / "weights.safetensors"), str(place / "given.onnx")
            warmed = run_step(
                "benchmarks.families_weights:warm", request | {"images": str(images), "weights_out": weights}
            )
            request["weights"] = weights
            return run_step(STEP, request | {"out": onnx}) | warmed | {"request": request, "onnx": onnx}
        except TbconvError as error:
            last = error
    raise last or ValueError("no side was tried")


def films_of(films: Path, count: int, side: int) -> NDArray[np.uint8]:
    """Return so many films, uint8 [N, S, S]."""
    paths = np.array(find_films(films))
    return np.stack([PreprocessSpec(size=side).from_file(path) for path in evenly(paths, count)])


if __name__ == "__main__":
    main()
