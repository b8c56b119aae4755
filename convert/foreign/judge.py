"""From differences to verdicts on a foreign network's files: float32 is certified or not, the rest measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from convert.certificate import at_most
from convert.foreign.compare import Difference, Noise

CERTIFIED, MEASURED, FAILED, NOT_MADE = "CERTIFIED", "MEASURED", "FAILED", "NOT MADE"
TINY = float(np.finfo(np.float64).tiny)  # in the place of a tolerance of 0: one film whose answer is 0
FLIPS_SHARE = 0.01  # of films whose decision changes; a reduced file beyond it is not offered


@dataclass(frozen=True, slots=True)
class Judged:
    """One file, what was measured of it and what follows."""

    path: str
    format: str
    precision: str
    verdict: str
    reason: str
    outputs: tuple[Difference, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)  # bytes, seconds

    def to_json(self) -> dict[str, Any]:
        """Return the row of parity.json."""
        own = {name: getattr(self, name) for name in ("path", "format", "precision", "verdict", "reason")}
        return own | self.facts | {"outputs": [one.to_json() for one in self.outputs]}

    @property
    def worst(self) -> float:
        """The largest difference over all outputs."""
        return max((one.max_abs for one in self.outputs), default=np.inf)

    @property
    def sqnr_db(self) -> float:
        """The lowest signal to noise ratio of its outputs, in dB."""
        return min((one.sqnr_db for one in self.outputs), default=-np.inf)

    @property
    def flips(self) -> int:
        """Decisions that differ, in the output with most of them."""
        return max((one.flips for one in self.outputs), default=0)


def judge(
    path: str, kind: str, precision: str, found: list[Difference], noise: dict[str, Noise], **facts: Any
) -> Judged:
    """Return the verdict on one file that answered."""
    verdict, reason = _float32(found, noise) if precision == "float32" else _reduced(found)
    return Judged(path, kind, precision, verdict, reason, tuple(found), facts)


def _float32(found: list[Difference], noise: dict[str, Noise]) -> tuple[str, str]:
    """Certify where every output is within its tolerance and no decision changes."""
    reasons = [_problem(one) for one in found if one.problem is not None]
    for one in found:
        allowed = noise[one.output].tolerance
        if one.problem is None and not one.max_abs <= allowed:
            reasons.append(f"{one.output} differs by {one.max_abs:.2g}, allowed {allowed:.2g}")
        if one.problem is None and one.flips:
            reasons.append(f"{one.flips} of {one.samples} decisions on {one.output} differ")
    if reasons:
        return FAILED, "; ".join(reasons)
    worst = max(found, key=lambda one: one.max_abs / max(noise[one.output].tolerance, TINY))
    said = f"{worst.output} within {worst.max_abs:.2g}, allowed {noise[worst.output].tolerance:.2g}"
    return CERTIFIED, f"{said}; {_flips(worst)}"


def _reduced(found: list[Difference]) -> tuple[str, str]:
    """Say what was measured; refuse NaN, constants and more than one decision in a hundred."""
    broken = [_problem(one) for one in found if one.problem is not None]
    if broken:
        return FAILED, "; ".join(broken)
    worst = max(found, key=lambda one: (one.flips, -one.sqnr_db))
    said = f"{worst.output}: {worst.sqnr_db:.0f} dB, {_flips(worst)}"
    if worst.flips > FLIPS_SHARE * worst.samples:
        return FAILED, f"{said}; allowed {FLIPS_SHARE:.0%}: not offered"
    return MEASURED, said


def _problem(one: Difference) -> str:
    return f"{one.output}: {one.problem}"


def _flips(one: Difference) -> str:
    """Say how many decisions differ, and how many may, at 95 % confidence, on films like these."""
    return f"{one.flips} of {one.samples} decisions differ (at most {at_most(one.flips, one.samples):.1%}, 95 %)"
