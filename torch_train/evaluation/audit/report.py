"""audit.html: the verdict, the checks behind it and three figures on one page that fetches nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tbconv.report_kit import charts
from tbconv.report_kit.pages import Cell, Chart, Section, Table, render_page
from tbconv.report_kit.words import digits_for
from torch_train.evaluation.audit.image_probes import LOOK_BORDER, film_area
from torch_train.evaluation.audit.samples import Sample

TEMPLATE = Path(__file__).with_name("audit.html.j2")
Json = dict[str, Any]


def audit_page(record: Json, films: Sample) -> str:
    """Return the page as HTML with everything inside.

    Args:
        record: what audit.json holds.
        films: those that the probes measured.
    """
    names = (record["labels"]["negative"], record["labels"]["positive"])
    return render_page(
        TEMPLATE,
        title="Does a shortcut explain the score?",
        disclaimer=record["disclaimer"],
        synthetic="Synthetic films: drawn phantoms, no patients." if record["synthetic"] else "",
        verdict=record["verdict"],
        line=verdict_line(record),
        meaning=meaning(record),
        subject=subject(record),
        sections=[
            Section("checks", "Probes and their checks", tables=[Table(COLUMNS, _rows(record["findings"]))]),
            Section("levels", "Figures against their levels", charts=[_levels(record["findings"])]),
            Section("means", "Mean film of each class", charts=[_means(films, names)]),
            Section("borders", "Mean border", charts=[_borders(films, names)]),
            _sources(record),
            Section("notes", "Notes", points=record["notes"]),
        ],
    )


def _rows(findings: list[Json]) -> list[list[Cell]]:
    rows: list[list[Cell]] = []
    for finding in findings:
        probe, verdict, *figures, reason = finding_cells(finding)
        check = "" if finding["rule"] == "none" else f"SUSPECT where {finding['rule']}"
        check = "shown, never counted" if verdict == "NOTED" else check
        rows.append([probe, {"chip": verdict}, *figures, {"text": reason, "small": check}])
    return rows


def _sources(record: Json) -> Section:
    names = list(record["classes"])
    rows = [[source, *(str(counts[name]) for name in names)] for source, counts in record["sources"].items()]
    return Section("sources", "Films by source and class", tables=[Table(["source", *names], rows)] if rows else [])


# --- words ---
# How a finding reads on a terminal and on the page: figures rounded to what their films support.

COLUMNS = ("probe", "verdict", "figure", "95 % interval", "level", "n", "what")


def finding_cells(finding: Json) -> list[str]:
    """Return one row of the table of findings."""
    estimate, level = finding["estimate"], finding["level"]
    if estimate is None or estimate["low"] is None:
        return [finding["probe"], finding["verdict"], *"----", finding["reason"]]
    value, low, high = (f"{estimate[name]:.{digits_for(estimate['n'])}f}" for name in ("value", "low", "high"))
    figures = (f"{finding['measure']} {value}", f"{low} to {high}", "-" if level is None else f"{level:g}")
    return [finding["probe"], finding["verdict"], *figures, str(estimate["n"]), finding["reason"]]


def verdict_line(record: Json) -> str:
    """Return the verdict and the checks that found something, in one line."""
    kind = "synthetic films (drawn phantoms, no patients)" if record["synthetic"] else "films"
    checks = sum(finding["verdict"] in ("PASS", "SUSPECT") for finding in record["findings"])
    if record["suspect"]:
        found = f"{len(record['suspect'])} of {checks} checks found a shortcut on {record['films']} {kind}"
        return f"SUSPECT: {found}: {', '.join(record['suspect'])}"
    return f"PASS: no shortcut found by {checks} checks on {record['films']} {kind}"


def subject(record: Json) -> str:
    """Return what was probed: films by class, how many of them were measured, and which run."""
    run = f"run {record['run']}" if record["run"] else "no run was audited"
    classes = ", ".join(f"{count} {name}" for name, count in record["classes"].items())
    return f"{classes}; the probes measured {record['films_looked_at']} of them; {run}."


def opening(record: Json) -> list[str]:
    """Return what matters in four lines: the verdict, what it means, the films, how many checks said what."""
    named: dict[str, list[str]] = {}
    for one in record["findings"]:
        named.setdefault(one["verdict"], []).append(one["probe"])
    said = [f"{len(named[verdict])} {verdict}" for verdict in ("SUSPECT", "PASS", "NOTED") if verdict in named]
    if missing := named.get("NOT MEASURED"):
        said.append(f"{len(missing)} NOT MEASURED ({', '.join(missing)})")
    return [
        f"verdict: {verdict_line(record)}",
        meaning(record),
        f"films: {subject(record)}",
        f"probes: {', '.join(said)}",
    ]


def suspicions(record: Json) -> list[str]:
    """Return a line for each check that found something: its figure, its level and what it is of."""
    found = []
    for one in record["findings"]:
        if one["verdict"] == "SUSPECT":
            probe, verdict, figure, interval, level, n, reason = finding_cells(one)
            found.append(f"{verdict} {probe}: {figure} ({interval}), level {level}, n {n}; {reason}")
    return found


def meaning(record: Json) -> str:
    """Return what the verdict does and does not say."""
    if record["suspect"]:
        return (
            "A network can reach its score on these films without reading a chest. "
            "Until it scores as well where the shortcut is gone, the score says nothing about disease."
        )
    return "None of the shortcuts that were looked for explains a score; others may be there."


# --- charts ---
# Probes against their levels, the mean film of each class, the mean border.

MARKS = {"PASS": (charts.BLUE, "o"), "SUSPECT": (charts.ORANGE, "D"), "NOTED": (charts.GREY, "s")}
STEPS = 100  # places along each side of a film


def _levels(findings: list[Json]) -> Chart:
    """Every figure with its interval and its level."""
    rows = []
    for one in findings:
        if (estimate := one["estimate"]) is not None and estimate["low"] is not None:
            colour, marker = MARKS[one["verdict"]]
            ends = estimate["value"], estimate["low"], estimate["high"]
            rows.append(charts.Interval(f"{one['probe']} ({one['measure']})", *ends, colour, marker, one["level"]))
    with charts.drawing(11, 0.36 * len(rows) + 0.8) as (figure, axes):
        charts.forest_chart(rows, axes)
        axes.set(xlim=(min([-0.02, *(row.low for row in rows)]) - 0.02, 1.02), xlabel="value and 95 % interval")
        svg = charts.figure_to_svg(figure, key="levels-chart", title="figures against their levels")
    caption = (
        "Blue dot: PASS; orange diamond: SUSPECT; grey square: shown, never counted. Black line: the check's level."
    )
    return Chart("", svg, caption, wide=True)


def _means(films: Sample, names: tuple[str, str]) -> Chart:
    """The mean film of each class and their difference."""
    negative, positive = (films.model_inputs[films.labels == label].mean(0) for label in (0, 1))
    widest = max(10.0, float(np.abs(positive - negative).max()))
    with charts.drawing(11, 3.7, columns=3, subplot_kw={"xticks": [], "yticks": []}) as (figure, panels):
        for label, (axes, mean) in enumerate(zip(panels, (negative, positive), strict=False)):
            axes.imshow(mean, cmap="gray", vmin=0, vmax=255)
            axes.set_title(f"{names[label]}, mean of {int((films.labels == label).sum())}")
        shown = panels[2].imshow(positive - negative, cmap="RdBu_r", vmin=-widest, vmax=widest)
        panels[2].set_title("positive minus negative")
        figure.colorbar(shown, ax=panels[2], label="grey levels", shrink=0.85)
        svg = charts.figure_to_svg(figure, key="means-chart", title="mean film of each class and their difference")
    return Chart("", svg, "What stands at one place in the films of one class shows here.", wide=True)


def _borders(films: Sample, names: tuple[str, str]) -> Chart:
    """The mean grey level around the film, class by class with its spread."""
    pairs = zip(films.model_inputs, films.facts, strict=True)
    rims = np.stack([_rim(film_area(model_input, fact)) for model_input, fact in pairs])
    with charts.drawing(11, 3.2) as (figure, axes):
        for label, (name, colour) in enumerate(zip(names, charts.CLASSES, strict=True)):
            low, middle, high = np.percentile(rims[films.labels == label], (25, 50, 75), axis=0)
            axes.fill_between(np.arange(len(middle)), low, high, color=colour, alpha=0.2, linewidth=0)
            axes.plot(middle, color=colour, label=name)
        axes.set_xticks([STEPS * (side + 0.5) for side in range(4)], ["top", "right", "bottom", "left"])
        axes.set_xticks([STEPS * side for side in range(1, 4)], minor=True)
        axes.grid(visible=False, axis="x")
        axes.grid(axis="x", which="minor")
        axes.set(xlim=(0, 4 * STEPS), ylim=(0, 255), ylabel="grey level")
        axes.legend(loc="upper right")
        svg = charts.figure_to_svg(figure, key="borders-chart", title="grey level around the film, by class")
    return Chart("", svg, "Outer 5 % of the film: median and middle half of each class.", wide=True)


def _rim(film: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the mean over the border's depth, clockwise from the upper left corner, float64 [4 * STEPS]."""
    deep, wide = (max(1, round(LOOK_BORDER * side)) for side in film.shape)
    sides = (film[:deep].mean(0), film[:, -wide:].mean(1), film[-deep:].mean(0)[::-1], film[:, :wide].mean(1)[::-1])
    places = np.linspace(0, 1, STEPS)
    return np.concatenate([np.interp(places, np.linspace(0, 1, len(side)), side) for side in sides])
