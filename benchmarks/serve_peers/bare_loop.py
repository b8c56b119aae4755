"""The ceiling: decode, resize and invoke in a loop, no server at all; a process that is told how many on stdin."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from benchmarks.serve_peers.answer import Answerer, margin_of


def main() -> None:
    """Print the film's margins; then read `film 100` or `tensor 100` a line, print seconds and CPU seconds."""
    model, film, tensor = (Path(word) for word in sys.argv[1:4])
    answerer = Answerer(str(model))
    work = {"film": (answerer.of_film, film.read_bytes()), "tensor": (answerer.of_tensor, tensor.read_bytes())}
    print(json.dumps({name: margin_of(ask(data)) for name, (ask, data) in work.items()}), flush=True)
    for line in sys.stdin:
        name, times = line.split()
        ask, data = work[name]
        start, cpu = time.monotonic(), time.process_time()
        for _ in range(int(times)):
            ask(data)
        print(json.dumps([time.monotonic() - start, time.process_time() - cpu]), flush=True)


if __name__ == "__main__":
    main()
