"""`tbconv convert MODEL.onnx`: what the command line says of a foreign network, and what it prints of its formats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from tbconv.console import TerminalReporter, print_out, table_console
from tbconv.contract.errors import ConfigError

COLUMNS = ("file", "MB", "verdict", "output", "max", "median", "99 %", "SQNR dB", "flips")


def convert_onnx(
    onnx: Path,
    out: Path,
    calibration: Path | None,
    films: int | None,
    keep_float: list[str] | None,
    normalise: str | None,
    mean_and_std: tuple[str | None, str | None],
    labels: str | None,
    *,
    as_json: bool,
) -> None:
    """Convert one ONNX file and print what was measured.

    Raises:
        TbconvError: what the file, the films or the options lack.
    """
    from convert.foreign.config import FILMS, ForeignConfig
    from convert.foreign.pipeline import convert_foreign

    if not onnx.is_file():
        raise ConfigError(f"{onnx} is not there", why="an ONNX file is needed", fix="check the path")
    if calibration is None:
        why = "int8 needs the ranges that films reach, and every format is asked about films"
        raise ConfigError(f"{onnx.name} without --calibration", why=why, fix="add --calibration DIR, a folder of films")
    mean, std = (numbers(text, option) for text, option in zip(mean_and_std, ("--mean", "--std"), strict=True))
    config = ForeignConfig(
        onnx=onnx,
        out=out,
        calibration=calibration,
        normalise=normalise,
        mean=mean,
        std=std,
        films=FILMS if films is None else films,
        keep_float=tuple(keep_float) if keep_float else None,
        labels=tuple(one.strip() for one in labels.split(",")) if labels else (),
    )
    done = convert_foreign(config, TerminalReporter())
    if as_json:
        print_out(json.dumps(done.report, indent=2))
        return
    _print_report(done.report)
    print_out(f"\nconverted in {done.seconds_converting:.0f} s, measured in {done.seconds_measuring:.0f} s")
    print_out(f"written: {done.folder} (no bundle: it has no threshold)\nnext: read {done.folder / 'report.md'}")


def numbers(text: str | None, option: str) -> tuple[float, ...] | None:
    """Return the numbers of an option such as `0.485,0.456,0.406`; ConfigError where one is none."""
    if text is None:
        return None
    try:
        return tuple(float(one) for one in text.split(","))
    except ValueError as error:
        fix = f"{option} 0.485,0.456,0.406"
        raise ConfigError(f"{option} {text}", why="numbers with commas between are needed", fix=fix) from error


def _print_report(report: dict[str, Any]) -> None:
    title = f"against ONNX Runtime on {report['source']}, on {report['inputs']['description']}"
    table = Table(title=title, box=box.SIMPLE)
    for column in COLUMNS:
        left = column in ("file", "verdict", "output")
        table.add_column(column, justify="left" if left else "right", no_wrap=left)
    for row in [*report["rows"], report["witness"]]:
        for cells in _rows(row):
            table.add_row(*cells)
    table_console().print(table)
    for row in report["rows"]:
        print_out(f"  {row['path']}: {row['verdict']}; {row['reason']}")
    print_out(f"  onnx2tf: {report['witness']['said']}; {report['witness']['reason']}")
    print_out("\nwhat this cannot say:")
    for limit in report["limits"]:
        print_out(f"  - {limit}")
    print_out(report["disclaimer"])


def _rows(row: dict[str, Any]) -> list[tuple[str, ...]]:
    size = f"{row['bytes'] / 1e6:.3g}" if "bytes" in row else "-"
    head = (row["path"], size, row["verdict"])
    if not row["outputs"]:
        return [(*head, *("-",) * 6)]
    return [(*head, one["output"], *_figures(one)) for one in row["outputs"]]


def _figures(one: dict[str, Any]) -> tuple[str, ...]:
    distances = tuple("-" if one[name] is None else f"{one[name]:.1e}" for name in ("max_abs", "median", "p99"))
    decibels = "-" if one["sqnr_db"] is None else f"{one['sqnr_db']:.0f}"
    return (*distances, decibels, f"{one['flips']} of {one['samples']}")
