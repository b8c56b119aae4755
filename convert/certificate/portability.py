"""Where a bundle's files were tried, in words: the section of a certificate, and a page of its own beside a report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from convert.parity.portability import PORTABILITY, Portability
from tbconv.contract.files import write_atomic, write_json
from tbconv.report_kit.pages import Cell, Section, Table, render_page
from tbconv.report_kit.words import DASH

Json = dict[str, Any]
PAGE = "portability.html"
TEMPLATE = Path(__file__).with_name("portability.html.j2")
COLUMNS = ("file", "where", "verdict", "films", "to the bit", "logits off", "float32 steps", "decisions that change")
NOTE = (
    "One float32 step is the distance between two neighbouring float32 numbers at the larger of a film's two logits. "
    "What is emulated is computed by qemu, instruction by instruction; nothing here is about speed."
)


def write_portability(out: Path, found: Portability) -> None:
    """Write portability.json and portability.html into a folder, which is made."""
    out.mkdir(parents=True, exist_ok=True)
    content = found.to_json()
    write_json(out / PORTABILITY, content)
    text = render_page(
        TEMPLATE,
        title="Where it runs",
        disclaimer=found.disclaimer,
        synthetic="",
        verdict=verdict(found),
        sections=[portability_section(content)],
    )
    write_atomic(out / PAGE, text.encode())


def verdict(found: Portability) -> str:
    """Return what all rows together say, as one sentence."""
    if found.failed:
        return f"FAILED: {', '.join(f'{one.path} on {one.target}' for one in found.failed)}"
    same = sum(one.verdict == "IDENTICAL" for one in found.rows)
    rest = f"; CANNOT SAY: {', '.join(f'{one.path} on {one.target}' for one in found.undecided)}"
    moved = len(found.rows) - same - len(found.undecided)
    words = f"{same} of {len(found.rows)} identical to the bit, {moved} within rounding; no decision changes"
    return words + (rest if found.undecided else "")


def portability_section(found: Json | None) -> Section:
    """Return the table; an empty section where nothing was tried."""
    if not found:
        return Section("portability", "Where it runs")
    seen, reference = found["films"], found["reference"]
    return Section(
        "portability",
        "Where it runs",
        text=[
            f"Compared with {reference['runtime']} on {reference['processor']['model']}, on {seen['description']}.",
            "A slow target gets as many films as its time allows.",
        ],
        tables=[Table(COLUMNS, [_cells(row) for row in found["rows"]])],
        points=[f"{row['path']} on {row['target']}: {reason}" for row in found["rows"] if (reason := _reason(row))],
        note=NOTE,
    )


def _cells(row: Json) -> list[Cell]:
    ran = row["flips"] is not None
    flips = row["flips"] or {}
    return [
        {"code": row["path"], "small": row["sha256"][:12]},
        {"text": row["target"], "small": f"{row['what']}; {row['runtime'] or 'it did not run'}"},
        {"chip": row["verdict"]},
        f"{row['films']} of {row['of']}",
        {"text": str(row["identical"]), "small": _alike(row["identical_outputs"])} if ran else DASH,
        _number(row["max_abs_logits"]),
        _number(row["float32_steps"]),
        f"{flips['count']} of {row['films']} (95 %: at most {flips['high']:.2g})" if ran else DASH,
    ]


def _alike(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _number(value: float | None) -> str:
    return DASH if value is None else f"{value:.2g}"


def _reason(row: Json) -> str:
    starts = f"it starts at {row['starts_at']}" if row["starts_at"] else ""
    return "; ".join(filter(None, ["" if row["verdict"] == "IDENTICAL" else row["reason"], starts]))
