"""What comparing finds, and words for it: which difference may be another way to write the same.

EQUIVALENT rests on none of the words.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.proof.normal import K, NormalForm, Stored, Term

Array = NDArray[np.float64]
Factor = Array | None  # one a channel


@dataclass(slots=True)
class Found:
    """What comparing stored numbers found."""

    steps: float = 0.0  # the largest distance, in float32 steps, less what rounding to fewer bits explains
    halves: float = 0.0  # the largest distance in steps of a reduced type: 0.5 is one exact rounding
    second: int = 0  # integers that are the second nearest: a rounding search
    compared: int = 0
    where: str = ""  # of what is beyond, in words
    share: float = 0.0  # of the number itself, that it is off by
    unruled: bool = False  # what comes before or after may make up for it

    def merge(self, more: Found) -> None:
        """Add what another comparison found."""
        self.steps, self.halves = max(self.steps, more.steps), max(self.halves, more.halves)
        self.second, self.compared = self.second + more.second, self.compared + more.compared


@dataclass(frozen=True, slots=True)
class Declared:
    """What a file says that was done to its integers beyond rounding to the nearest."""

    searched: frozenset[str] | None = frozenset()  # tensors that a search rounded up or down; None: any, it is not told
    biases: Mapping[str, Mapping[int, int]] = field(default_factory=dict)  # by tensor: steps by channel
    integers: bool = False  # activations are integers, so channels of weights in float may have been moved as well

    @classmethod
    def told(cls, told: Mapping[str, Any], digests: Mapping[str, str]) -> Declared:
        """Return what a file tells; weights count as searched only as the search left them.

        Args:
            told: JSON of the file; one of before 2026-11-30 has no digests of weights.
            digests: SHA-256 of what each tensor holds, by its name.
        """
        biases = {name: {int(at): int(by) for at, by in rows} for name, rows in told["bias_steps"].items()}
        if told.get("rounding") != "searched":
            return cls(frozenset(), biases)
        weights: Mapping[str, str] | None = told.get("weights")
        left = None if weights is None else {name for name, digest in weights.items() if digests.get(name) == digest}
        return cls(None if left is None else frozenset(left), biases)

    def undone(self, name: str, bias: NDArray[Any]) -> NDArray[Any]:
        """Return integers of a bias as they were before whole steps were added to them, as declared."""
        by = self.biases.get(name, {})
        if not by or bias.dtype != np.int32 or bias.ndim != 1:
            return bias
        return np.asarray(bias - np.array([by.get(channel, 0) for channel in range(len(bias))]))

    @property
    def shifted(self) -> int:
        """How many biases were shifted."""
        return sum(by != 0 for row in self.biases.values() for by in row.values())

    def may_be_second(self, weights: Stored) -> bool:
        """Return whether weights may be the second nearest steps."""
        return self.searched is None or weights.name in self.searched


@dataclass(slots=True)
class TermMatch:
    """How a file's terms stand to those of the ONNX graph."""

    partners: dict[int, tuple[int, Factor]] = field(default_factory=dict)
    found: Found = field(default_factory=Found)
    first: int | None = None  # the first term without a partner
    nearest: int | None = None  # the term of the ONNX graph that it resembles most
    why: str = ""
    equalized: int = 0  # terms with factors
    unruled: bool = False  # what comes before or after may make up for it
    factors: bool = False  # for numbers are others by factors a channel

    def take(self, index: int, other: int, factor: Factor, found: Found) -> None:
        """Keep the partner of a term."""
        self.partners[index] = (other, factor)
        self.equalized += factor is not None
        self.found.merge(found)

    def end(self, index: int, alike: tuple[int | None, str], tried: list[tuple[int, Found]]) -> TermMatch:
        """Keep the first term without a partner, and the best of those that have other numbers in its place."""
        self.first, (self.nearest, self.why), self.unruled = index, alike, True
        if tried:
            self.nearest, found = min(tried, key=lambda one: one[1].steps)
            self.why, self.unruled = found.where, found.unruled
            self.factors = found.unruled and found.where.startswith("weight")
        return self

    def fail(self, first: int | None, nearest: int | None, why: str) -> None:
        """Keep the output that differs, and the term of the ONNX graph that it should be."""
        self.first, self.nearest, self.why = first, nearest, why

    def end_otherwise(self, first: int, nearest: int | None, name: str, ended: Term, wanted: Term | None) -> None:
        """Keep how an output ends, and how it should; `wanted` is None where it is the right term in another order."""
        if wanted is None:
            self.fail(first, nearest, f"output {name} is {ended.name} in another order or place")
        else:
            why = f"output {name} ends with {ended.kind}, in the ONNX graph {wanted.kind} ({wanted.name})"
            self.fail(first, nearest, why)


