"""The parity table that `convert` and `verify` print, drawn from parity.json alone."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from tbconv.console import COLOURS, is_narrow, table_console
from tbconv.contract.certificate import ArtefactVerdict
from tbconv.contract.golden import REFERENCE

NARROW = ("file", "verdict", "|d logit|", "flips", "AUROC loss (<=)")  # on 80 columns
COLUMNS = (
    "file",
    "verdict",
    "|d logit|",
    "|d prob.|",
    "identity",
    "SQNR dB",
    "to float64",
    "flips",
    "AUROC loss (<=)",
)
GROUPS = {
    "float32": "float32 files",
    "reduced": "reduced files",
    "compared": "others: compared, not judged",
    "reference": "PyTorch itself",
}


def print_parity(report: dict[str, Any]) -> None:
    """Print one row a runtime: float32 files, reduced files, others, references; worst first in each."""
    console = table_console()
    shown = [at for at, column in enumerate(COLUMNS) if column in NARROW or not is_narrow(console)]
    table = Table(title=f"against PyTorch float32, on {report['inputs']['description']}", box=box.SIMPLE)
    for column in (COLUMNS[at] for at in shown):
        left = column in ("file", "verdict")
        table.add_column(column, justify="left" if left else "right", no_wrap=left and not is_narrow(console))
    for group, title in GROUPS.items():
        rows = [row for row in report["rows"] if row["group"] == group]
        if rows:
            table.add_row(Text(title, style="bold"))
            for row in rows:
                cells = _cells(row)
                table.add_row(*(cells[at] for at in shown))
            table.add_section()
    console.print(table)
    for line in _lines(report):
        console.print(line, soft_wrap=True)


def counted(verdicts: Mapping[str, ArtefactVerdict]) -> str:
    """Count the verdicts on files, and name the files that may not serve."""
    counts = Counter(str(one.verdict) for one in verdicts.values())
    said = ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
    barred = [f"{path} {one.verdict}" for path, one in verdicts.items() if not one.verdict.may_serve]
    return f"{len(verdicts)} files: {said}" + (f"; may not serve: {', '.join(barred)}" if barred else "")


def decisions(report: dict[str, Any]) -> str:
    """Say on what was measured, and which files changed how many decisions."""
    changed = []
    for row in report["rows"]:
        figures = row["films"] or row["golden"]
        if row["verdict"] and not figures["problem"] and figures["flips"]:
            changed.append(f"{row['name']} {figures['flips']} of {figures['samples']}")
    said = f"changed by {', '.join(changed)}" if changed else "no file changes any"
    return f"decisions, on {report['inputs']['description']}: {said}"


def _lines(report: dict[str, Any]) -> Iterator[str]:
    """Say what the numbers mean, in the order of the columns."""
    yield f"|d ...| is the largest difference over the films{_sampled(report)}."
    for network, tolerance in report["tolerances"].items():
        yield (
            f"{network}: PyTorch's own rounding is {tolerance['noise']:.1e} logits here, one float32 step of what the "
            f"margin is summed from {tolerance['rounding_step']:.1e}, so float32 files may differ by "
            f"{tolerance['logits']:.1e}; identity is |margin - mean(evidence)|, at most {tolerance['identity']:.0e}."
        )
    allowed = report["float64_db"]["allowed"]
    note = "" if report["float64_db"]["judged"] else "; on so few films it is shown but not judged"
    yield (
        "to float64: how much further (dB, root mean square) a file is from float64 PyTorch than float32 PyTorch is "
        "(or than one float32 rounding step of what the margin is summed from, where that is larger); "
        f"{allowed:g} dB is twice as far{note}."
    )
    for one in report["float16"]:
        if one["db"] is not None:
            gap = round(one["db"], 1) + 0.0  # no -0.0
            yield f"{one['name']}: {gap:+.1f} dB from float64 beside {one['of']} (allowed {one['allowed']:+g} dB)."
    yield from _aurocs(report)
    yield from _flips(report)
    yield from _near(report)


def _sampled(report: dict[str, Any]) -> str:
    """Explain a count below that of the films, where a row has one."""
    fed = report["inputs"]["films"]
    counts = sorted({row["films"]["samples"] for row in report["rows"] if row["sampled"] and row["films"]} - {fed})
    return f"; a row with `of {counts[0]}` was run on a sample of them" if counts else ""


def _aurocs(report: dict[str, Any]) -> Iterator[str]:
    """Say what the losses are subtracted from: PyTorch's own AUROC."""
    for row in report["rows"]:
        if row["name"].startswith(REFERENCE) and row["auroc"] is not None:
            auroc = f"{row['name']}: AUROC {_auroc(row['auroc'])}"
            yield f"{auroc}; the column AUROC loss is relative to it (in brackets: the 95 % bound)."


