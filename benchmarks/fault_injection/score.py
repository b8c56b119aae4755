"""The score: how many live mutants were caught, how many were placed rightly, and what that says of all others."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.fault_injection.checks import CHECKS, TRACE
from benchmarks.fault_injection.faults.fault import GRAPH_LEVELS, LEVELS
from benchmarks.fault_injection.result import Result
from tbconv.contract.statistics import upper_bound


@dataclass(frozen=True, slots=True)
class Clean:
    """What the checks said of conversions without any fault."""

    small: int = 0  # seeds of the small network
    resnet50: int = 0  # seeds of ResNet50
    alarms: tuple[str, ...] = ()  # seed, check, file and reason
    prices: tuple[str, ...] = ()  # reduced files that flip too many decisions, as random weights may make them


@dataclass(frozen=True, slots=True)
class Score:
    """All results and what they add up to."""

    results: tuple[Result, ...]
    noise: dict[str, float]
    clean: Clean = field(default_factory=Clean)

    @property
    def counted(self) -> tuple[Result, ...]:
        """Live mutants."""
        return tuple(one for one in self.results if one.counted)

    @property
    def missed(self) -> tuple[Result, ...]:
        """Live mutants that no check minded."""
        return tuple(one for one in self.counted if not one.mutant.caught)

    @property
    def dead(self) -> tuple[Result, ...]:
        """Mutants that moved nothing and are not listed as equivalent."""
        return tuple(one for one in self.results if not one.mutant.live and not one.fault.equivalent)

    @property
    def wrong_equivalents(self) -> tuple[Result, ...]:
        """Equivalents that moved a film, or that a check of answers minded; the trace may name a node that differs."""
        of = (one for one in self.results if one.fault.equivalent)
        return tuple(one for one in of if one.mutant.live or set(one.mutant.caught) - {TRACE})

    @property
    def asked(self) -> tuple[Result, ...]:
        """Live mutants whose node the trace was asked for."""
        return tuple(one for one in self.counted if one.fault.level in GRAPH_LEVELS and one.mutant.right is not None)

    @property
    def misplaced(self) -> tuple[Result, ...]:
        """Of those, the ones that were placed wrongly or not at all."""
        return tuple(one for one in self.asked if not one.mutant.right)

    @property
    def passed(self) -> bool:
        """Whether live mutants were seeded, every one was caught, and nothing else raised an alarm."""
        return bool(self.counted) and not (self.missed or self.dead or self.wrong_equivalents or self.clean.alarms)

    @property
    def bound(self) -> float:
        """The share of such mutants that may be missed, at 95 % confidence (Clopper-Pearson, one-sided)."""
        return upper_bound(len(self.missed), len(self.counted))

    def by_level(self) -> list[tuple[str, int, int, int, int]]:
        """Return level, live, caught, asked to be placed, placed, of each level with a mutant."""
        rows = []
        for level in LEVELS:
            live = [one for one in self.counted if one.fault.level == level]
            asked = [one for one in self.asked if one.fault.level == level]
            caught, right = sum(bool(one.mutant.caught) for one in live), sum(bool(one.mutant.right) for one in asked)
            if live:
                rows.append((level, len(live), caught, len(asked), right))
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
            "asked_to_be_placed": len(self.asked),
            "misplaced": {one.fault.name: one.mutant.named for one in self.misplaced},
            "noise": self.noise,
            "clean": asdict(self.clean),
            "mutants": [one.to_json() for one in self.results],
        }
