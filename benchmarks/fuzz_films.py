"""Does any damaged film crash, hang or slip through the door? `python -m benchmarks.fuzz_films 50000`.

Each input is one number: its seed film, its damage and its verdict come from it, so that a finding is found again with
`--first NUMBER 1`. Inputs run in processes of 500; one that dies or does not answer in time is a finding, and stands in
the table as what it did.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import signal
import subprocess
import time
from collections import Counter
from typing import Any

from benchmarks.mutate_films import draw_apart_seeds, draw_seeds, mutate
from tbconv.contract.errors import FilmError
from tbconv.contract.xray import Rejected, open_film
from tbconv.contract.xray.dicom import decoders

BLOCK = 500
HANG_S = 60  # the alarm ends a process that is longer about one input
PIXEL_DATA = b"\xe0\x7f\x10\0OB"
CHILD_S = 5  # for a foreign decoder, instead of the server's limit: most that do not end in it never do


def draw_input(number: int, films: dict[str, bytes], *, packed: bool = False) -> tuple[str, bytes]:
    """Return the name of an input's seed, and the input."""
    chance = random.Random(number)
    name, other = chance.choice(list(films)), chance.choice(list(films.values()))
    # four of five of the packed are damaged in their picture alone, so that the foreign decoder is reached
    start = films[name].find(PIXEL_DATA) if packed and chance.random() < 0.8 else 0
    return name, mutate(films[name], other, chance, start=max(0, start))


def judge(data: bytes) -> str:
    """Return what became of an input; anything else than these three words is a finding.

    Raises:
        Exception: whatever leaves `open_film` that may not.
    """
    try:
        film = open_film(data)
    except Rejected:
        return "unfit"
    except FilmError:
        return "refused"
    return "opened" if film.pixels.size else "empty"


def _run_block(first: int, count: int, packed: bool, at: Any, found: Any) -> None:
    """Judge a block in a process of its own, which an alarm ends when one input hangs."""
    films = draw_apart_seeds() if packed else draw_seeds()
    decoders.PROCESSOR_SECONDS = CHILD_S
    ends = _count_ends()
    rows: Counter[tuple[str, str]] = Counter()
    slowest = (0.0, first)
    for number in range(first, first + count):
        at.value = number
        name, data = draw_input(number, films, packed=packed)
        signal.alarm(HANG_S)
        begun = time.perf_counter()
        try:
            verdict = judge(data)
        except BaseException as error:  # noqa: BLE001 - what leaves the door is what this run looks for
            verdict = f"FOUND {type(error).__name__} at {number}"
        slowest = max(slowest, (time.perf_counter() - begun, number))
        rows[name, verdict] += 1
    signal.alarm(0)
    found.put((rows, ends, slowest))


def _count_ends() -> Counter[str]:
    """Count how the foreign decoders' processes end, by way of the one call that starts them."""
    ends: Counter[str] = Counter()
    run = subprocess.run

    def counted(*words: Any, **options: Any) -> Any:
        try:
            done = run(*words, **options)
        except subprocess.TimeoutExpired:
            ends["did not end"] += 1
            raise
        ends["decoded" if not done.returncode else "refused" if done.returncode > 0 else "crashed"] += 1
        return done

    decoders.subprocess.run = counted  # type: ignore[attr-defined]
    return ends


def run(first: int, count: int, *, packed: bool) -> tuple[Counter[tuple[str, str]], Counter[str], tuple[float, int]]:
    """Judge inputs, block by block."""
    rows: Counter[tuple[str, str]] = Counter()
    ends: Counter[str] = Counter()
    slowest = (0.0, first)
    for start in range(first, first + count, BLOCK):
        at = multiprocessing.Value("q", start)
        found: multiprocessing.Queue[Any] = multiprocessing.Queue()
        size = min(BLOCK, first + count - start)
        block = multiprocessing.Process(target=_run_block, args=(start, size, packed, at, found))
        block.start()
        block.join()
        if block.exitcode:
            rows["?", f"FOUND exit {block.exitcode} at {at.value}"] += 1
            continue
        more, other_ends, slow = found.get()
        rows.update(more)
        ends.update(other_ends)
        slowest = max(slowest, slow)
    return rows, ends, slowest


def main() -> None:
    """Parse, run, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("count", type=int)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--packed", action="store_true", help="syntaxes that a process of its own decodes, 0.3 s each")
    asked = parser.parse_args()
    begun = time.perf_counter()
    rows, ends, slowest = run(asked.first, asked.count, packed=asked.packed)
    for (name, verdict), number in sorted(rows.items()):
        print(f"{number:7,}  {verdict:12}  {name}")
    totals: Counter[str] = Counter()
    for (_, verdict), number in rows.items():
        totals["FOUND" if verdict.startswith("FOUND") else verdict] += number
    print(
        f"\n{sum(rows.values()):,} inputs from {asked.first:,} in {time.perf_counter() - begun:.0f} s: {dict(totals)}"
    )
    print(f"slowest {slowest[0]:.2f} s (input {slowest[1]:,}); foreign decoders: {dict(ends) or 'none started'}")


if __name__ == "__main__":
    main()
