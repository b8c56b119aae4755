"""Whether films change over time: mean and spread of the last 200 of a model version beside those of its first 200.

A bundle records no grey levels of the films that it was calibrated on, so what came first is the
reference. It says nothing of whether the first films were the right ones.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from tf_serve.trace import Seen

FILMS = 200  # with so many the mean of a quantity is known to a fourteenth of its spread
FIRST, LAST = f"first_{FILMS}", f"last_{FILMS}"


@dataclass(frozen=True, slots=True)
class Sums:
    """What several processes can add up, and a mean and a spread are made of."""

    n: int
    total: float
    squares: float

    @property
    def mean(self) -> float:
        """The mean."""
        return self.total / self.n

    @property
    def spread(self) -> float:
        """The standard deviation between films; 0 for one film."""
        if self.n < 2:
            return 0.0
        return float(np.sqrt(max(self.squares - self.total * self.mean, 0.0) / (self.n - 1)))


class Drift:
    """The first and the last films of one version."""

    def __init__(self) -> None:
        self._first: list[tuple[float, ...]] = []
        self._last: deque[tuple[float, ...]] = deque(maxlen=FILMS)

    def add(self, seen: Seen) -> None:
        """Take films."""
        rows = list(zip(*(values.tolist() for values in seen), strict=True))
        self._first.extend(islice(rows, FILMS - len(self._first)))
        self._last.extend(rows)

    def sums(self) -> Iterator[tuple[str, str, Sums]]:
        """Yield quantity, which films, and their sums."""
        for films, rows in ((FIRST, self._first), (LAST, self._last)):
            for quantity, values in zip(Seen._fields, np.array(rows, np.float64).T, strict=True):
                yield quantity, films, Sums(len(values), float(values.sum()), float(values @ values))
