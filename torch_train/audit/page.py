"""audit.html: the verdict, the rules behind it and three pictures on one page that fetches nothing."""

from __future__ import annotations

from html import escape
from typing import Any

from torch_train.audit.figures import draw_borders, draw_means, draw_probes
from torch_train.audit.sample import Sample
from torch_train.audit.words import COLUMNS, finding_cells, meaning, verdict_line

STYLE = """
:root { color-scheme: light; }
body { margin: 0; background: #f5f6f8; color: #16202b; font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; }
main { max-width: 68rem; margin: 0 auto; padding: 1rem 1.25rem 3rem; }
h1 { font-size: 1.5rem; margin: .2rem 0; } h2 { font-size: 1.1rem; margin: 0 0 .6rem; }
.verdict { font-size: 1.1rem; font-weight: 700; padding: .6rem .9rem; border-radius: .5rem; border-left: .4rem solid; }
.verdict.PASS { background: #e5f3e6; color: #1a5a25; } .verdict.SUSPECT { background: #f6e3ee; color: #7a1f56; }
.banner { background: #fff1d6; color: #5f3c00; padding: .5rem .9rem; border-radius: .5rem; font-weight: 600; }
section { background: #fff; border: 1px solid #dce1e7; border-radius: .7rem; padding: .9rem 1.1rem; margin: .8rem 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .88rem; }
th, td { text-align: left; vertical-align: top; padding: .3rem .7rem .3rem 0; border-top: 1px solid #dce1e7; }
thead th { border-top: 0; color: #586474; font-size: .8rem; } td:nth-child(2), td:nth-child(3), td:nth-child(4) {
white-space: nowrap; }
td:last-child { min-width: 15rem; } tr.SUSPECT td:nth-child(2) { color: #7a1f56; font-weight: 700; }
small { color: #586474; display: block; } img { max-width: 100%; height: auto; } .quiet { color: #586474; }
"""


def audit_page(record: dict[str, Any], films: Sample) -> str:
    """Return the page as HTML with everything inside.

    Args:
        record: what audit.json holds.
        films: those that were looked at.
    """
    names = (record["labels"]["negative"], record["labels"]["positive"])
    pictures = {
        "Figures against their levels": (
            draw_probes(record["findings"]),
            "Green: the rule passes; purple diamond: it speaks; grey: shown, never counted.",
        ),
        "Mean film of each class": (draw_means(films, names), "What stands at one place in one class shows here."),
        "Mean border": (draw_borders(films, names), "Outer 5 % of the film: median and middle half of each class."),
    }
    drawn = "".join(
        _section(title, f'<img src="{address}" alt="{escape(title)}"><p class="quiet">{escape(caption)}</p>')
        for title, (address, caption) in pictures.items()
    )
    body = _first_screen(record) + _findings(record) + drawn + _sources(record) + _notes(record)
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
    title = "<title>Shortcut audit</title>"
    page = f'<html lang="en"><head>{head}{title}<style>{STYLE}</style></head><body><main>{body}</main></body></html>'
    return f"<!doctype html>\n{page}\n"


def _first_screen(record: dict[str, Any]) -> str:
    synthetic = '<p class="banner">Synthetic films: drawn phantoms, no patients.</p>' if record["synthetic"] else ""
    classes = ", ".join(f"{count} {name}" for name, count in record["classes"].items())
    run = f"; run {record['run']}" if record["run"] else "; no run was questioned"
    return (
        f"<h1>Does a shortcut explain the score?</h1>{synthetic}"
        f'<p class="verdict {record["verdict"]}">{escape(verdict_line(record))}</p><p>{escape(meaning(record))}</p>'
        f'<p class="quiet">{escape(classes)}; probes looked at {record["films_looked_at"]} of them{escape(run)}.</p>'
        f'<p class="banner">{escape(record["disclaimer"])}</p>'
    )


def _findings(record: dict[str, Any]) -> str:
    rows = "".join(_row(finding) for finding in record["findings"])
    head = "".join(f"<th>{escape(column)}</th>" for column in COLUMNS)
    return _section(
        "Probes and their rules",
        f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>',
    )


def _row(finding: dict[str, Any]) -> str:
    *cells, what = (escape(cell) for cell in finding_cells(finding))
    rule = "" if finding["rule"] == "none" else f"<small>SUSPECT where {escape(finding['rule'])}</small>"
    if finding["verdict"] == "NOTED":
        rule = "<small>shown, never counted</small>"
    inside = "".join(f"<td>{cell}</td>" for cell in cells)
    return f'<tr class="{finding["verdict"]}">{inside}<td>{what}{rule}</td></tr>'


def _sources(record: dict[str, Any]) -> str:
    if not record["sources"]:
        return ""
    names = list(record["classes"])
    head = "".join(f"<th>{escape(column)}</th>" for column in ("source", *names))
    rows = "".join(
        f"<tr><td>{escape(source)}</td>{''.join(f'<td>{counts[name]}</td>' for name in names)}</tr>"
        for source, counts in record["sources"].items()
    )
    return _section("Films by source and class", f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>")


def _notes(record: dict[str, Any]) -> str:
    lines = "".join(f"<li>{escape(note)}</li>" for note in record["notes"])
    return _section("Notes", f"<ul>{lines}</ul>") if lines else ""


def _section(title: str, inside: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{inside}</section>"
