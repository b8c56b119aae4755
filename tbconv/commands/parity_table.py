"""The parity table that `convert` and `verify` print, drawn from parity.json alone."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.table import Table

from tbconv.console import table_console

COLUMNS = ("file", "verdict", "max |d logit|", "max |d prob.|", "identity", "SQNR dB", "flips", "AUROC (95 %)")
COLOURS = {"CERTIFIED": "green", "BOUNDED": "cyan", "FAILED": "red", "UNVERIFIED": "yellow"}


def print_parity(report: dict[str, Any]) -> None:
    """Print one row a witness: artefacts worst first, references below."""
    table = Table(title=f"against PyTorch float32, on {report['inputs']['description']}", box=box.SIMPLE)
    for column in COLUMNS:
        left = column in ("file", "verdict")
        table.add_column(column, justify="left" if left else "right", no_wrap=left)
    for row in report["rows"]:
        table.add_row(*_cells(row))
    console = table_console()
    console.print(table)
    for network, tolerance in report["tolerances"].items():
        console.print(
            f"{network}: PyTorch's own rounding is {tolerance['noise']:.1e} logits here, so float32 files may "
            f"differ by {tolerance['logits']:.1e}; identity is |margin - mean(evidence)|, at most 1e-04.",
            soft_wrap=True,
        )


def _cells(row: dict[str, Any]) -> list[str]:
    figures = row["films"] or row["golden"]
    verdict = row["verdict"] or "-"
    flips = f"{figures['flips']} of {figures['samples']}"
    if figures["problem"]:
        return [row["name"], f"[red]{verdict}[/]", figures["problem"], "", "", "", "", ""]
    return [
        row["name"],
        f"[{COLOURS[verdict]}]{verdict}[/]" if verdict in COLOURS else verdict,
        _small(figures["max_abs_logits"]),
        _small(figures["max_abs_probability"]),
        _small(figures["identity"]),
        "exact" if figures["sqnr_db"] is None else f"{figures['sqnr_db']:.1f}",
        flips,
        _auroc(row["auroc"]),
    ]


def _small(value: float | None) -> str:
    return "-" if value is None else f"{value:.1e}"


def _auroc(estimate: dict[str, Any] | None) -> str:
    if estimate is None:
        return "-"
    digits = 3 if estimate["n"] >= 100 else 2
    return f"{estimate['value']:.{digits}f} ({estimate['low']:.{digits}f}-{estimate['high']:.{digits}f})"
