"""Twenty `kill -9` of `tbconv score` at random moments: the same bytes as a run that nobody stopped, and flat memory.

    python -m benchmarks.score_kills BUNDLE FILMS --n 100000 --artefact baseline.tflite --engine local

FILMS is a folder of real films; the run's folder holds N of them under new ids, as links. The first run is not stopped:
its seconds say between which moments the kills fall, and its memory is looked at once a second.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean
from typing import Any

import psutil

from benchmarks.results import RESULTS, append_rows, circumstances
from benchmarks.score import fill
from tf_serve.score.rows import read, shards
from tf_serve.score.run import ENGINES

LOOK_EVERY_S = 1.0
PROGRAM = "from tbconv.cli import main; main()"


def command(given: argparse.Namespace, films: Path, out: Path) -> list[str]:
    """Return the words of the command."""
    words = ["score", given.bundle, "--films", films, "--out", out, "--workers", given.workers, "--quiet", "--json"]
    words += ["--engine", given.engine, "--shard-films", given.shard_films]
    words += ["--artefact", given.artefact] if given.artefact else []
    return [sys.executable, "-P", "-c", PROGRAM, *map(str, words)]


def resident(process: subprocess.Popen[str]) -> int:
    """Return the bytes that a process and all below it hold; pages that two share count twice."""
    total = 0
    with contextlib.suppress(psutil.Error):
        root = psutil.Process(process.pid)
        for one in [root, *root.children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                total += one.memory_info().rss
    return total


def whole_run(words: list[str]) -> tuple[dict[str, Any], float, list[int]]:
    """Run to the end: the summary, seconds, and the memory at each look."""
    begun, looks = time.monotonic(), []
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while process.poll() is None:
        looks.append(resident(process))
        time.sleep(LOOK_EVERY_S)
    printed, said = process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"the run that nobody stopped ended with {process.returncode}:\n{said[-3000:]}")
    return json.loads(printed), time.monotonic() - begun, looks


def killed_run(words: list[str], seconds: float, kills: int, seed: int) -> tuple[dict[str, Any], int]:
    """Kill the run at moments that are drawn evenly over a whole run's seconds each, then let it end."""
    draw, struck = random.Random(seed), 0
    for _ in range(kills):
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(draw.uniform(0, 2 * seconds / (kills + 1)))
        struck += process.poll() is None
        process.kill()
        process.wait()
    done, _, _ = whole_run(words)
    return done, struck


def growth(looks: list[int]) -> float:
    """Return the mean of the last tenth over that of the second."""
    tenth = max(1, len(looks) // 10)
    return mean(looks[-tenth - 1 : -1]) / mean(looks[tenth : 2 * tenth])


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("bundle", type=Path)
    words.add_argument("films", type=Path)
    words.add_argument("--n", type=int, default=20_000)
    words.add_argument("--kills", type=int, default=20)
    words.add_argument("--engine", choices=list(ENGINES), default="local")
    words.add_argument("--artefact", default="", help="file that answers; what the certificate proposes by default")
    words.add_argument("--workers", type=int, default=2)
    words.add_argument("--shard-films", type=int, default=500)
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--out", type=Path, default=RESULTS / "score_kills.csv")
    given = words.parse_args()
    around = circumstances()
    with tempfile.TemporaryDirectory() as folder:
        films, whole, killed = (Path(folder) / name for name in ("films", "whole", "killed"))
        films.mkdir()
        fill(given.films, films, given.n)
        _, seconds, looks = whole_run(command(given, films, whole))
        print(f"not stopped: {seconds:.0f} s, {max(looks) / 1e6:.0f} MB at most", file=sys.stderr)
        summary, struck = killed_run(command(given, films, killed), seconds, given.kills, given.seed)
        pairs = zip(shards(whole), shards(killed), strict=True)
        same = all(one.read_bytes() == other.read_bytes() for one, other in pairs)
        ids = [film for batch in read(killed) for film in batch.column("film").to_pylist()]
    row = around | {
        "bundle": given.bundle.resolve().name,
        "engine": given.engine,
        "artefact": given.artefact or "proposed",
        "films": given.n,
        "kills": struck,
        "missing": given.n - len(set(ids)),
        "twice": len(ids) - len(set(ids)),
        "same_bytes": same,
        "scored_by_the_last_call": summary["scored"],
        "seconds": round(seconds, 1),
        "memory_mb": round(max(looks) / 1e6),
        "last_tenth_of_second": round(growth(looks), 3),
    }
    append_rows(given.out, [row])
    print(", ".join(f"{name} {value}" for name, value in row.items() if name not in around))


if __name__ == "__main__":
    main()
