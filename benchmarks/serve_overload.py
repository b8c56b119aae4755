"""What happens when more comes than can be answered: who is in is served as fast as before, the rest is told at once.

Capacity is what a closed loop reaches. Both loads are Poisson and open, at 1 x and at 4 x of it, so that the
queue before the workers is met as clients meet it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.serve_load import Answer, closed_loop, open_loop, polled
from benchmarks.serve_process import Running

TIMES = 4
HEALTH = "/v2/health/live"
SETTLED_S = 2.0  # seconds after which memory is compared: the first full queue grows what is kept for the next


@dataclass(frozen=True, slots=True)
class Load:
    """One load and what became of it."""

    rate: float  # requests a second that were sent
    answers: tuple[Answer, ...]
    health: tuple[Answer, ...]
    megabytes: tuple[float, ...]  # resident, every 0.05 s

    @property
    def statuses(self) -> Counter[int]:
        """How often each status came; 0 is no answer."""
        return Counter(answer.status for answer in self.answers)

    def p99_ms(self, status: int) -> float:
        """Return the 99th percentile of the time to an answer of that status, in ms; NaN where none came."""
        return percentile_ms([answer for answer in self.answers if answer.status == status], 99)

    @property
    def health_p99_ms(self) -> float:
        """The 99th percentile of the time to an answer of liveness, in ms."""
        return percentile_ms(self.health, 99)

    @property
    def growth(self) -> float:
        """The last quarter's resident memory over the first quarter's, medians."""
        quarter = max(1, len(self.megabytes) // 4)
        return float(np.median(self.megabytes[-quarter:]) / np.median(self.megabytes[:quarter]))

    @property
    def unexplained(self) -> int:
        """How many got neither an answer nor 503 with the word when to come again."""
        told = [one for one in self.answers if one.status == 503 and "retry-after" in one.headers]
        return len(self.answers) - self.statuses[200] - len(told)

    def slowest_ms(self, status: int) -> float:
        """Return the longest time to an answer of that status, in ms; NaN where none came."""
        return percentile_ms([answer for answer in self.answers if answer.status == status], 100)


def percentile_ms(answers: Sequence[Answer], share: float) -> float:
    """Return a percentile of the times, in ms; NaN of none."""
    return float(np.percentile([1e3 * one.seconds for one in answers], share)) if answers else float("nan")


def capacity(server: Running, raw: bytes, *, requests: int) -> float:
    """Return requests a second that a closed loop of four clients reaches."""
    answers = closed_loop(server.port, raw, requests=requests, clients=4)
    if any(answer.status != 200 for answer in answers):
        raise RuntimeError(f"capacity was measured with refusals: {Counter(one.status for one in answers)}")
    ends = [answer.at + answer.seconds for answer in answers]
    return requests / (max(ends) - min(answer.at for answer in answers))


def press(server: Running, raw: bytes, *, rate: float, seconds: float) -> Load:
    """Send requests at a rate, and watch health and memory meanwhile."""
    open_loop(server.port, raw, rate=rate, seconds=SETTLED_S)
    with polled(server.port, HEALTH) as health, server.weighed() as megabytes:
        answers = open_loop(server.port, raw, rate=rate, seconds=seconds)
    return Load(rate, tuple(answers), tuple(health), tuple(megabytes))
