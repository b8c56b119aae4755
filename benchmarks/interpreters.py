"""What a further interpreter of a file costs in memory, and what a batch saves: why the pool is as it is.

The server opens one interpreter a worker thread and asks each about one film at a time (tf_serve.runtime.tflite). Each
file of the bundle is measured in a process of its own: resident memory after one, two and three interpreters,
milliseconds a film alone and in batches of 2, 4 and 8 (lowest of the rounds: other work only adds).

    python -m benchmarks.interpreters BUNDLE
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
if not __package__:
    sys.path[0] = str(ROOT)  # run as a file, its folder stands first

from tf_serve.runtime.tflite import TFLiteModel  # noqa: E402

BATCHES = (1, 2, 4, 8)
ROUNDS = 8
SIZE = 224


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("bundle", type=Path)
    words.add_argument("--file", help=argparse.SUPPRESS)  # this process measures one file
    given = words.parse_args()
    if given.file:
        print(json.dumps(measure(given.bundle / given.file)))
        return
    for path in sorted(given.bundle.glob("*.tflite")):
        command = [sys.executable, __file__, str(given.bundle), "--file", path.name]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        print(line(path.name, json.loads(done.stdout)))


def measure(path: Path) -> dict[str, list[float]]:
    film = np.random.default_rng(0).integers(0, 256, (1, SIZE, SIZE, 1)).astype(np.float32)
    models, resident, own = [], [], []
    before = memory()
    for _ in range(3):
        models.append(TFLiteModel(path))
        models[-1].predict(film)
        after = memory()
        resident.append(after[0] - before[0])
        own.append(after[1] - before[1])
        before = after
    return {"resident": resident, "own": own, "ms": [milliseconds(path, batch) for batch in BATCHES]}


def memory() -> tuple[float, float]:
    """Return resident and private memory of this process, MB."""
    rows = [row.split() for row in Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]]
    sizes = {row[0]: int(row[1]) / 1024 for row in rows}
    return sizes["Rss:"], sizes["Private_Dirty:"]


def milliseconds(path: Path, batch: int) -> float:
    """Return milliseconds a film where `batch` are given at once, LiteRT's calls alone."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    [details] = interpreter.get_input_details()
    interpreter.resize_tensor_input(details["index"], [batch, SIZE, SIZE, 1])
    interpreter.allocate_tensors()
    films = np.random.default_rng(0).integers(0, 256, (batch, SIZE, SIZE, 1)).astype(details["dtype"])
    times = []
    for _ in range(ROUNDS):
        interpreter.set_tensor(details["index"], films)
        start = time.perf_counter()
        interpreter.invoke()
        times.append((time.perf_counter() - start) * 1e3 / batch)
    return min(times[1:])


def line(name: str, found: dict[str, list[float]]) -> str:
    pairs = zip(found["resident"], found["own"], strict=True)
    further = ", ".join(f"+{mb:.0f} MB ({own:.0f} of its own)" for mb, own in pairs)
    batches = ", ".join(f"{batch}: {ms:.1f}" for batch, ms in zip(BATCHES, found["ms"], strict=True))
    return f"{name}: interpreters {further}; ms a film in batches of {batches}"


if __name__ == "__main__":
    main()