@dataclass(slots=True)
class Far:
    """Numbers of a file beside what they should be, each array of the same sizes."""

    right: Array
    stored: Array
    distance: Array
    coarse: Array  # the step of a reduced type, 0 of float32
    fine: Array  # the step of float32
    beyond: Array  # distance in float32 steps, less what rounding to a reduced type explains

    @property
    def halves(self) -> float:
        """The largest distance in steps of a reduced type."""
        if not self.coarse.any():
            return 0.0
        reduced = (self.coarse > K * self.fine) & (self.distance > 0)
        found = np.divide(self.distance, self.coarse, out=np.zeros_like(self.distance), where=reduced)
        return float(found.max(initial=0))


def words_of(what: str, far: Far, start: int) -> tuple[str, float]:
    """Return where the farthest number is and how far, and its distance as a share of itself.

    Args:
        what: the numbers are.
        far: a block of them.
        start: of the block, in the last axis.
    """
    at: Any = np.unravel_index(int(far.beyond.argmax()), far.beyond.shape)
    place = [int(one) for one in at]
    if place and far.beyond.shape[-1] > 1:
        place[-1] += start
    right, stored, distance = float(far.right[at]), float(far.stored[at]), float(far.distance[at])
    unit, name = (far.coarse, "its own") if far.coarse[at] > 0 else (far.fine, "float32")
    steps = distance / float(unit[at])
    words = f"{steps:,.4g} {name} steps" if math.isfinite(steps) else "not finite"
    share = distance / abs(right) if right else math.inf
    return f"{what}{place} is {stored:.9g}, the ONNX graph's is {right:.9g}: {words}", share


def look_alike(onnx: NormalForm, term: Term, inputs: list[int]) -> tuple[int | None, str]:
    """Return the term of the ONNX graph that a term without a partner resembles, and what it does instead.

    Args:
        onnx: the graph.
        term: of a file.
        inputs: the partners of what it reads.
    """
    there = [(at, one) for at, one in enumerate(onnx.terms) if one.inputs and set(inputs) & set(one.inputs)]
    same = next((each for each in there if each[1].kind == term.kind), None)
    if same is None:
        kinds = sorted({f"{one.kind} ({one.name})" for _, one in there}) or ["nothing"]
        return None, f"{term.kind} reads what in the ONNX graph {', '.join(kinds[:3])} reads"
    wanted = f"{_facts(same[1])} of {list(same[1].shape)}"
    return same[0], f"{term.kind} {_facts(term)} of {list(term.shape)}, in the ONNX graph {wanted}"


def _facts(term: Term) -> str:
    stored = [f"{name} {list(one.base.shape)}" for name, one in term.stored.items()]
    return " ".join(map(str, (*term.facts, *stored))) or "as it is"


def only_factors(wanted: Stored, value: Stored, least: float) -> bool:
    """Whether weights are the ONNX graph's times other factors a channel, of what they give or of what they read.

    Then what comes before or after may make up for them, and the file may be written in another way.

    Args:
        wanted: the ONNX graph's.
        value: the file's.
        least: how far the factors of most channels have to be from 1; a few others are a fault.
    """
    one, other = wanted.values, value.values
    step = (np.zeros(()) if value.step is None else value.step) + 1e-5 * np.abs(other)
    for axis in range(one.ndim - 2, one.ndim):
        others = tuple(at for at in range(one.ndim) if at != axis)
        factor = (one * other).sum(others, keepdims=True) / np.maximum(np.square(one).sum(others, keepdims=True), 1e-30)
        if np.median(np.abs(factor - 1)) > least and (np.abs(other - one * factor) <= step).all():
            return True
    return False
