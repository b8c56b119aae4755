"""What `tbconv convert` costs in CPU seconds and memory, one environment against another, in turn.

    python -m benchmarks.convert_cost RUN OLD/.venv/bin/tbconv NEW/.venv/bin/tbconv --rounds 3 --films 64

CPU is user + system of the command and all of its children, as the kernel accounts it; memory is the highest sum of
the resident sets of the process tree, sampled ten times a second.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from pathlib import Path

SAMPLE_S = 0.1
PAGE = os.sysconf("SC_PAGE_SIZE")


def measure(command: list[str]) -> dict[str, float]:
    """Run a command and return wall_s, cpu_s and peak_mib of its process tree.

    Raises:
        SystemExit: the command failed.
    """
    start, peak = time.monotonic(), [0]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT)
        sampler = threading.Thread(target=_sample, args=(process.pid, peak), daemon=True)
        sampler.start()
        _, status, usage = os.wait4(process.pid, 0)  # of the command and of every child that it waited for
        process.returncode = os.waitstatus_to_exitcode(status)
        sampler.join()
        if process.returncode:
            said.seek(0)
            sys.exit(f"{' '.join(command)} ended with {process.returncode}\n{said.read().decode()[-2000:]}")
    wall = time.monotonic() - start
    return {"wall_s": wall, "cpu_s": usage.ru_utime + usage.ru_stime, "peak_mib": peak[0] * PAGE / 2**20}


def _sample(root: int, peak: list[int]) -> None:
    while True:
        parents, pages = _processes()
        if root not in pages:
            return
        peak[0] = max(peak[0], sum(pages[pid] for pid in _tree(root, parents)))
        time.sleep(SAMPLE_S)


def _processes() -> tuple[dict[int, list[int]], dict[int, int]]:
    """Return the children by parent, and the resident pages by process."""
    children: dict[int, list[int]] = defaultdict(list)
    pages: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it ended meanwhile
                continue
            if fields[0] != "Z":
                children[int(fields[1])].append(int(entry.name))
                pages[int(entry.name)] = int(fields[21])
    return children, pages


def _tree(root: int, children: dict[int, list[int]]) -> list[int]:
    return [root, *(pid for child in children.get(root, []) for pid in _tree(child, children))]


def main() -> None:
    """Convert in turn by every command; print a row a conversion, the medians, and their ratio to the first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("tbconv", nargs="+", help="the command of one environment each; the first is compared with")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--films", type=int, default=512)
    words = parser.parse_args()
    rows: dict[str, list[dict[str, float]]] = {command: [] for command in words.tbconv}
    for turn in range(words.rounds):
        for command, found in rows.items():
            with tempfile.TemporaryDirectory() as folder:
                out = str(Path(folder) / "bundle")
                found.append(measure([command, "convert", str(words.run), "--out", out, "--films", str(words.films)]))
            print(json.dumps({"turn": turn, "tbconv": command} | found[-1]), flush=True)
    first = rows[words.tbconv[0]]
    for command, found in rows.items():
        medians = {key: statistics.median(row[key] for row in found) for key in first[0]}
        ratios = {key: medians[key] / statistics.median(row[key] for row in first) for key in first[0]}
        print(command, *(f"{key} {medians[key]:.1f} ({ratios[key]:.2f})" for key in medians), sep="  ")


if __name__ == "__main__":
    main()
