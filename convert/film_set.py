"""What is fed, in one order that everything relies on: films, golden inputs, probes near the threshold."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from convert.runners.child import Answer
from tbconv.contract.classifier import Prediction

SAMPLE = 32  # films that built-in kernels answer: they take four times as long


def _no_probes() -> NDArray[np.uint8]:
    return np.zeros((0, 224, 224), np.uint8)


@dataclass(frozen=True, slots=True)
class FilmSet:
    """Films that decisions are counted on, golden inputs that values are compared on, probes that may flip."""

    description: str  # "512 held-out films of the run"
    films: NDArray[np.uint8]  # [N, 224, 224]; may be empty
    labels: NDArray[np.int64] | None  # [N], 1 positive
    golden: NDArray[np.uint8]  # [M, 224, 224]; may be empty
    golden_names: tuple[str, ...] = ()
    probes: NDArray[np.uint8] = field(default_factory=_no_probes)  # [P, 224, 224]; near the threshold

    @property
    def together(self) -> NDArray[np.uint8]:
        """Films first, golden inputs behind them, probes last."""
        return np.concatenate([self.films, self.golden, self.probes])

    @property
    def count(self) -> int:
        """How many inputs there are together."""
        return len(self.films) + len(self.golden) + len(self.probes)

    @property
    def sample(self) -> NDArray[np.int64]:
        """Rows of `together` that slow witnesses answer: 32 films evenly spread, every golden input and probe."""
        films = evenly(np.arange(len(self.films)), SAMPLE)
        return np.concatenate([films, np.arange(len(self.films), self.count)])


def evenly[Rows: np.generic](rows: NDArray[Rows], most: int) -> NDArray[Rows]:
    """Return at most so many of the rows of an array, every n-th one, in their order."""
    return rows if len(rows) <= most else rows[np.arange(most) * len(rows) // max(most, 1)]


def part_of(answer: Prediction, start: int, end: int | None) -> Answer:
    """Return the answers to the films from `start` to `end`."""
    return pick(answer, np.arange(len(answer.logits))[start:end])


def pick(answer: Prediction, rows: NDArray[np.int64]) -> Answer:
    """Return the answers to some of the films; a row that is not there is left out."""
    rows = rows[rows < len(answer.logits)]
    locks = getattr(answer, "locks", None)
    return Answer(
        answer.logits[rows],
        answer.probability[rows],
        None if answer.evidence is None else answer.evidence[rows],
        None if locks is None else locks[rows],
    )
