"""How long each format takes for one film, one thread and two: the one source of the latency table.

Every TFLite kind of a bundle (LiteRT, XNNPACK) against ONNX Runtime, OpenVINO and PyTorch eager in float32 on
the same film. Each runtime is a process that stays; all are asked in turn, round after round, in another order
each time, so that noise of the machine meets all alike. A ratio is taken within each round; its median over
the rounds is printed with the lowest and highest, and that is the claim, never the milliseconds.

    python -m benchmarks.latency BUNDLE --install-peers /tmp/peers
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
if not __package__:
    sys.path[0] = str(ROOT)  # run as a file, its folder stands first, where `convert` would mean a script

from benchmarks.latency_table import FLOAT32, Timed, bars, csv_row, table  # noqa: E402
from benchmarks.results import RESULTS, append_rows, circumstances  # noqa: E402
from tbconv.contract.errors import BundleError, SetupError, TbconvError  # noqa: E402

OPENVINO = "openvino==2026.4.0"  # of the serving runtimes the other fast one; not in our environment
PAUSE_S = 0.05  # thread pools spin for a while after a call; the next runtime starts after that
SAME_MARGIN = 1e-2  # logits; float32 runtimes differ by some 1e-5: beyond it, another network was timed


@dataclass(frozen=True, slots=True)
class Contender:
    """One runtime with one file."""

    name: str
    kind: str  # float32, float16, dynamic or int8
    runtime: str  # of latency_worker.LOADERS
    model: Path
    python: Path = Path(sys.executable)
    more: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Worker:
    """A contender's process, loaded and warm."""

    contender: Contender
    process: subprocess.Popen[str]
    version: str
    margin: float  # logits

    def ask(self, films: int) -> list[list[float]]:
        """Return milliseconds and CPU milliseconds of so many films."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{films}\n")
        self.process.stdin.flush()
        milliseconds: list[list[float]] = _line(self.process, self.contender.name)
        return milliseconds


def contenders(bundle: Path, *, openvino: Path | None, tensorflow: bool) -> list[Contender]:
    """Return every TFLite kind of a bundle and the runtimes beside it.

    Args:
        bundle: what `tbconv convert` left.
        openvino: the Python of an environment with OpenVINO; None leaves it out.
        tensorflow: whether the SavedModel is asked, too.

    Raises:
        BundleError: the bundle has no trained network.
    """
    try:
        manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
        calibration = manifest["decision_rules"]["trained"]["calibration"]
    except (OSError, KeyError, ValueError) as error:
        raise BundleError(
            f"{bundle} is no bundle of a trained network", why=str(error), fix="tbconv convert RUN --out BUNDLE"
        ) from error
    kinds = sorted(bundle.glob("model_*.tflite"), key=lambda path: -path.stat().st_size)
    found = [
        Contender(f"TFLite {path.stem.removeprefix('model_')}", path.stem.removeprefix("model_"), "tflite", path)
        for path in kinds
    ]
    found.append(Contender("ONNX Runtime", FLOAT32, "onnxruntime", bundle / "model.onnx"))
    if openvino is not None:
        found.append(Contender("OpenVINO", FLOAT32, "openvino", bundle / "model.onnx", openvino))
    eager = {"arch": manifest["provenance"]["arch"], "calibration": calibration}
    found.append(Contender("PyTorch eager", FLOAT32, "torch", bundle, more=eager))
    if tensorflow:
        found.append(Contender("TensorFlow SavedModel", FLOAT32, "tensorflow", bundle / "saved_model"))
    return found


def time_all(asked: list[Contender], film: Path, *, threads: int, rounds: int, films: int) -> list[Timed]:
    """Start all contenders, ask them in turn and return what each took.

    Args:
        asked: who.
        film: .npy, uint8 [224, 224].
        threads: of each runtime.
        rounds: how often everybody's turn comes.
        films: a turn.

    Raises:
        SetupError: a runtime did not start, or answers as another network would.
    """
    with ExitStack() as stack:
        workers = [stack.enter_context(_started(one, film, threads)) for one in asked]
        _refuse_strangers(workers)
        taken: dict[str, list[list[list[float]]]] = {worker.contender.name: [] for worker in workers}
        for turn in range(rounds):
            first = turn % len(workers)
            for worker in workers[first:] + workers[:first]:
                time.sleep(PAUSE_S)
                taken[worker.contender.name].append(worker.ask(films))
            say(f"{threads} thread(s), round {turn + 1} of {rounds}, load {os.getloadavg()[0]:.1f}")
        return [_timed(worker, threads, np.array(taken[worker.contender.name])) for worker in workers]


def _timed(worker: Worker, threads: int, taken: NDArray[np.float64]) -> Timed:
    one = worker.contender
    return Timed(one.name, one.kind, worker.version, threads, taken[..., 0], taken[..., 1])


@contextmanager
def _started(contender: Contender, film: Path, threads: int) -> Iterator[Worker]:
    request = {"runtime": contender.runtime, "model": str(contender.model), "film": str(film), "threads": threads}
    command = [str(contender.python), "-m", "benchmarks.latency_worker", json.dumps(request | contender.more)]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=_environment(threads),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            hello = _line(process, contender.name)
            say(f"{contender.name}: {hello['version']}, {threads} thread(s), margin {hello['margin']:.4f}")
            yield Worker(contender, process, hello["version"], hello["margin"])
        finally:
            process.kill()


def _line(process: subprocess.Popen[str], name: str) -> Any:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise SetupError(
            f"{name} gave no answer",
            why=f"its process ended with exit code {process.wait()}",
            fix="run 'tbconv doctor'; for OpenVINO: --install-peers DIR",
        )
    return json.loads(line)


def _environment(threads: int) -> dict[str, str]:
    fixed = dict.fromkeys(("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "MKL_NUM_THREADS"), str(threads))
    quiet = {"TF_NUM_INTEROP_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": ""}
    return {**os.environ, **fixed, **quiet, "PYTHONPATH": str(ROOT)}


def _refuse_strangers(workers: list[Worker]) -> None:
    margins = {worker.contender.name: worker.margin for worker in workers if worker.contender.kind == FLOAT32}
    low, high = min(margins.values()), max(margins.values())
    if not high - low <= SAME_MARGIN * max(1.0, abs(high)):
        raise SetupError(
            "the float32 runtimes do not answer alike",
            why=f"margins of the film: {margins}",
            fix="tbconv verify BUNDLE; a wrong answer's latency says nothing",
        )


def phantom_of(bundle: Path) -> NDArray[np.uint8]:
    """Return the bundle's first golden phantom, uint8 [224, 224]; a golden probe where it has none."""
    with np.load(bundle / "golden.npz", allow_pickle=False) as golden:
        names = [str(name) for name in golden["names"]]
        row = next((index for index, name in enumerate(names) if "phantom" in name), 0)
        say(f"the film is the golden input {names[row]}")
        model_input: NDArray[np.uint8] = golden["model_inputs"][row]
    return model_input


