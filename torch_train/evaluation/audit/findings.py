"""An audit's configuration and findings, and the rule that makes a figure PASS or SUSPECT."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from tbconv.contract.errors import ConfigError
from tbconv.contract.statistics import Estimate
from torch_train.data.findings import Uncertain
from torch_train.data.report import TELLS_THE_CLASS

# --- finding ---
# The result of a probe and its verdict; the one place where a figure becomes PASS or SUSPECT.

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
SLIGHTLY_TIED = 0.1  # a small one: below it a source that can be recognised does not give the label away
FEWEST = 10  # patients of each class, or films of a kind; with fewer every interval is too wide


class Verdict(StrEnum):
    """The verdict of a rule."""

    PASS = "PASS"  # noqa: S105  # no password
    SUSPECT = "SUSPECT"
    NOTED = "NOTED"  # shown, but never counted
    NOT_MEASURED = "NOT MEASURED"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one probe."""

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


def not_measured(probe: str, why: str) -> Finding:
    """Return a probe that had nothing to measure."""
    return Finding(probe, "none", Verdict.NOT_MEASURED, why)


def overall(findings: Sequence[Finding]) -> Verdict:
    """Return SUSPECT where one probe is, PASS where probes were measured and none is, else NOT MEASURED."""
    verdicts = {finding.verdict for finding in findings}
    for verdict in (Verdict.SUSPECT, Verdict.PASS):
        if verdict in verdicts:
            return verdict
    return Verdict.NOT_MEASURED


# --- config ---
# The configuration of `tbconv audit`: films by folder, a run to audit, and where the report goes.

MOST = 600  # films that a probe measures; an AUROC of 0.75 is then known to +-0.04
MOST_READ = 200  # films that the network runs on in each way, some five ways: two minutes on two quiet cores

FEWEST_FILMS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditConfig:
    """One audit. Either `data`, or both of `positive_films` and `negative_films`."""

    out: Path
    data: tuple[Path, ...] = ()  # sets with both classes; several are several sources
    positive_films: tuple[Path, ...] = ()  # folders of films of one class; each is a source
    negative_films: tuple[Path, ...] = ()
    patient: str | None = None  # regular expression on file names
    positive: str | None = None  # name of the positive class, for `data`
    label: str | None = None  # the finding that makes a film positive, where a set has several
    negative: str | None = None  # the finding or class that makes another film negative
    uncertain: Uncertain = "leave-out"
    strict: bool = False
    run: Path | None = None  # a trained run folder
    boxes: Path | None = None  # CSV: file,x_min,y_min,x_max,y_max in fractions of the film
    masks: Path | None = None  # folder of lung masks named as the films
    weights: str | None = None  # another network for the near duplicates across the split
    most: int = MOST
    most_read: int = MOST_READ
    seed: int = 0

    def __post_init__(self) -> None:
        pair = bool(self.positive_films), bool(self.negative_films)
        if bool(self.data) == any(pair) or (any(pair) and not all(pair)):
            raise ConfigError(
                "the films to audit are not specified unambiguously",
                why="either --data DIR, or both --positive-films DIR and --negative-films DIR, is needed",
                fix="tbconv audit --data DIR --out AUDIT",
            )
        self._refuse_what_would_not_be_used()
        if min(self.most, self.most_read) < FEWEST_FILMS:
            raise ConfigError(
                f"{min(self.most, self.most_read)} films are too few to audit",
                why="an AUROC of 20 against 20 films has an interval of a third of the scale",
                fix=f"--most {MOST} --most-read {MOST_READ}",
            )

    def _refuse_what_would_not_be_used(self) -> None:
        idle = [f"--{name}" for name in ("boxes", "masks", "weights") if getattr(self, name) is not None]
        if idle and self.run is None:
            raise ConfigError(
                f"{' and '.join(idle)} would not be used",
                why="they belong to the probes of a trained run, and none was given",
                fix="add --run RUN, or omit them",
            )
        if self.positive is not None and self.positive_films:
            raise ConfigError(
                "--positive would not be used",
                why="--positive-films and --negative-films already define which films are positive",
                fix="omit --positive",
            )
