"""The score: how many live mutants were caught, how many were located, and the bound that follows for others."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from benchmarks.fault_injection.checks import CHECKS, TRACE
from benchmarks.fault_injection.faults.fault import GRAPH_LEVELS, LEVELS, Fault
from tbconv.contract.statistics import upper_bound


@dataclass(frozen=True, slots=True)
class Clean:
    """What the checks found in conversions without a fault."""

    small: int = 0  # seeds of the small network
    resnet50: int = 0  # seeds of ResNet50
    alarms: tuple[str, ...] = ()  # seed, check, file and reason
    costs: tuple[str, ...] = ()  # reduced files that flip too many decisions, as random weights may make them


@dataclass(frozen=True, slots=True)
class Score:
    """All results and their sums."""

    results: tuple[Result, ...]
    noise: dict[str, float]
    clean: Clean = field(default_factory=Clean)

    @property
    def counted(self) -> tuple[Result, ...]:
        """Live mutants."""
        return tuple(one for one in self.results if one.counted)

    @property
    def missed(self) -> tuple[Result, ...]:
        """Live mutants that no check caught."""
        return tuple(one for one in self.counted if not one.mutant.caught)

    @property
    def dead(self) -> tuple[Result, ...]:
        """Mutants that moved nothing and are not listed as equivalent."""
        return tuple(one for one in self.results if not one.mutant.live and not one.fault.equivalent)

    @property
    def wrong_equivalents(self) -> tuple[Result, ...]:
        """Equivalents that moved an output, or that a check of outputs caught; the trace may name a changed node."""
        of = (one for one in self.results if one.fault.equivalent)
        return tuple(one for one in of if one.mutant.live or set(one.mutant.caught) - {TRACE})

    @property
    def traced(self) -> tuple[Result, ...]:
        """Live mutants that the trace had to locate."""
        return tuple(one for one in self.counted if one.fault.level in GRAPH_LEVELS and one.mutant.right is not None)

    @property
    def mislocated(self) -> tuple[Result, ...]:
        """Of those, the ones that were located wrongly or not at all."""
        return tuple(one for one in self.traced if not one.mutant.right)

    @property
    def passed(self) -> bool:
        """Whether live mutants were seeded, every one was caught, and nothing else raised an alarm."""
        return bool(self.counted) and not (self.missed or self.dead or self.wrong_equivalents or self.clean.alarms)

    @property
    def bound(self) -> float:
        """The share of such mutants that may be missed, at 95 % confidence (Clopper-Pearson, one-sided)."""
        return upper_bound(len(self.missed), len(self.counted))

    def by_level(self) -> list[tuple[str, int, int, int, int]]:
        """Return level, live, caught, traced, located, of each level with a mutant."""
        rows = []
        for level in LEVELS:
            live = [one for one in self.counted if one.fault.level == level]
            tried = [one for one in self.traced if one.fault.level == level]
            caught, right = sum(bool(one.mutant.caught) for one in live), sum(bool(one.mutant.right) for one in tried)
            if live:
                rows.append((level, len(live), caught, len(tried), right))
        return rows

    def by_check(self) -> list[tuple[str, int, int]]:
        """Return each check, how many live mutants it caught, and how many of them no other did."""
        rows = []
        for check in CHECKS:
            caught = [one for one in self.counted if check in one.mutant.caught]
            rows.append((check, len(caught), sum(len(one.mutant.caught) == 1 for one in caught)))
        return rows

    def without_trace(self) -> int:
        """Return how many live mutants were caught by another check than the trace."""
        return sum(bool(set(one.mutant.caught) - {TRACE}) for one in self.counted)

    def to_json(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        return {
            "passed": self.passed,
            "live": len(self.counted),
            "missed": [one.fault.name for one in self.missed],
            "dead": [one.fault.name for one in self.dead],
            "missed_share_at_most": self.bound if self.counted else None,
            "traced": len(self.traced),
            "mislocated": {one.fault.name: one.mutant.named for one in self.mislocated},
            "noise": self.noise,
            "clean": asdict(self.clean),
            "mutants": [one.to_json() for one in self.results],
        }


# --- results ---
# One fault: whether it was live, which checks caught it, and where the trace located it.

LIVE = 10.0  # times the noise of correct float32 runs


@dataclass(frozen=True, slots=True)
class Trial:
    """One size of a fault."""

    severity: float
    times: float  # the noise of correct float32 runs; infinity where there is no output, or NaN in it
    caught: dict[str, str] = field(default_factory=dict)  # by check, why
    named: str | None = None  # the node that the trace names
    right: bool | None = None  # whether that is the faulty one; None where it was not traced

    @property
    def live(self) -> bool:
        """Whether some film's output moves by more than ten times the noise."""
        return self.times > LIVE


@dataclass(frozen=True, slots=True)
class Result:
    """One fault at all its sizes; the first is the mutant that is counted."""

    fault: Fault
    trials: tuple[Trial, ...]

    @property
    def mutant(self) -> Trial:
        """The size that stands in the table."""
        return self.trials[0]

    @property
    def counted(self) -> bool:
        """Whether it counts towards the score: live, and not listed as equivalent."""
        return self.mutant.live and not self.fault.equivalent

    def smallest(self, *, caught: bool) -> float | None:
        """Return the severity of the least moving trial that is live, or that is live and caught; None without any."""
        found = [one for one in self.trials if one.live and (one.caught or not caught)]
        return min(found, key=lambda one: one.times).severity if found else None

    def to_json(self) -> dict[str, Any]:
        """Return everything, ready for JSON, which has no infinity."""
        fault = self.fault
        return {
            "name": fault.name,
            "level": fault.level,
            "what": fault.what,
            "path": fault.path,
            "equivalent": fault.equivalent or None,
            "trials": [
                {
                    "severity": one.severity,
                    "times_noise": one.times if math.isfinite(one.times) else "infinite",
                    "live": one.live,
                    "caught": one.caught,
                    "named": one.named,
                    "right": one.right,
                }
                for one in self.trials
            ],
        }


def with_trace(trial: Trial, named: str, *, right: bool | None, reason: str) -> Trial:
    """Return a trial with the finding of the trace."""
    return replace(trial, caught=trial.caught | {TRACE: reason}, named=named, right=right)