def _flips(report: dict[str, Any]) -> Iterator[str]:
    """Give the bound where nothing flipped."""
    still = [row for row in report["rows"] if row["films"] and row["verdict"] and row["films"]["flips"] == 0]
    counts = sorted(
        {(row["films"]["samples"], row["flips_at_most"]) for row in still if row["films"]["problem"] is None}
    )
    for samples, bound in counts:
        yield f"0 flips in {samples} films: at most {100 * bound:.2g} % of such films, at 95 % confidence."


def _near(report: dict[str, Any]) -> Iterator[str]:
    """Count what flips near the threshold, where reduced files have to be expected to."""
    rows = [row for row in report["rows"] if row["near_threshold"] and row["verdict"]]
    rows = [row for row in rows if row["network"] == "trained"] or rows  # they were searched for the trained network
    if not rows:
        return
    fed = rows[0]["near_threshold"]
    flips = ", ".join(
        f"{row['name']} {row['near_threshold']['flips']}" for row in rows if row["near_threshold"]["flips"]
    )
    yield (
        f"{fed['samples']} inputs searched to lie within {fed['furthest_from_threshold']:.1e} logits of the threshold, "
        f"not counted among films: {'flips by ' + flips if flips else 'no file flips any'}."
    )


def _cells(row: dict[str, Any]) -> list[str | Text]:
    figures = row["films"] or row["golden"]
    verdict = row["verdict"] or "-"
    if figures["problem"]:
        return [row["name"], Text(verdict, style="red"), figures["problem"], *[""] * (len(COLUMNS) - 3)]
    return [
        row["name"],
        Text(verdict, style=COLOURS.get(verdict, "")),
        _small(figures["max_abs_logits"]),
        _small(figures["max_abs_probability"]),
        _small(figures["identity"]),
        "exact" if figures["sqnr_db"] is None else f"{figures['sqnr_db']:.1f}",
        _float64(row["float64_distance"]),
        f"{figures['flips']} of {figures['samples']}",
        _loss(row["decisions"]),
    ]


def _small(value: float | None) -> str:
    return "-" if value is None else f"{value:.1e}"


def _float64(distance: dict[str, float] | None) -> str:
    if distance is None:
        return "-"
    return "exact" if distance["rms"] == 0 else f"{distance['db']:+.1f}"


def _auroc(estimate: dict[str, Any]) -> str:
    digits = 3 if estimate["n"] >= 100 else 2
    return f"{estimate['value']:.{digits}f} ({estimate['low']:.{digits}f}-{estimate['high']:.{digits}f})"


def _loss(decisions: dict[str, Any] | None) -> str:
    """Show the loss of AUROC and its one-sided 95 % bound; one pair of films in P x N is the last digit."""
    if decisions is None:
        return "-"
    digits = max(1, min(4, math.floor(math.log10(decisions["positives"] * decisions["negatives"]))))
    loss = decisions["auroc_loss"]
    return f"{loss['value']:+.{digits}f} ({loss['upper95']:+.{digits}f})"
