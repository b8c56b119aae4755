"""What `verify --layers` found, as rows: the noise at each node, and where it came in.

numpy free. A drop is counted only below what the kind keeps at its best, so that the first
rounding to 8 bits, which harms nothing, is not taken for the fault.
"""

from __future__ import annotations

import csv
import io
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convert.layerwise.graph import INPUT, LayerGraph, Match
from convert.layerwise.noise import Noise
from tbconv.contract.bundle import write_atomic, write_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# SQNR in dB above which a kind loses nothing that matters: about the best that its logits reached over a whole
# ResNet50 (../shared/conversion.md: float16 47-61, dynamic 8-25, int8 9-20 fine-tuned; float32 errors of 1e-5).
HARMLESS_DB = {"float32": 100.0, "float16": 60.0}
HARMLESS_8_BIT_DB = 30.0
LOCKS = ("GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL", "CAST")  # 0 or 1 a unit: a drop there is no rounding
WORTH_NAMING_DB = 3.0  # a drop below it halves nothing


@dataclass(frozen=True, slots=True)
class LayerRow:
    """One operation of one file against the node that it ends in."""

    kind: str  # the file's name without model_: float32, float16, dynamic, int8
    operation: int  # index in the file
    op: str
    node: str
    place: int  # of the node in the ONNX graph
    how: str  # it was matched: output | name | place | order
    before_bias: bool
    rescaled: bool  # its channels were brought back to the reference's scale before the SQNR was taken
    scales: tuple[float, float]  # that did it: the 10th and 90th percentile over channels
    sqnr_db: float  # inf where nothing differs
    as_is_db: float  # before rescaling
    before_db: float  # the worst of what it reads; inf where that is the film
    drop_db: float  # from before_db to sqnr_db, both cut at what is harmless for the kind
    lock: bool  # 0 or 1 a unit
    integer: bool  # computed in integers; False in a float island of an int8 file


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of one file was compared, and with what share of the ONNX graph."""

    kind: str
    path: str
    precision: str
    harmless_db: float  # above it a drop is not counted
    operations: int  # that compute something
    matched: int
    nodes: int  # of the ONNX graph that compute something
    covered: int  # that a matched operation ends in, or that were fused into it
    left_out: dict[str, int]  # glue, by operation and reason
    how: dict[str, int]
    as_served: bool  # logits of the first film are bit for bit those of the interpreter that serves
    lowest_agreement: float  # correlation on the film that was matched on

    @property
    def matched_share(self) -> float:
        """Share of the computing operations that were matched."""
        return self.matched / self.operations if self.operations else 0.0

    @property
    def covered_share(self) -> float:
        """Share of the computing ONNX nodes that are covered."""
        return self.covered / self.nodes if self.nodes else 0.0


@dataclass(frozen=True, slots=True)
class LayersReport:
    """All of it."""

    rows: tuple[LayerRow, ...]  # in each file's order
    coverage: tuple[Coverage, ...]
    films: int
    description: str
    kernels: str
    seconds: float

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of the bundle, float32 first."""
        return tuple(one.kind for one in self.coverage)

    def of(self, kind: str) -> tuple[LayerRow, ...]:
        """Return the rows of one kind."""
        return tuple(row for row in self.rows if row.kind == kind)

    def worst(self, kind: str, most: int = 10) -> list[LayerRow]:
        """Return the nodes with the lowest SQNR."""
        return sorted(self.of(kind), key=lambda row: _sortable(row.sqnr_db))[:most]

    def fault(self, kind: str, *, integer: bool = False) -> LayerRow | None:
        """Return the node at which the most is lost; None where no drop is worth naming.

        Args:
            kind: one of `kinds`.
            integer: look only where a file computes in integers. (0/1 locks only follow others.)
        """
        rows = [row for row in self.of(kind) if not row.lock and (row.integer or not integer)]
        found = max(rows, key=lambda row: row.drop_db, default=None)
        return found if found is not None and found.drop_db >= WORTH_NAMING_DB else None

    def sentences(self) -> list[str]:
        """Return, for each kind, where it loses most and what to try."""
        return [self._sentence(one.kind, one.precision) for one in self.coverage]

    def _sentence(self, kind: str, precision: str) -> str:
        row = self.fault(kind)
        if row is None:
            return f"{kind} loses nothing worth naming at any single node (no drop of {WORTH_NAMING_DB:.0f} dB)"
        said = f"{kind} loses most at {_where(row)}"
        if precision == "float32":
            return f"{said}: a float32 file should not; convert again, and verify"
        return said + self._advice(kind, row) if precision == "int8" else said

    def _advice(self, kind: str, worst: LayerRow) -> str:
        """Say what to keep in float beside the head (naming a node replaces that default): the fault.

        Or the worst of the integer nodes, where the fault is float already.
        """
        row = self.fault(kind, integer=True)
        if row is None:
            return ", which is float already"
        also = "" if row is worst else f", which is float already; of the integer nodes, at {_where(row)}"
        return f"{also}: try tbconv convert RUN --out BUNDLE --keep-float head --keep-float {row.node}"

    def to_json(self) -> dict[str, Any]:
        """Return plain values ready for JSON: exact is null, and so is what is not finite."""
        return {
            "films": self.films,
            "description": self.description,
            "kernels": self.kernels,
            "reference": "model.onnx in ONNX Runtime, unoptimised, every tensor an output",
            "coverage": [_plain(asdict(one)) for one in self.coverage],
            "rows": [_plain(asdict(one) | {"exact": math.isinf(one.sqnr_db)}) for one in self.rows],
            "sentences": self.sentences(),
            "seconds": round(self.seconds, 1),
        }


