"""What became of one fault: whether it was live, which checks minded it, and where the trace put it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.fault_injection.checks import TRACE
from benchmarks.fault_injection.faults.fault import Fault

LIVE = 10.0  # times the noise of correct float32 runs


@dataclass(frozen=True, slots=True)
class Rung:
    """One size of a fault."""

    severity: float
    times: float  # the noise of correct float32 runs; infinity where there is no answer, or no number in it
    caught: dict[str, str] = field(default_factory=dict)  # by check, why
    named: str | None = None  # the node that the trace names
    right: bool | None = None  # whether that is the spoilt one; None where it was not asked

    @property
    def live(self) -> bool:
        """Whether some film's answer moves by more than ten times the noise."""
        return self.times > LIVE


@dataclass(frozen=True, slots=True)
class Result:
    """One fault at all its sizes; the first is the mutant that is counted."""

    fault: Fault
    rungs: tuple[Rung, ...]

    @property
    def mutant(self) -> Rung:
        """The size that stands in the table."""
        return self.rungs[0]

    @property
    def counted(self) -> bool:
        """Whether it counts towards the score: live, and not listed as equivalent."""
        return self.mutant.live and not self.fault.equivalent

    def smallest(self, *, caught: bool) -> float | None:
        """Return the severity of the least moving rung that is live, or that is live and caught; None without any."""
        found = [one for one in self.rungs if one.live and (one.caught or not caught)]
        return min(found, key=lambda one: one.times).severity if found else None

    def to_json(self) -> dict[str, Any]:
        """Return everything, ready for JSON, which knows no infinity."""
        fault = self.fault
        return {
            "name": fault.name,
            "level": fault.level,
            "what": fault.what,
            "path": fault.path,
            "equivalent": fault.equivalent or None,
            "rungs": [
                {
                    "severity": one.severity,
                    "times_noise": one.times if math.isfinite(one.times) else "infinite",
                    "live": one.live,
                    "caught": one.caught,
                    "named": one.named,
                    "right": one.right,
                }
                for one in self.rungs
            ],
        }


def traced(rung: Rung, named: str, *, right: bool | None, reason: str) -> Rung:
    """Return a rung with what the trace said of it."""
    return replace(rung, caught=rung.caught | {TRACE: reason}, named=named, right=right)
