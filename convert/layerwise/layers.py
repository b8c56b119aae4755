"""`verify --layers`: where each TFLite file of a bundle loses precision, node by node, against its model.onnx.

The error is shown as it comes, carried from node to node. ONNX Runtime, unoptimised, is the reference (its parity
with PyTorch is the business of `verify`); XNNPACK, which serves, is what is observed.
"""

from __future__ import annotations

import csv
import io
import itertools
import math
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.layerwise.graph import INPUT, LayerGraph, Match, covered_nodes
from convert.layerwise.noise import LEAST_COUNT, Sums, add_sums, judge_noise
from convert.layerwise.walk import (
    WalkConfig,
    choose_artefacts,
    format_db,
    plain,
    read_model_inputs,
    walk,
    write_reference,
    write_report,
)
from convert.proof.prove import require_graph
from convert.worker import workers
from tbconv.contract.bundle import Bundle, read_bundle
from tbconv.contract.errors import Reporter, printable
from tbconv.contract.files import temporary_folder
from tbconv.contract.manifest import Artefact

KINDS = ("float32", "float16", "dynamic", "int8")
FILMS = 16
AT_ONCE = 16  # films whose reference tensors lie on disk together: 45 MB a film for ResNet50

# SQNR in dB above which a kind loses nothing that matters: about the best that its logits reached over a whole
# ResNet50 (../shared/conversion.md: float16 47-61, dynamic 8-25, int8 9-20 fine-tuned; float32 errors of 1e-5).
# A drop is counted only below it, so that the first rounding to 8 bits, which harms nothing, is not taken for a fault.
HARMLESS_DB = {"float32": 100.0, "float16": 60.0}
HARMLESS_8_BIT_DB = 30.0
COMPARISONS = (
    "GREATER",
    "GREATER_EQUAL",
    "LESS",
    "LESS_EQUAL",
    "CAST",
)  # compute a 0/1 ReLU pattern, which has no SQNR
WORTH_NAMING_DB = 3.0  # a smaller drop does not even halve the ratio of signal to noise


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
    before_db: float  # the worst of its inputs; inf where that is the film
    drop_db: float  # from before_db to sqnr_db, both cut at what is harmless for the kind
    relu_pattern: bool  # 0 or 1 a unit
    integer: bool  # computed in integers; False for a float32 op of an int8 file

    @property
    def drawn_db(self) -> float:
        """Its SQNR within the limits of the figure."""
        return LOWEST_DB if math.isnan(self.sqnr_db) else max(min(self.sqnr_db, EXACT_DB), LOWEST_DB)

    def __str__(self) -> str:
        return f"{self.node} (from {format_db(self.before_db, 1)} to {format_db(self.sqnr_db, 1)} dB)"


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
    left_out: dict[str, int]  # operations that compute nothing, by op and reason
    how: dict[str, int]
    as_served: bool  # logits of one film are bit for bit those of the interpreter that serves
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
    """Every operation of every file."""

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
        return sorted(self.of(kind), key=lambda row: _nan_lowest(row.sqnr_db))[:most]

    def fault(self, kind: str, *, integer: bool = False) -> LayerRow | None:
        """Return the node at which the most is lost; None where no drop is worth naming.

        Args:
            kind: one of `kinds`.
            integer: consider only what a file computes in integers. (ReLU patterns only follow their inputs.)
        """
        rows = [row for row in self.of(kind) if not row.relu_pattern and (row.integer or not integer)]
        found = max(rows, key=lambda row: row.drop_db, default=None)
        return found if found is not None and found.drop_db >= WORTH_NAMING_DB else None

    def sentences(self) -> list[str]:
        """Return, for each kind, where it loses most and what to try."""
        return [self._sentence(one.kind, one.precision) for one in self.coverage]

    def _sentence(self, kind: str, precision: str) -> str:
        """Return it with advice on what to keep in float beside the head, which naming a node replaces as default.

        That is the worst node, or the worst integer node where the worst is float already.
        """
        row, integer = self.fault(kind), self.fault(kind, integer=True)
        if row is None:
            return f"{kind} loses nothing worth naming at any single node (no drop of {WORTH_NAMING_DB:.0f} dB)"
        text = f"{kind} loses most at {row}"
        if precision == "float32":
            return f"{text}: a float32 file should not; convert again, and verify"
        if precision != "int8":
            return text
        if integer is None:
            return f"{text}, which is float already"
        also = "" if integer is row else f", which is float already; of the integer nodes, at {integer}"
        return f"{text}{also}: try tbconv convert RUN --out BUNDLE --keep-float head --keep-float {integer.node}"

    def to_json(self) -> dict[str, Any]:
        """Return plain values; `exact` marks a level that is infinite, and so null in JSON."""
        return {
            "films": self.films,
            "description": self.description,
            "kernels": self.kernels,
            "reference": "model.onnx in ONNX Runtime, unoptimised, every tensor an output",
            "coverage": [plain(asdict(one)) for one in self.coverage],
            "rows": [plain(asdict(one) | {"exact": math.isinf(one.sqnr_db)}) for one in self.rows],
            "sentences": self.sentences(),
            "seconds": round(self.seconds, 1),
        }


