"""What was measured as figures, and which of them have a bar to hold (docs/serving-speed.md)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.serve_lifecycle import End, Start, Swap
from benchmarks.serve_overload import TIMES, Load
from benchmarks.serve_throughput import BARE, FILM, INFER, INFER_FILM, SCREEN, TENSOR, Speed

SHARE = 0.9  # of the bare loop's films a second
PEER = 1.0  # of the best peer's
TAIL = 2.0  # times the p99 at capacity
REFUSED_MS = 50.0
HEALTH_MS = 50.0
FLAT = 1.05  # times the memory at the beginning; resident memory of an idle server moves by less
READY_S = 2.0
RESIDENT_MB = 220.0
SWAP_PEAK = 1.6


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure."""

    what: str
    value: float  # the median where there are several
    unit: str
    low: float = float("nan")
    high: float = float("nan")
    n: int = 1
    bar: str = ""  # in words; empty where there is none
    met: bool | None = None

    @property
    def sentence(self) -> str:
        """Say it in a line."""
        spread = f" ({self.low:.3g} to {self.high:.3g}, n = {self.n})" if np.isfinite(self.low) else f" (n = {self.n})"
        held = f"; bar {self.bar}: {'met' if self.met else 'MISSED'}" if self.bar else ""
        return f"{self.what}: {self.value:.4g} {self.unit}{spread}{held}"

    def row(self, part: str) -> dict[str, Any]:
        """Return it as columns."""
        met = "" if self.met is None else str(self.met).lower()
        numbers = {name: _rounded(getattr(self, name)) for name in ("value", "low", "high")}
        return {"part": part, "what": self.what, "unit": self.unit, **numbers, "n": self.n, "bar": self.bar, "met": met}


def of_speeds(speeds: Sequence[Speed]) -> Iterator[Figure]:
    """Give each contender's speed and CPU time, and our shares of the loop's and of the best peer's."""
    for one in speeds:
        yield _spread(f"{one.name} ({one.given})", one.films_a_second, "films/s")
        yield _spread(f"{one.name} ({one.given}), CPU", one.cpu_ms, "ms/film")
    by = {(one.name, one.given): one for one in speeds}
    full, invoke = by[BARE[FILM], FILM], by[BARE[TENSOR], TENSOR]
    for name, given, loop in ((SCREEN, FILM, full), (INFER_FILM, FILM, full), (INFER, TENSOR, full)):
        yield _at_least(f"{name} / {loop.name}", by[name, given].share_of(loop), SHARE)
    yield _spread(f"{INFER} / {invoke.name}", by[INFER, TENSOR].share_of(invoke), "x")
    for name, given in ((SCREEN, FILM), (INFER_FILM, FILM), (INFER, TENSOR)):
        for peer in speeds:
            if peer.given == given and peer.name not in (*BARE.values(), SCREEN, INFER, INFER_FILM):
                yield _at_least(f"{name} / {peer.name} ({given})", by[name, given].share_of(peer), PEER)


def of_overload(most: float, at_capacity: Load, over: Load) -> Iterator[Figure]:
    """Compare the two loads."""
    yield Figure("capacity, closed loop", most, "requests/s")
    for words, load in ((f"at {at_capacity.rate:.1f}/s", at_capacity), (f"at {over.rate:.1f}/s", over)):
        for status, word in ((200, "accepted"), (503, "refused")):
            yield Figure(f"{word} {words}, p99", load.p99_ms(status), "ms", n=load.statuses[status])
    tail = over.p99_ms(200) / at_capacity.p99_ms(200)
    n = len(over.answers)
    yield _at_most(f"p99 of accepted at {TIMES} x over that at capacity", tail, "x", TAIL, n=over.statuses[200])
    yield _at_most("p99 of refusals", over.p99_ms(503), "ms", REFUSED_MS, n=over.statuses[503])
    yield Figure("slowest refusal", over.slowest_ms(503), "ms", n=over.statuses[503])
    yield _at_most("neither answered nor told 503 and when to come again", over.unexplained, "requests", 0, n=n)
    yield _at_most(f"p99 of health at {TIMES} x", over.health_p99_ms, "ms", HEALTH_MS, n=len(over.health))
    yield _at_most("memory, last quarter over first", over.growth, "x", FLAT, n=len(over.megabytes))


def of_starts(starts: Sequence[Start]) -> Iterator[Figure]:
    """Give time and memory of starts; the bars hold for their medians."""
    ready, resident = (np.array([getattr(one, name) for one in starts]) for name in ("ready_s", "megabytes"))
    yield _at_most("ready after", float(np.median(ready)), "s", READY_S, spread=ready)
    yield _at_most("resident after 50 requests", float(np.max(resident)), "MB", RESIDENT_MB, spread=resident)


def of_end(ends: Sequence[End]) -> Iterator[Figure]:
    """Count what SIGTERM lost."""
    answered = sum(one.answered for one in ends)
    lost = [sentence for one in ends for sentence in one.lost]
    yield _at_most(f"lost at SIGTERM {dict(Counter(lost)) or ''}".strip(), len(lost), "requests", 0, n=answered)
    yield Figure("told 503 or not let in at SIGTERM", sum(one.refused for one in ends), "requests", n=answered)
    yield _at_most("exit codes other than 0", sum(one.exit_code != 0 for one in ends), "ends", 0, n=len(ends))


def of_swap(swap: Swap) -> Iterator[Figure]:
    """Count what a swap lost, and weigh it."""
    n = sum(swap.statuses.values())
    yield _at_most(f"errors in a swap {swap.errors or ''}".strip(), n - swap.statuses[200], "requests", 0, n=n)
    yield Figure("versions that answered", swap.versions, "versions", bar="2", met=swap.versions == 2)
    yield _at_most("peak memory in a swap over that before", swap.peak, "x", SWAP_PEAK)
    for word in ("before", "peak", "after"):
        yield Figure(f"resident, {word}", getattr(swap, f"{word}_mb"), "MB")


def _spread(what: str, values: NDArray[np.float64], unit: str) -> Figure:
    return Figure(what, float(np.median(values)), unit, float(values.min()), float(values.max()), len(values))


def _at_least(what: str, shares: NDArray[np.float64], bar: float) -> Figure:
    middle = float(np.median(shares))
    return Figure(
        what, middle, "x", float(shares.min()), float(shares.max()), len(shares), f">= {bar:g}", middle >= bar
    )


def _at_most(
    what: str,
    value: float,
    unit: str,
    bar: float | None = None,
    *,
    n: int = 1,
    spread: NDArray[np.float64] | None = None,
) -> Figure:
    low, high = (float("nan"),) * 2 if spread is None else (float(spread.min()), float(spread.max()))
    count = n if spread is None else len(spread)
    if bar is None:
        return Figure(what, value, unit, low, high, count)
    return Figure(what, value, unit, low, high, count, f"<= {bar:g}", bool(value <= bar))


def _rounded(value: float) -> float | str:
    return float(f"{value:.4g}") if np.isfinite(value) else ""