def install_peers(folder: Path) -> Path:
    """Make an environment with OpenVINO, where there is none yet, and return its Python."""
    python = folder / "openvino" / "bin" / "python"
    if not python.exists():
        say(f"installing {OPENVINO} into {folder / 'openvino'}")
        subprocess.run([sys.executable, "-m", "venv", str(folder / "openvino")], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, OPENVINO], check=True)
    return python


def read_words(words: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.latency", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path, help="what `tbconv convert` left")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="of each runtime (default 1 2)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of everybody (default 5)")
    parser.add_argument("--films", type=int, default=20, help="films a turn (default 20)")
    parser.add_argument("--openvino-python", type=Path, help="the Python of an environment with OpenVINO")
    parser.add_argument("--install-peers", type=Path, metavar="DIR", help="make that environment in DIR")
    parser.add_argument("--tensorflow", action="store_true", help="ask the SavedModel, too")
    parser.add_argument("--csv", type=Path, default=RESULTS / "latency.csv", help="where rows are appended")
    parser.add_argument("--json", action="store_true", help="print the result as JSON on stdout")
    return parser.parse_args(words)


def say(line: str) -> None:
    """Print progress on stderr."""
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    """Run the benchmark; 0 all bars met, 1 one missed or an error."""
    words, around = read_words(), circumstances()
    timed: list[Timed] = []
    try:
        openvino = install_peers(words.install_peers) if words.install_peers else words.openvino_python
        asked = contenders(words.bundle.resolve(), openvino=openvino, tensorflow=words.tensorflow)
        with tempfile.TemporaryDirectory(prefix="tbconv-bench-") as folder:
            film = Path(folder) / "film.npy"
            np.save(film, phantom_of(words.bundle))
            for threads in words.threads:
                timed += time_all(asked, film, threads=threads, rounds=words.rounds, films=words.films)
    except TbconvError as error:
        say(f"error: {error}")
        return 1
    rows = [csv_row(one, timed, run=words.bundle.resolve().name, around=around) for one in timed]
    append_rows(words.csv, rows)
    held = bars(timed)
    if words.json:
        print(
            json.dumps({"rows": rows, "bars": [{"sentence": bar.sentence, "met": bar.met} for bar in held]}, indent=2)
        )
    else:
        print("\n".join([table(timed), "", *(bar.sentence for bar in held)]))
    return 0 if held and all(bar.met for bar in held) else 1


if __name__ == "__main__":
    sys.exit(main())