def verify_layers(config: WalkConfig, reporter: Reporter) -> LayersReport:
    """Measure every TFLite file of a bundle node by node, and write layers.json, layers.csv and layers.png.

    Raises:
        BundleError: no bundle, or one without a trained network.
        ArtefactError: a file that is compared is missing or altered.
        DataError: the folder holds no film that can be read.
    """
    start = time.monotonic()
    bundle = read_bundle(config.bundle)
    artefacts = choose_artefacts(bundle, config, ("tflite",))
    require_graph(bundle)
    artefacts.sort(key=lambda one: KINDS.index(one.precision) if one.precision in KINDS else len(KINDS))
    model_inputs, description = read_model_inputs(config, bundle, reporter, most=FILMS)
    with temporary_folder("layers") as folder, workers():
        files = _measure(bundle, artefacts, model_inputs, folder, reporter, xnnpack=config.xnnpack)
    report = LayersReport(
        rows=tuple(row for one in files for row in one.rows()),
        coverage=tuple(one.coverage() for one in files),
        films=len(model_inputs),
        description=description,
        kernels="XNNPACK" if config.xnnpack else "LiteRT built-in",
        seconds=time.monotonic() - start,
    )
    if config.out is not None:
        write_report(config.out, "layers", report.to_json(), {"csv": _csv(report), "png": _figure(report)})
    return report


def _measure(
    bundle: Bundle,
    artefacts: list[Artefact],
    model_inputs: NDArray[np.uint8],
    folder: Path,
    reporter: Reporter,
    *,
    xnnpack: bool,
) -> list[_Measured]:
    """Match operations with nodes on the last film alone, then sum up the differences on the others."""
    onnx, rest = bundle.path("model.onnx"), model_inputs[:-1]
    parts = [model_inputs[-1:], *(rest[start : start + AT_ONCE] for start in range(0, len(rest), AT_ONCE))]
    graph, names = LayerGraph(()), None
    answers: dict[str, dict[str, Any]] = {}
    sums: dict[str, dict[str, Sums]] = {one.path: {} for one in artefacts}
    for part in reporter.track(parts, title="layers", total=len(parts)):
        reference = write_reference(onnx, part, folder, names)
        for one, job in walk(bundle, artefacts, reference, sums=folder, xnnpack=xnnpack, known=answers.copy()):
            answer = job.result()
            with np.load(folder / f"{one.path}.npz", allow_pickle=False) as arrays:
                sums[one.path] = add_sums(sums[one.path], {key: Sums.of(arrays[key]) for key in arrays.files})
            if one.path not in answers:
                answers[one.path] = answer
                reporter.say(f"{one.path}: {len(answer['matches'])} operations matched")
        if names is None:
            graph, names = (
                reference.graph,
                sorted({one["node"] for file in answers.values() for one in file["matches"]}),
            )
    return [_Measured(one, graph, answers[one.path], sums[one.path]) for one in artefacts]


