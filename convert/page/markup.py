"""The few pieces of HTML that the page is put together from; all that is written on it is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

SYMBOLS = {"CERTIFIED": "✓", "BOUNDED": "≈", "FAILED": "✕", "UNVERIFIED": "?"}  # colour is never alone in telling


def section(title: str, *parts: str, key: str) -> str:
    """Return a section with a heading; empty where no part has anything in it."""
    inside = "".join(parts)
    return f'<section id="{key}"><h2>{escape(title)}</h2>{inside}</section>' if inside else ""


def paragraph(text: str, kind: str = "") -> str:
    """Return a paragraph of plain text."""
    return f'<p class="{kind}">{escape(text)}</p>' if kind else f"<p>{escape(text)}</p>"


def figure(drawing: str, caption: str, *, title: str = "", wide: bool = False) -> str:
    """Return a drawing with its caption; a wide one scrolls sideways on a narrow screen."""
    head = f"<h3>{escape(title)}</h3>" if title else ""
    kind = ' class="wide"' if wide else ""
    return f"<figure{kind}>{head}<div>{drawing}</div><figcaption>{escape(caption)}</figcaption></figure>"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, kind: str = "") -> str:
    """Return a table of cells that are HTML already; on a phone each row becomes a card."""
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in columns)
    body = "".join(f"<tr>{_cells(columns, row)}</tr>" for row in rows)
    return f'<table class="{kind}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def chip(verdict: str) -> str:
    """Return a verdict as a word with a sign and a colour."""
    return f'<span class="chip {escape(verdict)}">{SYMBOLS.get(verdict, "?")} {escape(verdict)}</span>'


def named_values(values: dict[str, Any]) -> str:
    """Return a list of names and values."""
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in values.items())
    return f"<dl>{rows}</dl>"


def _cells(columns: Sequence[str], row: Sequence[str]) -> str:
    first, *others = row
    named = zip(columns[1:], others, strict=True)
    rest = "".join(f'<td data-name="{escape(column)}">{cell}</td>' for column, cell in named)
    return f'<th scope="row">{first}</th>{rest}'
