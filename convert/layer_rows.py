"""What `verify --layers` found, as rows: the noise at each node, and where it came in.

numpy free. A drop is counted only below what the kind keeps at its best, so that the first
rounding to 8 bits, which harms nothing, is not taken for the fault.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from convert.layer_graph import INPUT, LayerGraph
from convert.layer_match import Match
from convert.layer_noise import Noise

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
