"""robustness.json in words: rows for a terminal, a page that fetches nothing, and a section of the model card."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tbconv.report_kit.pages import Cell, Chart, Section, Table, render_page

RECORD, PAGE = "robustness.json", "robustness.html"
TEMPLATE = Path(__file__).with_name("robustness.html.j2")
COLUMNS = ("change", "n", "refer to not flagged", "not flagged to refer", "no answer", "flips, 95 %", "without a limit")
Json = dict[str, Any]


NARROW = ("change", "n", "flips, 95 %", "without a limit")  # on 80 columns


def opening(record: Json) -> list[str]:
    """Return what matters in four lines: who answered, all flips, the worst change, films without answer."""
    answered, flipped, *_ = summary(record)
    harmless = [row for row in record["changes"] if row["harmless"] and row["flips"]["value"] is not None]
    worst = "worst change: none was answered"
    if harmless:
        row = max(harmless, key=lambda one: one["flips"]["value"])
        worst = f"worst change: {row['change']} changes {_share(row['flips'])} of {row['n']} decisions ({row['what']})"
    unanswered = sum(row["to_indeterminate"] + row["to_refused"] for row in record["changes"] if row["harmless"])
    asked = sum(row["n"] + row["to_indeterminate"] + row["to_refused"] for row in record["changes"] if row["harmless"])
    return [answered, flipped, worst, f"no answer any more: {unanswered} of {asked} changed films"]


def _share(flips: Json) -> str:
    return f"{100 * flips['value']:.1f} % ({100 * flips['low']:.1f} to {100 * flips['high']:.1f})"


def cells(row: Json) -> list[str]:
    """Return one change as cells of the table."""
    flips, unanswered = row["flips"], row["to_indeterminate"] + row["to_refused"]
    share = "-"
    if flips["value"] is not None:
        share = _share(flips)
    counts = (row["n"], row["refer_to_not_flagged"], row["not_flagged_to_refer"], unanswered)
    return [row["change"], *map(str, counts), share, str(row["flips_without_limit"])]


def summary(record: Json) -> list[str]:
    """Return what was measured, in sentences."""
    answered, unchanged = record["answered_by"], record["unchanged"]
    harmless = [row for row in record["changes"] if row["harmless"]]
    flips = sum(round(row["flips"]["value"] * row["n"]) for row in harmless if row["n"])
    pairs = sum(row["n"] for row in harmless)
    silent = sum(row["flips_without_limit"] for row in harmless)
    limited = unchanged["with_limit"]
    share = "none was answered"
    if limited["value"] is not None:
        share = (
            f"{100 * limited['value']:.1f} % of them ({100 * limited['low']:.1f} to {100 * limited['high']:.1f}) get a "
            "limit or no decision as they are"
        )
    lines = [
        f"{answered['name']} ({answered['artefact']}) on {unchanged['n']} films, {record['films']}; {share}.",
        f"{flips} of {pairs} decisions changed by {len(harmless)} harmless changes, {silent} of them without a limit.",
    ]
    if not answered["has_reference"]:
        lines.append("It has no reference of grey levels, so films that look unlike its training films get no limit.")
    return lines


def card_lines(record: Json) -> list[str]:
    """Return the section of a model card, Markdown; names in it come from this program alone."""
    from tbconv.report_kit.pages import escape_markdown

    lines = ["", "## Harmless changes of a film", "", *map(escape_markdown, summary(record)), ""]
    lines += [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    lines += [f"| {' | '.join([f'`{name}`', *rest])} |" for name, *rest in map(cells, record["changes"])]
    return [*lines, "", "`mirrored` is not harmless: it exchanges the sides. Intervals are Clopper-Pearson's."]


def robustness_page(record: Json) -> str:
    """Return the page as HTML with everything inside."""
    rows: list[list[Cell]] = []
    ordered = sorted(record["changes"], key=_worst_first)
    for row in ordered:
        name, *rest = cells(row)
        what = row["what"] if row["harmless"] else f"{row['what']} (not harmless)"
        rows.append([{"text": name, "small": what}, *rest])
    return render_page(
        TEMPLATE,
        title="Do harmless changes of a film change its answer?",
        disclaimer=record["disclaimer"],
        synthetic="",
        lines=summary(record),
        sections=[
            Section("changes", "Flips by change and direction", charts=_chart(ordered), tables=[Table(COLUMNS, rows)]),
            Section("unchanged", "Films as they are", facts=_facts(record["unchanged"])),
            Section("answered", "Who answered", facts=_answered(record["answered_by"])),
        ],
    )


def _worst_first(row: Json) -> tuple[bool, float]:
    return row["flips"]["value"] is None, -(row["flips"]["value"] or 0.0)


def _chart(rows: Sequence[Json]) -> list[Chart]:
    """Draw the share of decisions that each change flips, worst first; nothing where no film was answered."""
    from tbconv.report_kit import charts

    known = [row for row in rows if row["flips"]["value"] is not None]
    if not known:
        return []
    drawn = []
    for row in known:
        value, low, high = (100 * row["flips"][name] for name in ("value", "low", "high"))
        colour = charts.BLUE if row["harmless"] else charts.GREY
        drawn.append(charts.Interval(row["change"].replace("_", " "), value, low, high, colour))
    with charts.drawing(7.0, 0.26 * len(drawn) + 0.8) as (figure, axes):
        charts.forest_chart(drawn, axes)
        axes.set(xlabel="decisions that the change flips, % (95 % interval)", xlim=(0, None))
        title = "share of decisions that each change flips"
        svg = charts.figure_to_svg(figure, key="flips", title=title, description=f"{len(drawn)} changes, worst first")
    return [Chart("", svg, "Grey: mirrored, which is not harmless.", wide=True)]


def _answered(facts: Json) -> Json:
    words = {"has_reference": "reference of grey levels", "artefact": "answered by", "kind": "what it is"}
    said: Json = facts | {"has_reference": "yes" if facts["has_reference"] else "no"}
    said["threshold"] = f"{facts['threshold']:.4g}"
    return {words.get(name, name): value for name, value in said.items()}


def _facts(unchanged: Json) -> Json:
    return {name.replace("_", " "): value for name, value in unchanged.items() if name != "with_limit"}