class _Measured:
    """One TFLite file, its operations, the nodes that they end in, and the sums over all films."""

    def __init__(self, artefact: Artefact, nodes: LayerGraph, answer: dict[str, Any], sums: dict[str, Sums]) -> None:
        self._artefact, self._nodes, self._sums = artefact, nodes, sums
        self._file = LayerGraph.from_json(answer["operations"])
        self._matches = [Match(**one) for one in answer["matches"]]
        self._as_served = bool(answer["as_served"])
        self._kind = Path(artefact.path).stem.removeprefix("model_")
        self._harmless_db = HARMLESS_DB.get(artefact.precision, HARMLESS_8_BIT_DB)

    def coverage(self) -> Coverage:
        """Return how much of it was compared."""
        skipped = Counter(f"{one.op}: {one.skipped}" for one in self._file.operations if one.skipped is not None)
        covered = covered_nodes(self._matches, self._nodes, self._file)
        return Coverage(
            kind=self._kind,
            path=self._artefact.path,
            precision=self._artefact.precision,
            harmless_db=self._harmless_db,
            operations=len(self._file.compute),
            matched=len(self._matches),
            nodes=len(self._nodes.compute),
            covered=len(covered & {one.key for one in self._nodes.compute}),
            left_out=dict(sorted(skipped.items())),
            how=dict(Counter(match.how for match in self._matches)),
            as_served=self._as_served,
            lowest_agreement=min((one.agreement for one in self._matches), default=0.0),
        )

    def rows(self) -> Iterator[LayerRow]:
        """Yield the row of each matched operation; one value less its mean leaves nothing to compare."""
        order = {one.key: place for place, one in enumerate(self._nodes.operations)}
        alone = {key for key, one in self._sums.items() if one.count.max() < LEAST_COUNT}
        matches = [one for one in self._matches if not (one.before_bias and one.operation in alone)]
        evened = self._kind == "int8"
        noise = {
            one.operation: judge_noise(self._sums[one.operation], before_bias=one.before_bias, evened=evened)
            for one in matches
        }
        levels = {INPUT: math.inf} | {key: one.sqnr_db for key, one in noise.items()}
        known, inputs, limit = self._file.by_key, self._file.inputs(), self._harmless_db
        for match in matches:
            found, operation = noise[match.operation], known[match.operation]
            before = (levels[key] for key in inputs[match.operation] if key in levels)
            before_db = min(before, default=math.inf, key=_nan_lowest)
            yield LayerRow(
                kind=self._kind,
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
                before_db=before_db,
                drop_db=_within(before_db, limit) - _within(found.sqnr_db, limit),
                relu_pattern=operation.op in COMPARISONS,
                integer=operation.integer,
            )


def _within(level: float, limit: float) -> float:
    return max(min(_nan_lowest(level), limit), -limit)


def _nan_lowest(level: float) -> float:
    return -math.inf if math.isnan(level) else level


# --- table ---
# layers.csv, and the lines for a terminal.

HEAD = f"{'':2}{'node':32} {'ends in':16} {'SQNR dB':>8} {'before':>8} {'drop':>6}"


def _csv(report: LayersReport) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, [one.name for one in fields(LayerRow)])
    writer.writeheader()
    writer.writerows({key: _csv_cell(value) for key, value in asdict(row).items()} for row in report.rows)
    return text.getvalue().encode()


def _csv_cell(value: Any) -> Any:
    """Return a value as a spreadsheet takes it for what it is: names of nodes are others', and =... is a formula."""
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def layer_lines(report: LayersReport) -> list[str]:
    """Return the lines for a terminal: what was compared, the ten worst nodes of each kind, where it is lost."""
    lines = [
        f"node by node against model.onnx, {report.description}, {report.kernels} kernels, {report.seconds:.0f} s",
        "SQNR of the accumulated error; drop: from the worst input, counted only below the harmless level",
    ]
    for coverage in report.coverage:
        lines += ["", *_coverage_lines(coverage), HEAD, *(_row_line(row) for row in report.worst(coverage.kind))]
    return [*lines, "", *report.sentences()]


def _coverage_lines(one: Coverage) -> list[str]:
    matched = f"{one.matched} of {one.operations} computing operations matched ({one.matched_share:.1%})"
    covered = f"{one.covered} of {one.nodes} computing ONNX nodes covered ({one.covered_share:.1%})"
    served = f"the logits {'are' if one.as_served else 'are NOT'} bit for bit the served ones"
    reasons: dict[str, list[str]] = {}
    for name, count in one.left_out.items():
        op, why = name.split(": ", 1)
        reasons.setdefault(why, []).append(f"{count} {op}")
    left_out = [f"  left out: {', '.join(ops)} ({why})" for why, ops in reasons.items()]
    return [f"{one.kind} ({one.path}): {matched}, {covered}; {served}", *left_out]


