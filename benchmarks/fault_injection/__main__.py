"""`make mutants`: inject every fault, print and write the table; exits with 1 if a live mutant was missed."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.fault_injection.run import MutantsConfig, run_mutants
from benchmarks.fault_injection.table import write_table
from tbconv.console import TerminalReporter, print_error, print_out
from tbconv.contract.errors import TbconvError
from tbconv.contract.files import write_atomic, write_json

TABLE = Path(__file__).resolve().parents[2] / "docs" / "mutants.md"
SCORE = "mutants.json"


def main(words: Sequence[str]) -> int:
    """Read the options, run, print, write; 0 done, 1 a live mutant missed or a false alarm, 2 wrong usage."""
    options = _parser().parse_args(words)
    chosen = {name: getattr(options, name) for name in ("only", "seeds", "resnet50", "bundle", "run")}
    try:
        score = run_mutants(MutantsConfig(**chosen, trace=not options.no_trace), TerminalReporter())
    except TbconvError as error:
        print_error(error)
        return 1
    print_out(json.dumps(score.to_json(), indent=2) if options.json else write_table(score))
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        write_json(options.out / SCORE, score.to_json())
    if options.only is None and not options.no_trace:  # a part of the faults is not the score
        write_atomic(TABLE, write_table(score).encode())
    return 0 if score.passed else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fault_injection", description=__doc__)
    parser.add_argument("--only", metavar="NAME", help="only faults of this name or level; docs/mutants.md stays")
    parser.add_argument("--seeds", type=int, default=20, help="clean conversions of the small network (default 20)")
    parser.add_argument(
        "--resnet50", type=int, default=0, metavar="N", help="clean conversions of ResNet50 (default 0)"
    )
    parser.add_argument("--bundle", type=Path, help="a finished bundle that gets the faults, with --run")
    parser.add_argument("--run", type=Path, help="the run folder that it was converted from")
    parser.add_argument("--no-trace", action="store_true", help="do not locate faults; saves most of the time")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help=f"gets {SCORE}")
    parser.add_argument("--json", action="store_true", help="print the score as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
