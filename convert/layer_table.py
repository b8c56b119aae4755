"""layers.json, layers.csv and the lines for a terminal: what `verify --layers` leaves behind."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict, fields
from pathlib import Path

from convert.layer_figure import draw_layers
from convert.layer_rows import Coverage, LayerRow, LayersReport, decibels
from tbconv.contract.files import write_atomic, write_json

HEAD = f"{'':2}{'node':32} {'ends in':16} {'SQNR dB':>8} {'before':>8} {'drop':>6}"


def write_layers(folder: Path, report: LayersReport) -> None:
    """Write layers.json, layers.csv and layers.png into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "layers.json", report.to_json())
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [one.name for one in fields(LayerRow)])
    writer.writeheader()
    writer.writerows(asdict(row) for row in report.rows)
    write_atomic(folder / "layers.csv", text.getvalue().encode())
    draw_layers(folder / "layers.png", report)


def layer_lines(report: LayersReport) -> list[str]:
    """Return the lines for a terminal: what was compared, the ten worst nodes of each kind, where it is lost."""
    lines = [
        f"node by node against model.onnx, {report.description}, {report.kernels} kernels, {report.seconds:.0f} s",
        "SQNR as it comes, error carried through; drop: against the worst input, above what is harmless not counted",
    ]
    for coverage in report.coverage:
        lines += ["", *_head(coverage), HEAD]
        lines += [_line(row) for row in report.worst(coverage.kind)]
    return [*lines, "", *report.sentences()]


def _head(coverage: Coverage) -> list[str]:
    served = (
        "the logits are bit for bit the served ones" if coverage.as_served else "the logits are NOT the served ones"
    )
    matched = f"{coverage.matched} of {coverage.operations} computing operations matched ({coverage.matched_share:.1%})"
    covered = f"{coverage.covered} of {coverage.nodes} computing ONNX nodes covered ({coverage.covered_share:.1%})"
    return [
        f"{coverage.kind} ({coverage.path}): {matched}, {covered}; {served}",
        *_left_out(coverage),
    ]


def _left_out(coverage: Coverage) -> list[str]:
    reasons: dict[str, list[str]] = {}
    for name, count in coverage.left_out.items():
        op, why = name.split(": ", 1)
        reasons.setdefault(why, []).append(f"{count} {op}")
    return [f"  left out: {', '.join(ops)} ({why})" for why, ops in reasons.items()]


def _line(row: LayerRow) -> str:
    notes = [note for note, holds in (("before its bias", row.before_bias), ("0/1 locks", row.lock)) if holds]
    if row.rescaled:
        low, high = row.scales
        notes.append(f"rescaled by {low:.2g} to {high:.2g}, {decibels(row.as_is_db)} as it is")
    levels = f"{decibels(row.sqnr_db):>8} {decibels(row.before_db):>8} {row.drop_db:6.1f}"
    return f"  {row.node:32} {row.op:16} {levels} {'; '.join(notes)}".rstrip()
