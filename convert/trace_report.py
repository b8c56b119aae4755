"""What `verify --trace` found, file by file, as plain values; numpy free."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class FirstBad:
    """The first node of one file whose output leaves its budget."""

    path: str  # of the artefact
    node: str  # of the reference graph; empty where the file cannot be run at all
    op: str
    shape: tuple[int, ...]  # of its output for one film, as the reference has it: places, channels
    error_db: float  # the worst channel's (convert.trace_judge); NaN where there is no number
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
