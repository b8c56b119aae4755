"""What `tbconv convert` costs in CPU seconds and memory, in one environment against another, in turn.

    python -m benchmarks.convert_cost RUN OLD/.venv/bin/tbconv NEW/.venv/bin/tbconv --rounds 3

CPU is user + system of the command and all that it starts; memory is the highest sum of resident sets of its tree.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if not __package__:
    sys.path[0] = str(ROOT)  # run as a file, its folder stands first, where `convert` would mean a script

from benchmarks.process_tree import measure  # noqa: E402

CPU, MEMORY = 0.7, 1.1  # the bars: at most so much of the first command's


def convert_once(tbconv: str, run: Path, films: int | None) -> dict[str, float]:
    """Convert by one environment, from an empty folder: an older tbconv imports what lies in the working folder.

    Raises:
        SystemExit: the conversion failed.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with tempfile.TemporaryDirectory(prefix="tbconv-cost-") as folder:
        command = [tbconv, "convert", str(run.resolve()), "--out", str(Path(folder) / "bundle")]
        command += [] if films is None else ["--films", str(films)]
        usage = measure(command, log=None, cwd=Path(folder), environment=environment)
    if usage.exit_code != 0:
        sys.exit(f"{' '.join(command)} ended with exit code {usage.exit_code}: its lines stand above")
    return {"wall_s": usage.seconds, "cpu_s": usage.cpu_seconds, "peak_rss_gb": usage.peak_rss / 1e9}


def main(words: Sequence[str] | None = None) -> int:
    """Print a row a conversion, then the medians and their ratio to the first command; 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="what `tbconv train` left")
    parser.add_argument("tbconv", nargs="+", help="the command of each environment; the first is compared with")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--films", type=int, help="as for tbconv convert")
    given = parser.parse_args(words)
    rows: dict[str, list[dict[str, float]]] = {command: [] for command in given.tbconv}
    for turn in range(given.rounds):
        for command, found in rows.items():
            found.append(convert_once(command, given.run, given.films))
            print(json.dumps({"turn": turn, "tbconv": command} | found[-1]), flush=True)
    medians = {
        command: {key: statistics.median(row[key] for row in found) for key in found[0]}
        for command, found in rows.items()
    }
    first, met = given.tbconv[0], True
    for command, median in medians.items():
        ratio = {key: value / medians[first][key] for key, value in median.items()}
        print(command, *(f"{key} {value:.2f} ({ratio[key]:.2f})" for key, value in median.items()), sep="  ")
        met &= command == first or (ratio["cpu_s"] <= CPU and ratio["peak_rss_gb"] <= MEMORY)
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