def _row_line(row: LayerRow) -> str:
    notes = [
        note for note, holds in (("before its bias", row.before_bias), ("ReLU pattern", row.relu_pattern)) if holds
    ]
    if row.rescaled:
        low, high = row.scales
        notes.append(f"rescaled by {low:.2g} to {high:.2g}, {format_db(row.as_is_db, 1)} as it is")
    levels = f"{format_db(row.sqnr_db, 1):>8} {format_db(row.before_db, 1):>8} {row.drop_db:6.1f}"
    return f"  {row.node:32} {row.op:16} {levels} {'; '.join(notes)}".rstrip()


# --- figure ---
# layers.png: SQNR by node in the order of the graph, one line a kind.

# Okabe and Ito's colours, each with a dash: distinct for colour-blind readers, and in grey.
STYLES = {
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


def _figure(report: LayersReport) -> bytes:
    """Return a PNG with one line a kind over the nodes; it names where each loses most, and where it is worst."""
    from matplotlib.figure import Figure

    places = {row.node: row.place for row in report.rows}
    nodes = sorted(places, key=places.__getitem__)
    figure = Figure(figsize=(14, 7), layout="constrained")  # draws without a display
    axes, spare, labels = figure.subplots(), itertools.cycle(SPARE), []
    for coverage in report.coverage:
        colour, dash = STYLES.get(coverage.kind) or next(spare)
        rows = [row for row in report.of(coverage.kind) if not row.before_bias]
        points = sorted((nodes.index(row.node), row.drawn_db) for row in rows)
        axes.plot([x for x, _ in points], [y for _, y in points], dash, marker=".", color=colour, label=coverage.kind)
        fault = report.fault(coverage.kind)
        low = [row for row in rows if not row.relu_pattern and row.drawn_db < coverage.harmless_db]
        named = [*reversed(sorted(low, key=lambda row: row.drawn_db)[:WORST]), *([fault] if fault else [])]
        labelled = {row.node: row for row in named}.values()
        labels += [(nodes.index(row.node), row.drawn_db, row.node, colour) for row in labelled]
    _write_labels(axes, labels, len(nodes))
    marks = _stages(nodes)
    axes.set_xticks(list(marks), list(marks.values()), rotation=90, fontsize=8)
    axes.set(ylabel="SQNR against ONNX (dB)", xlabel="node, in the order of the graph")
    axes.set(ylim=(min((label[1] for label in labels), default=0.0) - 25, EXACT_DB + 8), xlim=(-2, len(nodes) + 1))
    title = f"Noise node by node, {report.kernels} kernels, {report.description} (exact: drawn at 150 dB)"
    axes.set_title(title, fontsize=10)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, ncols=len(report.coverage), loc="lower left")
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=DPI)
    return png.getvalue()


def _write_labels(axes: Any, labels: list[tuple[int, float, str, str]], count: int) -> None:
    """Write names: of the last fifth of the nodes in the right margin, of others below their point."""
    last = -math.inf
    for x, y, node, colour in sorted(labels, key=lambda label: label[1]):
        style = {"fontsize": 8, "color": colour, "arrowprops": {"arrowstyle": "-", "color": colour, "lw": 0.6}}
        text = f"{node}, {y:.0f} dB"
        if x < 0.8 * count:
            axes.annotate(text, (x, y), (x, y - 11), ha="left", **style)
            continue
        last = max(y, last + GAP_DB)
        axes.annotate(text, (x, y), (count + 2, last), va="center", annotation_clip=False, **style)


def _stages(nodes: list[str]) -> dict[int, str]:
    """Return a tick where a block of the body, the head, or what comes before them begins."""
    marks: dict[int, str] = {}
    for index, node in enumerate(nodes):
        parts = node.split(".")
        head = "head" if "stem" in marks.values() else "input"
        block = ".".join(parts[1:3]) if len(parts) > 3 else "stem"
        stage = block if parts[0] == "body" else head
        if stage not in marks.values():
            marks[index] = stage
    return marks
