"""What each file costs in decisions and how far it is from exact arithmetic: the table that the bars read."""

from __future__ import annotations

from html import escape
from typing import Any

from convert.page.facts import Facts
from convert.page.markup import paragraph, section, table
from convert.page.words import DASH, fixed

COLUMNS = ("file", "AUROC loss", "sensitivity loss, points", "specificity loss, points", "SQNR", "against float64")


def losses(facts: Facts) -> str:
    """Return the table; empty where the report has neither paired losses nor distances from float64."""
    rows = {row["name"]: row for row in facts.report.get("rows", [])}
    known = [rows[one.path] for one in facts.artefacts if one.path in rows]
    if not any(row.get("decisions") or row.get("oracle") for row in known):
        return ""
    note = (
        "Losses are PyTorch minus file on the same films (paired bootstrap, 95 %; a negative loss is a gain), then how "
        "many films were lost and gained. SQNR: of the logits against PyTorch float32. Last: root mean square distance "
        "of the margin from float64, beside eager PyTorch's own (or one float32 rounding step of what the margin is "
        "summed from, where that is larger)."
    )
    shown = table(COLUMNS, [_row(row) for row in known])
    return section("What conversion costs", shown, paragraph(note + _n(known), "quiet"), key="losses")


def _n(rows: list[dict[str, Any]]) -> str:
    found = next((row["decisions"] for row in rows if row.get("decisions")), None)
    if found is None:
        return ""
    return f" n = {found['n']}: {found['positives']} positive, {found['negatives']} negative."


def _row(row: dict[str, Any]) -> list[str]:
    found, oracle = row.get("decisions") or {}, row.get("oracle") or {}
    sqnr = ((row.get("films") or row.get("golden")) or {}).get("sqnr_db")
    return [
        f"<code>{escape(row['name'])}</code>",
        _loss(found.get("auroc_loss"), found.get("n", 1), 1),
        _loss(found.get("sensitivity_loss"), found.get("positives", 1), 100),
        _loss(found.get("specificity_loss"), found.get("negatives", 1), 100),
        DASH if sqnr is None else f"{sqnr:.0f} dB",
        f"{oracle['db']:+.0f} dB" if "db" in oracle else DASH,
    ]


def _loss(found: dict[str, Any] | None, n: int, times: int) -> str:
    """Return a loss with its interval; `times` 100 writes a share in percentage points."""
    from torch_train.intervals import digits_for

    if not found:
        return DASH
    digits = max(0, digits_for(n) - (2 if times == 100 else 0))
    value, low, high = (fixed(times * float(found[key]), digits) for key in ("value", "low", "high"))
    text = f"{value} ({low} to {high})"
    return f"{text}; {found['lost']} lost, {found['gained']} gained" if "lost" in found else text