def layer_rows(
    coverage: Coverage, nodes: LayerGraph, file: LayerGraph, matches: Sequence[Match], noise: Mapping[str, Noise]
) -> list[LayerRow]:
    """Return the rows of one file.

    Args:
        coverage: of the file; its kind and what is harmless for it.
        nodes: the ONNX graph.
        file: the TFLite graph.
        matches: operations and their nodes.
        noise: by operation.
    """
    order = {one.key: place for place, one in enumerate(nodes.operations)}
    known, feeds, ceiling = file.by_key, file.feeds(), coverage.harmless_db
    levels = {INPUT: math.inf} | {key: one.sqnr_db for key, one in noise.items()}
    rows = []
    for match in matches:
        found, operation = noise[match.operation], known[match.operation]
        before = min((levels[key] for key in feeds[match.operation] if key in levels), default=math.inf, key=_sortable)
        rows.append(
            LayerRow(
                kind=coverage.kind,
                operation=int(match.operation),
                op=operation.op,
                node=match.node,
                place=order[match.node],
                how=match.how,
                before_bias=match.before_bias,
                rescaled=found.rescaled,
                scales=found.scales,
                sqnr_db=found.sqnr_db,
                as_is_db=found.as_is_db,
                before_db=before,
                drop_db=_cut(before, ceiling) - _cut(found.sqnr_db, ceiling),
                lock=operation.op in LOCKS,
                integer=operation.integer,
            )
        )
    return rows


def _where(row: LayerRow) -> str:
    return f"{row.node} (from {decibels(row.before_db)} to {decibels(row.sqnr_db)} dB)"


def decibels(value: float) -> str:
    """Return an SQNR as it is printed: one decimal, 'exact' where nothing differs."""
    return "exact" if value == math.inf else f"{value:.1f}"


def _cut(level: float, ceiling: float) -> float:
    return -ceiling if math.isnan(level) else max(min(level, ceiling), -ceiling)  # NaN is as bad as it gets


def _sortable(level: float) -> float:
    return -math.inf if math.isnan(level) else level


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {key: None if isinstance(v, float) and not math.isfinite(v) else v for key, v in values.items()}


# --- layer table ---
# layers.json, layers.csv and the lines for a terminal: what `verify --layers` leaves behind.

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


# --- layer figure ---
# layers.png: SQNR by node in the order of the graph, one line a kind.

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
