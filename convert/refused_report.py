"""The report of a conversion that was refused: it stands beside the place that it did not get, until one succeeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tbconv.contract.files import write_json


def keep_report(out: Path, report: dict[str, Any]) -> Path:
    """Write the report beside `out` and return where."""
    place = _place(out)
    write_json(place, report)
    return place


def drop_report(out: Path) -> None:
    """Remove what an earlier conversion to `out` left: it speaks of files that nobody has."""
    _place(out).unlink(missing_ok=True)


def _place(out: Path) -> Path:
    return out.with_name(f"{out.name}.failed-parity.json")
