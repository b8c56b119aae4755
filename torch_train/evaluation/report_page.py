"""evaluation.html: the whole evaluation on one page that fetches nothing, in the order in which a reader asks."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

from torch_train.evaluation.model_card import INTENDED, NOT_FOR, all_sections, facts, limits
from torch_train.evaluation.report_figures import drawings
from torch_train.evaluation.sections import Section, Table, subject
from torch_train.evaluation.words import READERS, estimate

Json = dict[str, Any]
STYLE = Path(__file__).with_name("evaluation.css")
NARROW = '<meta name="viewport" content="width=device-width,initial-scale=1">'
LONG = 12  # rows; a longer table is folded away


def report_page(summary: Json) -> str:
    """Return the page, HTML with everything inside, made from the summary alone."""
    names = summary["labels"]
    title = f"Evaluation: {names['positive']} against {names['negative']}"
    figures = drawings(summary)
    body = _first_screen(summary, title) + "".join(_section(one, figures) for one in all_sections(summary))
    body += _closing(summary)
    head = f'<meta charset="utf-8">{NARROW}<title>{escape(title)}</title>'
    head += f"<style>{STYLE.read_text(encoding='utf-8')}</style>"
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body><main>{body}</main></body></html>\n'


def _first_screen(summary: Json, title: str) -> str:
    synthetic = "SYNTHETIC films, drawn by a program: no figure on this page is of patients."
    banner = f'<p class="banner synthetic">{synthetic}</p>' if summary["synthetic"] else ""
    cards = "".join(_card(*one) for one in _headlines(summary))
    return (
        f'<h1>{escape(title)}</h1><p class="banner">{escape(summary["disclaimer"])}</p>{banner}'
        f'<p class="lead">{escape(subject(summary))}</p><div class="cards">{cards}</div>'
    )


def _headlines(summary: Json) -> list[tuple[str, str, str]]:
    """Return (what, figure, remark) of what is asked first."""
    reader, row = READERS[summary["main"]], summary["transported"]
    figures = summary["readers"][summary["main"]]
    n = summary["films"]
    return [
        ("AUROC", estimate(figures["auroc"]), f"{reader}, n = {n['n']}"),
        ("sensitivity", estimate(row["sensitivity"]), f"n = {n['positives']}, thresholds chosen on other films"),
        ("specificity", estimate(row["specificity"]), f"n = {n['negatives']}, the same thresholds"),
        ("WHO triage target 90 / 70", row["who"]["verdict"], "by the bounds of both; a target for tuberculosis"),
    ]


def _card(what: str, value: str, remark: str) -> str:
    head, _, rest = value.partition(" (")
    interval = f"<span>95 %: {escape(rest.rstrip(')'))}</span>" if rest else ""
    return f"<div><b>{escape(what)}</b><strong>{escape(head)}</strong>{interval}<small>{escape(remark)}</small></div>"


def _section(section: Section, figures: dict[str, list[tuple[str, str, str]]]) -> str:
    text = "".join(f"<p>{escape(one)}</p>" for one in section.text)
    panels = "".join(_figure(*one) for one in figures.get(section.key, []))
    drawn = f'<div class="panels">{panels}</div>' if panels else ""
    tables = "".join(_folded(table) for table in section.tables)
    return f'<section id="{section.key}"><h2>{escape(section.title)}</h2>{text}{drawn}{tables}</section>'


def _figure(title: str, drawing: str, caption: str) -> str:
    return f"<figure><h3>{escape(title)}</h3>{drawing}<figcaption>{escape(caption)}</figcaption></figure>"


def _folded(table: Table) -> str:
    """Return a table; a long one opens when it is asked for."""
    if len(table.rows) <= LONG:
        return _table(table)
    return f"<details><summary>All {len(table.rows)} rows</summary>{_table(table)}</details>"


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in table.columns)
    body = "".join(_row(table.columns, row) for row in table.rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _row(columns: tuple[str, ...], row: tuple[str, ...]) -> str:
    named = zip(columns[1:], row[1:], strict=True)
    cells = "".join(f'<td data-name="{escape(column)}">{escape(cell)}</td>' for column, cell in named)
    return f'<tr><th scope="row">{escape(row[0])}</th>{cells}</tr>'


def _closing(summary: Json) -> str:
    named = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts(summary).items())
    return (
        f'<section id="use"><h2>What it is for</h2><p>{escape(INTENDED)}</p><h3>Not for</h3>{_list(NOT_FOR)}</section>'
        f'<section id="limits"><h2>What the figures do not say</h2>{_list(limits(summary))}</section>'
        f'<section id="origin"><h2>Where it came from</h2><dl>{named}</dl></section>'
    )


def _list(texts: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ul>"
