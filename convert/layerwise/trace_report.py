"""What `verify --trace` found, file by file, as plain values; numpy free."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from convert.layerwise.noise import BUDGETS


@dataclass(frozen=True, slots=True)
class FirstBad:
    """The first node of one file whose output leaves its budget."""

    path: str  # of the artefact
    node: str  # of the reference graph; empty where the file cannot be run at all
    op: str
    shape: tuple[int, ...]  # of its output for one film, as the reference has it: places, channels
    error_db: float  # the worst channel's (convert.layerwise.noise); NaN where there is no number
    feeds: tuple[str, ...]  # nodes that read it
    reason: str  # what kind of error it is, and what to look at
    before_db: float = math.nan  # the worst level of what it reads; inf at the film
    one_of: tuple[str, ...] = ()  # nodes that the fault may lie in: it, and those fused into it
    given: tuple[int, ...] = ()  # shape that the file gave, where that is another


@dataclass(frozen=True, slots=True)
class FileTrace:
    """One file of the bundle."""

    path: str
    precision: str
    nodes: int  # of the reference graph that compute something
    seen: int  # of them, those of which a tensor was compared
    levels: dict[str, float]  # dB by node, in the graph's order
    largest_drop: float | None  # from the worst level that a node reads to its own, in dB; None where none can be told
    first: FirstBad | None
    note: str = ""  # what could not be looked at, and why

    def to_json(self) -> dict[str, Any]:
        """Return plain values; what is not finite is null, and `exact` counts the nodes that differ in nothing."""
        exact = sum(value == math.inf for value in self.levels.values())
        fields: dict[str, Any] = plain(asdict(self) | {"exact": exact, "clean": self.first is None})
        return fields


@dataclass(frozen=True, slots=True)
class TraceReport:
    """All of it."""

    files: tuple[FileTrace, ...]
    films: int
    description: str
    proof_db: dict[str, float]  # the reference's outputs against PyTorch eager
    noise_db: dict[str, float]  # by node: how far last bits alone move it
    seconds: float

    @property
    def found(self) -> tuple[FirstBad, ...]:
        """The first bad node of each file that has one."""
        return tuple(one.first for one in self.files if one.first is not None)

    @property
    def clean(self) -> tuple[str, ...]:
        """Paths of the files of which every node seen is within its budget."""
        return tuple(one.path for one in self.files if one.first is None)

    @property
    def passed(self) -> bool:
        """Whether files were looked into, and none has a bad node."""
        return bool(self.files) and not self.found

    def to_json(self) -> dict[str, Any]:
        """Return plain values ready for JSON."""
        return {
            "passed": self.passed,
            "films": self.films,
            "description": self.description,
            "reference": "exported anew from weights.safetensors, ONNX Runtime unoptimised, its ends held to PyTorch",
            "proof_db": plain(self.proof_db),
            "noise_db": plain(self.noise_db),
            "found": [plain(asdict(one)) for one in self.found],
            "files": [one.to_json() for one in self.files],
            "seconds": round(self.seconds, 1),
        }


def plain(value: Any) -> Any:
    """Return a value in which whatever is not finite is None."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


# --- trace table ---
# The lines of `verify --trace` for a terminal: one a file, and what to look at behind a bad one.

MOST_NAMES = 6  # fused nodes or readers spelt out in a line


def trace_lines(report: TraceReport) -> list[str]:
    """Return the lines for a terminal."""
    proof = ", ".join(f"{name} {decibels(value)}" for name, value in report.proof_db.items())
    lines = [
        f"node by node from the input on, {report.description}, {report.seconds:.0f} s",
        f"reference: the weights exported anew, ONNX Runtime unoptimised; held to PyTorch: {proof}",
        *_rounding(report),
        "",
    ]
    width = max((len(one.path) for one in report.files), default=0)
    for one in report.files:
        lines += _file(one, width)
    return lines


def _rounding(report: TraceReport) -> list[str]:
    """Return what is to be known of a network that rounds more than those which the budgets were set on."""
    node, noise = min(report.noise_db.items(), key=lambda pair: pair[1], default=("", math.inf))
    given = {name: budget.floor_db - budget.floor_at(noise) for name, budget in BUDGETS.items()}
    if not max(given.values()) > 0:
        return []
    dead = [name for name, budget in BUDGETS.items() if budget.floor_at(noise) < 0]
    passes = f"; a dead channel may pass there in {' and '.join(dead)} files" if dead else ""
    lower = ", ".join(f"{name} {value:.0f}" for name, value in given.items() if value > 0)
    return [
        f"this network amplifies its rounding: other last bits alone bring {node} to {decibels(noise)}",
        f"  floors of such nodes are lower by as much, in dB at most: {lower}{passes}",
    ]


def _file(one: FileTrace, width: int) -> list[str]:
    looked = f"{one.seen} of {one.nodes} computing nodes seen"
    note = [f"  {one.note}"] if one.note else []
    if one.first is None:
        real = [value for value in one.levels.values() if value != math.inf]
        lowest = f"lowest {decibels(min(real))}" if real else "none differs"
        return [f"{one.path:{width}}  clean: {looked}, {lowest}", *note]
    if not one.first.node:
        return [f"{one.path:{width}}  BAD: {one.first.reason}", *note]
    return [f"{one.path:{width}}  FIRST BAD {one.first.node}", *_details(one.first), *note]


def _details(bad: FirstBad) -> list[str]:
    places, channels = bad.shape
    given = f", given {bad.given[0]} x {bad.given[1]}" if bad.given else ""
    fused = f"  one of: {_names(bad.one_of)}" if len(bad.one_of) > 1 else ""
    level = f"{decibels(bad.error_db)} here, {decibels(bad.before_db)} in what it reads"
    return [
        f"  {bad.op}, {places} places x {channels} channels{given}; {level}",
        *([fused] if fused else []),
        f"  feeds {_names(bad.feeds) or 'no other node: an output'}",
        f"  {bad.reason}",
    ]


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more


def decibels(value: float) -> str:
    """Return a level as it is printed: whole dB, for a few films support no more."""
    if value == math.inf:
        return "exact"
    return "no number" if math.isnan(value) else f"{round(value)} dB"
