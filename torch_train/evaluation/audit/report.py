"""audit.html: the verdict, the rules behind it and three pictures on one page that fetches nothing."""

from __future__ import annotations

import base64
import io
from html import escape
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from torch_train.data.report import COLOURS
from torch_train.evaluation.audit.image_probes import LOOK_BORDER, film_area
from torch_train.evaluation.audit.samples import Sample
from torch_train.metrics import digits_for

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


# --- figures ---
# The three pictures of an audit: probes against their levels, the mean film of each class, the mean border.

MARKS = {"PASS": ("#228833", "o"), "SUSPECT": ("#aa3377", "D"), "NOTED": ("#888888", "s")}  # Tol's bright scheme
STEPS = 100  # places along each side of a film


def draw_probes(findings: list[dict[str, Any]]) -> str:
    """Return every figure with its interval and its level, as an SVG-free data address of a PNG."""
    shown = [finding for finding in findings if finding["estimate"] is not None]
    figure, axes = _canvas(8.6, 0.42 * len(shown) + 0.9)
    for row, finding in enumerate(reversed(shown)):
        colour, sign = MARKS[finding["verdict"]]
        estimate, level = finding["estimate"], finding["level"]
        axes.plot([estimate["low"], estimate["high"]], [row, row], color=colour, linewidth=2.5)
        axes.plot(estimate["value"], row, sign, color=colour, markersize=7)
        if level is not None:
            axes.plot([level, level], [row - 0.35, row + 0.35], color="black", linewidth=1.6)
    axes.set_yticks(range(len(shown)), [_title(finding) for finding in reversed(shown)])
    axes.set(xlim=(min(-0.02, *(f["estimate"]["low"] for f in shown)) - 0.02, 1.02), ylim=(-0.6, len(shown) - 0.4))
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    axes.set_xlabel("value and 95 % interval; the black line is the rule's level")
    return _address(figure)


def _title(finding: dict[str, Any]) -> str:
    return f"{finding['probe']} ({finding['measure']})  {finding['verdict']}"


def draw_means(films: Sample, names: tuple[str, str]) -> str:
    """Return the mean film of each class and their difference, as a data address of a PNG."""
    means = [films.model_inputs[films.labels == label].mean(0) for label in (0, 1)]
    difference = means[1] - means[0]
    widest = max(10.0, float(np.abs(difference).max()))
    figure = Figure(figsize=(8.6, 3.1), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 3)
    for label, axes in enumerate(panels[:2]):
        axes.imshow(means[label], cmap="gray", vmin=0, vmax=255)
        axes.set_title(f"{names[label]}, mean of {int((films.labels == label).sum())}", fontsize=10)
    picture = panels[2].imshow(difference, cmap="RdBu_r", vmin=-widest, vmax=widest)
    panels[2].set_title("positive minus negative", fontsize=10)
    figure.colorbar(picture, ax=panels[2], label="grey levels", shrink=0.85)
    for axes in panels:
        axes.set(xticks=[], yticks=[])
    return _address(figure)


def draw_borders(films: Sample, names: tuple[str, str]) -> str:
    """Return the mean grey level around the film, class by class with its spread, as a data address of a PNG."""
    pairs = zip(films.model_inputs, films.facts, strict=True)
    rims = np.stack([_rim(film_area(model_input, fact)) for model_input, fact in pairs])
    figure, axes = _canvas(8.6, 2.7)
    for label, name in enumerate(names):
        own = rims[films.labels == label]
        low, middle, high = np.percentile(own, (25, 50, 75), axis=0)
        axes.fill_between(np.arange(len(middle)), low, high, color=COLOURS[label], alpha=0.2, linewidth=0)
        axes.plot(middle, color=COLOURS[label], label=name)
    for side in range(1, 4):
        axes.axvline(side * STEPS, color="0.8", linewidth=1)
    axes.set_xticks([STEPS * (side + 0.5) for side in range(4)], ["top", "right", "bottom", "left"])
    axes.set(xlim=(0, 4 * STEPS), ylim=(0, 255), ylabel="grey level")
    axes.legend(frameon=False, fontsize=9, loc="upper right")
    return _address(figure)


def _rim(film: np.ndarray[Any, np.dtype[np.uint8]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the mean over the border's depth, clockwise from the upper left corner, float64 [4 * STEPS]."""
    deep, wide = (max(1, round(LOOK_BORDER * side)) for side in film.shape)
    sides = (film[:deep].mean(0), film[:, -wide:].mean(1), film[-deep:].mean(0)[::-1], film[:, :wide].mean(1)[::-1])
    places = np.linspace(0, 1, STEPS)
    return np.concatenate([np.interp(places, np.linspace(0, 1, len(side)), side) for side in sides])


def _canvas(width: float, height: float) -> tuple[Figure, Any]:
    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _address(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


# --- words ---
# How a finding reads on a terminal and on the page: figures rounded to what their films support.

COLUMNS = ("probe", "verdict", "figure", "95 % interval", "level", "n", "what")


def finding_cells(finding: dict[str, Any]) -> list[str]:
    """Return one row of the table of findings."""
    estimate, level = finding["estimate"], finding["level"]
    if estimate is None:
        return [finding["probe"], finding["verdict"], "-", "-", "-", "-", finding["reason"]]
    digits = digits_for(estimate["n"])
    value, low, high = (f"{estimate[name]:.{digits}f}" for name in ("value", "low", "high"))
    measure = finding["measure"]
    limit = "-" if level is None else f"{level:g}"
    return [
        finding["probe"],
        finding["verdict"],
        f"{measure} {value}",
        f"{low} to {high}",
        limit,
        str(estimate["n"]),
        finding["reason"],
    ]


def verdict_line(record: dict[str, Any]) -> str:
    """Return the verdict and the rules that spoke, in one line."""
    kind = "synthetic films (drawn phantoms, no patients)" if record["synthetic"] else "films"
    asked = sum(finding["verdict"] in ("PASS", "SUSPECT") for finding in record["findings"])
    if record["suspect"]:
        return f"SUSPECT: {len(record['suspect'])} of {asked} rules spoke on {record['films']} {kind}: " + ", ".join(
            record["suspect"]
        )
    return f"PASS: none of {asked} rules spoke on {record['films']} {kind}"


def meaning(record: dict[str, Any]) -> str:
    """Return what the verdict does and does not say."""
    if record["suspect"]:
        return (
            "A network can reach its score on these films without reading a chest. "
            "Until it scores as well where the shortcut is gone, the score says nothing about disease."
        )
    return "None of the shortcuts that were looked for explains a score; others may be there."
