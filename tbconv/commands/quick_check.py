"""`tbconv verify --quick`: digests, golden answers, golden films and what is written, with serving's packages alone."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tbconv.console import TerminalReporter, print_out

MAY_SERVE = ("CERTIFIED", "BOUNDED")  # Verdict.may_serve, by name: the contract is imported where it is used

if TYPE_CHECKING:
    from tf_serve.selftest import Repeat, SelfTest


def check_quickly(root: Path, *, as_json: bool) -> bool:
    """Check a bundle, print what was found, and return whether every file repeats its answers.

    Raises:
        ArtefactError: a file is missing or altered.
    """
    from tbconv.contract.bundle import open_bundle
    from tf_serve.selftest import self_test

    start = time.monotonic()
    bundle = open_bundle(root)
    TerminalReporter().say(f"{len(bundle.manifest.files)} files have the digests of the manifest")
    found = self_test(bundle)
    seconds = time.monotonic() - start
    if as_json:
        print_out(json.dumps({"bundle": str(root), "seconds": seconds, **found.to_json()}, indent=2, allow_nan=False))
    else:
        _print(found, seconds)
    return found.passed


def _print(found: SelfTest, seconds: float) -> None:
    from rich import box
    from rich.table import Table

    from tbconv.console import table_console

    table = Table(title="golden inputs, against the answers recorded in the bundle", box=box.SIMPLE)
    for column in ("file", "certificate", "repeats", "max |d logit|", "allowed", "decisions changed"):
        left = column in ("file", "certificate", "repeats")
        table.add_column(column, justify="left" if left else "right", no_wrap=left)
    for row in found.rows:
        table.add_row(*_cells(row))
    table_console().print(table)
    for row in found.rows:
        if row.problem is not None:
            print_out(f"STRAYS {row.path}: {row.problem}")
    for path, problem in found.problems.items():
        print_out(f"STRAYS {path}: {problem}")
    for note in found.notes:
        print_out(f"note: {note}")
    print_out(_verdict(found, seconds))


def _cells(row: Repeat) -> tuple[str, ...]:
    changed = f"{row.decisions_changed} of {row.inputs}"
    numbers = ["-" if value is None else f"{value:.1e}" for value in (row.moved, row.allowed)]
    return row.path, row.verdict, "yes" if row.passed else "NO", *numbers, changed


def _verdict(found: SelfTest, seconds: float) -> str:
    if not found.rows:
        return "verdict: FAILED, the bundle holds no TFLite file that could be asked"
    if not found.passed:
        return f"verdict: FAILED ({seconds:.0f} s)"
    barred = sum(row.verdict not in MAY_SERVE for row in found.rows)
    more = f"; {barred} of {len(found.rows)} may not serve, by their certificate" if barred else ""
    return f"verdict: every TFLite file answers as it did when it was certified{more} ({seconds:.0f} s)"
