"""Open each film of a folder in a process of its own, and print what became of it and what it cost.

Run as a file by test_bombs.py: a high-water mark of memory never falls, so each film needs a process; forks of one
that has imported everything cost milliseconds.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.mutate_films import draw_seeds
from tbconv.contract.errors import FilmError
from tbconv.contract.xray import open_film


def weigh(path):
    data = path.read_bytes()
    before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    try:
        open_film(data)
        verdict = "opened"
    except FilmError as error:
        verdict = error.one_line
    growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    say(path, len(data), verdict, growth / 1024, time.process_time() - begun)


def say(path, size, verdict, growth_mb, seconds):
    row = {"name": path.name, "bytes": size, "verdict": verdict, "growth_mb": growth_mb, "seconds": seconds}
    sys.stdout.write(json.dumps(row) + "\n")
    sys.stdout.flush()


for seed in draw_seeds().values():
    open_film(seed)
for film in sorted(Path(sys.argv[1]).iterdir()):
    child = os.fork()
    if not child:
        weigh(film)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if status:
        say(film, 0, f"died {status}", 0, 0)
