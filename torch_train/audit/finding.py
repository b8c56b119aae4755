"""What a probe found and what its rule says of it; the one place where a figure becomes PASS or SUSPECT."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from torch_train.data.check import TELLS_THE_CLASS
from torch_train.intervals import Estimate

# Measured with `python -m benchmarks.audit` on sets of one source (delhi, nih, active against obsolete tuberculosis of
# tbx11k, phantoms) and of two (tbx11k against nih, rahman openist; rahman by itself); kermany chose PLACE_LEVEL only
LEVEL = TELLS_THE_CLASS  # AUROC of what no disease changes: frame, corner tags, the file, age and sex
# Of the greys of the film, which a disease changes too: 0.55-0.83 with one source (but 0.96 on kermany), 0.93-0.99
# with two.
GREYS_LEVEL = 0.85
# AUROC of where tags stand: 0.41-0.68 with one source, 0.97 and more (lower bound 0.945) for a letter planted in one
# class, but 0.88-0.91 on kermany, whose markers stand elsewhere for sick children. This one was set with kermany seen.
PLACE_LEVEL = 0.93
TIED_LEVEL = 0.3  # Cramer's V of label and source: a medium association by Cohen (1988)
SLIGHTLY_TIED = 0.1  # a small one: below it a source that can be told does not give the label away
FEWEST = 10  # patients of each class, or films of a kind; with fewer no interval says anything


class Verdict(StrEnum):
    """What a rule says."""

    PASS = "PASS"  # noqa: S105  # no password
    SUSPECT = "SUSPECT"
    NOTED = "NOTED"  # shown, but never counted
    NOT_ASKED = "NOT ASKED"


@dataclass(frozen=True, slots=True)
class Finding:
    """One probe's answer."""

    probe: str
    rule: str  # when it is SUSPECT, in words
    verdict: Verdict
    reason: str
    measure: str = "AUROC"
    estimate: Estimate | None = None
    level: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as audit.json holds it."""
        return {**asdict(self), "verdict": str(self.verdict)}


def above(probe: str, estimate: Estimate, *, level: float, what: str, measure: str = "AUROC") -> Finding:
    """Judge what must not be high: SUSPECT where the lower 95 % bound is above the level."""
    suspect = estimate.low is not None and estimate.low > level
    rule = f"the lower 95 % bound of the {measure} is above {level:g}"
    verdict = Verdict.SUSPECT if suspect else Verdict.PASS
    return Finding(probe, rule, verdict, what, measure, estimate, level)


def below(probe: str, estimate: Estimate, *, level: float, what: str, measure: str) -> Finding:
    """Judge what must be high: SUSPECT where the lower 95 % bound does not exceed the level."""
    suspect = estimate.low is None or estimate.low <= level
    rule = f"the lower 95 % bound of the {measure} is not above {level:g}"
    verdict = Verdict.SUSPECT if suspect else Verdict.PASS
    return Finding(probe, rule, verdict, what, measure, estimate, level)


def noted(probe: str, estimate: Estimate, *, what: str) -> Finding:
    """Return a figure that is shown and never counted."""
    return Finding(probe, "none: shown, never counted", Verdict.NOTED, what, estimate=estimate)


def not_asked(probe: str, why: str) -> Finding:
    """Return a probe that had nothing to measure."""
    return Finding(probe, "none", Verdict.NOT_ASKED, why)


def overall(findings: Sequence[Finding]) -> Verdict:
    """Return SUSPECT where one rule spoke, PASS where rules were asked and none spoke, else NOT ASKED."""
    verdicts = {finding.verdict for finding in findings}
    for verdict in (Verdict.SUSPECT, Verdict.PASS):
        if verdict in verdicts:
            return verdict
    return Verdict.NOT_ASKED
