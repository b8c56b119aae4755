"""layers.png: SQNR by node in the order of the graph, one line a kind."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convert.layer_rows import Coverage, LayerRow, LayersReport

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, each with a dash: told apart by colour-blind readers, and in grey.
LOOKS = {
    "float32": ("#000000", "-"),
    "float16": ("#0072B2", "--"),
    "dynamic": ("#009E73", "-."),
    "int8": ("#D55E00", "-"),
}
SPARE = (("#CC79A7", ":"), ("#56B4E9", ":"), ("#E69F00", ":"))  # files beyond the four
EXACT_DB, LOWEST_DB = 150.0, -20.0  # float32 has 24 bits, 144 dB; below 0 dB nothing of the signal is left
WORST = 2  # labelled, a kind
GAP_DB = 4.5  # between two labels on the right: the height of a line there
DPI = 120


def draw_layers(path: Path, report: LayersReport) -> None:
    """Draw one line a kind over the nodes; name where each loses most, and where it is worst."""
    nodes, figure = _nodes(report), _new_figure(14, 7)
    axes, spare, labels = figure.subplots(), itertools.cycle(SPARE), []
    for coverage in report.coverage:
        colour, dash = LOOKS.get(coverage.kind) or next(spare)
        points = sorted((nodes.index(row.node), _level(row)) for row in _ends(report, coverage.kind))
        axes.plot([x for x, _ in points], [y for _, y in points], dash, marker=".", color=colour, label=coverage.kind)
        labels += [(nodes.index(row.node), _level(row), row.node, colour) for row in _named(report, coverage)]
    _write_labels(axes, labels, len(nodes))
    marks = _stages(nodes)
    axes.set_xticks(list(marks), list(marks.values()), rotation=90, fontsize=8)
    axes.set(ylabel="SQNR against ONNX (dB)", xlabel="node, in the order of the graph")
    axes.set(ylim=(min((label[1] for label in labels), default=0.0) - 25, EXACT_DB + 8), xlim=(-2, len(nodes) + 1))
    axes.set_title(
        f"Noise node by node, {report.kernels} kernels, {report.description} (exact: drawn at 150 dB)", fontsize=10
    )
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, ncols=len(report.coverage), loc="lower left")
    figure.savefig(path, dpi=DPI)


def _nodes(report: LayersReport) -> list[str]:
    places = {row.node: row.place for row in report.rows}
    return sorted(places, key=places.__getitem__)


def _ends(report: LayersReport, kind: str) -> list[LayerRow]:
    return [row for row in report.of(kind) if not row.before_bias]


def _level(row: LayerRow) -> float:
    if row.sqnr_db == math.inf:
        return EXACT_DB
    return max(row.sqnr_db, LOWEST_DB) if math.isfinite(row.sqnr_db) else LOWEST_DB


def _named(report: LayersReport, coverage: Coverage) -> list[LayerRow]:
    """Return the nodes to name: where most is lost, and the worst below what is harmless; 0/1 locks follow others."""
    fault = report.fault(coverage.kind)
    low = [row for row in _ends(report, coverage.kind) if not row.lock and _level(row) < coverage.harmless_db]
    rows = ([fault] if fault is not None else []) + sorted(low, key=_level)[:WORST]
    return list({row.node: row for row in reversed(rows)}.values())


def _write_labels(axes: Any, labels: list[tuple[int, float, str, str]], count: int) -> None:
    """Write names: of the last fifth of the nodes in the right margin, of others below their point."""
    last = -math.inf
    for x, y, node, colour in sorted(labels, key=lambda label: label[1]):
        look = {"fontsize": 8, "color": colour, "arrowprops": {"arrowstyle": "-", "color": colour, "lw": 0.6}}
        text = f"{node}, {y:.0f} dB"
        if x < 0.8 * count:
            axes.annotate(text, (x, y), (x, y - 11), ha="left", **look)
            continue
        last = max(y, last + GAP_DB)
        axes.annotate(text, (x, y), (count + 2, last), va="center", annotation_clip=False, **look)


def _stages(nodes: list[str]) -> dict[int, str]:
    """Return a tick where a block of the body, the head, or what stands before them begins."""
    marks: dict[int, str] = {}
    for index, node in enumerate(nodes):
        parts = node.split(".")
        head = "head" if "stem" in marks.values() else "input"
        block = ".".join(parts[1:3]) if len(parts) > 3 else "stem"
        stage = block if parts[0] == "body" else head
        if stage not in marks.values():
            marks[index] = stage
    return marks


def _new_figure(width: float, height: float) -> Figure:
    """Return a figure of so many inches that draws with Agg and never asks for a display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure
