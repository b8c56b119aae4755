"""CSV as people export it: a byte-order mark, odd capitals and spaces in the header, short rows."""

from __future__ import annotations

import csv
from pathlib import Path

Row = dict[str, str]  # lower-case column to stripped cell
ABSENT = frozenset({"", "nan", "none", "null", "na", "n/a"})


def read_rows(path: Path) -> list[Row]:
    """Return the rows that are not blank; cells that say nothing (empty, NaN) are ''."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        rows = [_clean(row) for row in csv.DictReader(file)]
    return [row for row in rows if any(row.values())]


def read_columns(path: Path) -> set[str]:
    """Return the lower-case column names of a table."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        return {name.strip().lower() for name in next(csv.reader(file), [])}


def list_tables(folder: Path) -> list[Path]:
    """Return the CSV files right inside a folder, sorted."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() == ".csv" and path.name[0] != ".")


def _clean(row: dict[str, str]) -> Row:
    pairs = ((key.strip().lower(), (value or "").strip()) for key, value in row.items() if isinstance(key, str))
    return {key: "" if value.lower() in ABSENT else value for key, value in pairs}
