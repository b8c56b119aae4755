"""Rows of `results/*.csv`: the one place that says when, on what machine and with what versions a figure was taken."""

from __future__ import annotations

import csv
import os
import time
from pathlib import Path
from typing import Any

from tbconv.contract.environment import git_commit, machine, package_versions

RESULTS = Path(__file__).parent / "results"
VERSIONS_OF = ("torch", "onnx", "onnxruntime", "onnx2tf", "tensorflow", "keras", "ai-edge-litert")


def circumstances() -> dict[str, Any]:
    """Return date, commit, machine, load and versions, as the first columns of a row."""
    here, versions = machine(), package_versions()
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": git_commit() or "",
        "processor": here["processor"],
        "cores": here["cores"],
        "load_1_min": round(os.getloadavg()[0], 1),  # what else ran: beside 0 a ratio is safer than a time
        "versions": "; ".join(f"{name} {versions[name]}" for name in VERSIONS_OF if name in versions),
    }


def append_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Append rows to a CSV, with a header where the file is new.

    Raises:
        ValueError: the file has other columns; a row under the wrong header would be a wrong figure.
    """
    columns = list(rows[0])
    new = not path.is_file()
    if not new:
        with path.open(newline="", encoding="utf-8") as file:
            there = next(csv.reader(file), [])
        if there != columns:
            raise ValueError(f"{path} has the columns {there}, the new rows {columns}: move the old file away")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        if new:
            writer.writeheader()
        writer.writerows(rows)
