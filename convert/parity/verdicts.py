"""From measured differences to a verdict, with every tolerance and where it comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.parity.compare import ALLOWED_DB, OR_STEP, Difference, OutputDifference
from convert.parity.decisions import SHOWN, Decisions
from tbconv.contract.certificate import ArtefactVerdict, Verdict
from tbconv.contract.statistics import IDENTITY, Prediction, lower_bound, upper_bound

TIMES_NOISE = 10.0  # times the distance of float32 PyTorch from its float64 self
FLOAT64_FILMS = 256  # of 31 films the distance to float64 had an interval of 6 dB (docs/log.md)
FLIPS_SHARE = 0.01  # of decisions that a reduced-precision file may change and still serve


# --- evidence ---
# What has to be there before anything is said: a tolerance that means something, films on both sides of a decision.
# Whatever falls short is CANNOT SAY, with what would be needed (docs/adr/0013).

# Of the largest output: half a step of float16, which has 11 bits. A file that may differ by more than one rounding to
# float16 is not shown to be a float32 file: one of half its bits would pass as well.
SCALE_SHARE = 2.0**-11
# Of the range of one output over the films. At one half an answer that is the same for every film would pass; a tenth
# is 20 dB, the same ten times by which a tolerance exceeds its noise.
SPREAD_SHARE = 0.1
# Normal errors of a tenth of the power of the distances flip a film at the usual distance once in 1,300 (3.2 standard
# deviations), and of margins that are normal about their threshold one in ten: arctan(10^(-dB / 20)) / pi. Below that
# the films that happened to be fed decide the count, not the file: 3 dB stood as 0 of 16 flips.
DECISION_DB = 10.0
# Films on each side of a decision: 0 flips of 29 bound the share of that side below 10 % at 95 % confidence.
SIDE_FILMS = 30


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What the films of one measurement allow a tolerance to be."""

    scale: float  # largest |output|
    spread: float | None  # largest range of one output over the films; None of a single film
    within: int  # decisions that a file within the tolerance could flip
    decisions: int

    @classmethod
    def of(cls, answer: NDArray[Any], decided: NDArray[Any], decisions: Decisions, tolerance: float) -> Ceiling:
        """Measure it.

        Args:
            answer: the reference's, [N, ...], that the tolerance is about.
            decided: the reference's, [N, ...] or [N], that decisions are made of.
            decisions: how.
            tolerance: what a float32 file may differ by, in the unit of `answer`.
        """
        rows = np.asarray(answer, np.float64).reshape(len(answer), -1)
        distances = decisions.distances(decided)
        reach = decisions.reach(rows.shape[1]) * tolerance
        return cls(
            scale=float(np.abs(rows).max(initial=0.0)),
            spread=float(np.ptp(rows, axis=0).max(initial=0.0)) if len(rows) > 1 else None,
            within=int((distances <= reach).sum()),
            decisions=int(distances.size),
        )

    def exceeded(self, tolerance: float) -> str | None:
        """Return in words why a tolerance says nothing here, and what would be needed; None where it is sound.

        One decision that happens to lie at its threshold says nothing yet.
        """
        tops = [
            (SCALE_SHARE * self.scale, f"2^-11 of the largest output, {self.scale:.2g}: float16 would pass as well")
        ]
        if self.spread is not None:
            tops.append((SPREAD_SHARE * self.spread, f"a tenth of what films differ by, {self.spread:.2g}"))
        top, why = min(tops)
        if not tolerance <= top:
            return f"a tolerance of {tolerance:.2g} proves nothing, at most {top:.2g} is needed ({why})"
        if self.within > FLIPS_SHARE * self.decisions and (self.within > 1 or self.decisions == 1):
            near = f"{self.within} of {self.decisions} decisions lie within it, at most {FLIPS_SHARE:.0%} may"
            return f"a tolerance of {tolerance:.2g} proves nothing: {near}"
        return None


def shortfall(decision_db: float, sides: Mapping[str, int]) -> str | None:
    """Return in words what a reduced file lacks before its flips mean anything; None where nothing is lacking.

    Args:
        decision_db: how far it moves margins beside how far they are from a decision, in dB (Decisions.signal_db).
        sides: films on each side of each decision (Decisions.sides).
    """
    lacks = []
    if not decision_db >= DECISION_DB:
        moved = f"margins move by too much to be counted on, {decision_db:.1f} dB below their distance from a decision"
        lacks.append(f"{moved}, {DECISION_DB:g} needed")
    few = [(count, name) for name, count in sides.items() if count < SIDE_FILMS]
    if not sides:
        lacks.append("how many films lie on each side of a decision is not known")
    for count, name in sorted(few)[:SHOWN]:
        lacks.append(f"{count} {name}, {SIDE_FILMS} needed")
    if len(few) > SHOWN:
        lacks.append(f"and {len(few) - SHOWN} more sides like these")
    return "; ".join(lacks) or None


def _evidence_json() -> dict[str, Any]:
    """Return the limits that hold for every network, each with its origin."""
    return {
        "ceiling_shares": {"scale": SCALE_SHARE, "spread": SPREAD_SHARE, "decisions": FLIPS_SHARE},
        "ceiling_shares_origin": (
            "of the largest output one rounding to float16 (2^-11), beyond which a file of half the bits would pass; a "
            "tenth of what films differ by; and no more decisions within the tolerance than a reduced file may change"
        ),
        "decision_db": DECISION_DB,
        "decision_db_origin": "at 10 dB margins that are normal about their threshold flip once in ten",
        "side_films": SIDE_FILMS,
        "side_films_origin": "0 flips of 29 films bound the share of a side below 10 % at 95 % confidence",
    }


def too_few(flips: int, decisions: int, share: float = FLIPS_SHARE) -> int | None:
    """Return how many decisions would be needed before so many flips could fail a limit; None where these can fail it.

    48 films cannot fail 1 %: the first flip is 2 %. Where even the lower bound of what flips is above the limit
    (one-sided, 95 %), a few are enough.

    Args:
        flips: that were counted.
        decisions: that were made.
        share: of them that may flip.
    """
    if flips <= share * decisions or decisions >= round(1 / share) or lower_bound(flips, decisions) > share:
        return None
    return round(flips / share)


# --- bundle ---


@dataclass(frozen=True, slots=True)
class Tolerances:
    """What a float32 artefact of one network may differ by, on the films that were fed."""

    logits: float
    noise: float  # max |float32 PyTorch - float64 PyTorch|, logits
    rounding_step: float  # one float32 rounding step of what the margin is summed from, logits
    ceiling: Ceiling

    @classmethod
    def derive(cls, reference: Prediction, float64: Prediction, *, threshold: float) -> Tolerances:
        """Derive the tolerance from PyTorch's own rounding on the same films.

        A lucky order of summation can leave PyTorch almost no noise, so one rounding step is
        the floor: float32's epsilon times the mean magnitude of the evidence, whose mean is
        the margin. No float32 program can be expected to do better.

        Args:
            reference: PyTorch's in float32.
            float64: PyTorch's in float64.
            threshold: margin in logits, from which films keep their distances.
        """
        noise = float(np.abs(reference.logits.astype(np.float64) - float64.logits).max())
        summed = np.abs(float64.logits) if float64.evidence is None else np.abs(float64.evidence).mean((1, 2))
        step = float(summed.max()) * float(np.finfo(np.float32).eps)
        tolerance = TIMES_NOISE * max(noise, step)
        ceiling = Ceiling.of(reference.logits, reference.margin, Decisions.at(threshold), tolerance)
        return cls(tolerance, noise, step, ceiling)

    @property
    def empty(self) -> str | None:
        """Why a file within the tolerance would not be shown to be the same network; None where it would."""
        return self.ceiling.exceeded(self.logits)

    def to_json(self) -> dict[str, Any]:
        """Return the numbers with their origin, and those that hold for every network with theirs."""
        origin = (
            f"{TIMES_NOISE:g} x the larger of two: the largest difference between PyTorch in float32 and in float64 on "
            "these films, and one float32 rounding step of the mean |evidence| that the margin is summed from"
        )
        return asdict(self) | {"empty": self.empty, "logits_origin": origin} | _same_for_all() | _evidence_json()


def _same_for_all() -> dict[str, Any]:
    float64_origin = (
        "twice as far from float64, root mean square, as float32 PyTorch is, or as one float32 rounding step of what "
        "the margin is summed from, where that is larger; not judged on fewer films: on 31 its interval was 6 dB wide"
    )
    return {
        "identity": IDENTITY,
        "identity_origin": "some ten times the 8e-6 logits by which ResNet50 in TFLite float32 was measured to miss",
        "flips_share": FLIPS_SHARE,
        "flips_share_origin": "a choice: of a hundred films one may change sides and the file may still serve",
        "float64_db": {"allowed": ALLOWED_DB, "films": FLOAT64_FILMS, "origin": float64_origin},
    }


def judge_float32(
    difference: Difference, tolerances: Tolerances, *, sha256: str, float64_distance: dict[str, float] | None = None
) -> ArtefactVerdict:
    """CERTIFIED if the logits stay within the tolerance, no decision flips and the map adds up.

    CANNOT SAY where they stay within a tolerance that proves nothing: what flips there, the noise may have flipped.

    Args:
        difference: from float32 PyTorch.
        tolerances: of the network, on the inputs that were fed.
        sha256: of the artefact.
        float64_distance: its distance from float64 PyTorch (parity.compare), judged on 256 films or more.
    """
    figures = difference.to_json()
    if difference.problem is not None:
        return ArtefactVerdict(Verdict.FAILED, sha256, difference.problem, figures)
    problems = []
    if not difference.max_abs_logits <= tolerances.logits:
        problems.append(f"logits differ by {difference.max_abs_logits:.1e}, allowed {tolerances.logits:.1e}")
    if difference.flips and tolerances.empty is None:
        problems.append(f"{difference.flips} of {difference.samples} decisions flip")
    if difference.identity is not None and not difference.identity <= IDENTITY:
        problems.append(f"the evidence misses the margin by {difference.identity:.1e}, allowed {IDENTITY:.0e}")
    if (
        float64_distance is not None
        and difference.samples >= FLOAT64_FILMS
        and not float64_distance["db"] <= ALLOWED_DB
    ):
        further = f"{float64_distance['db']:.1f} dB further from float64 than float32 PyTorch ({OR_STEP})"
        problems.append(f"{further}, allowed {ALLOWED_DB:g}")
    if problems:
        return ArtefactVerdict(Verdict.FAILED, sha256, "; ".join(problems), figures)
    if tolerances.empty is not None:
        reason = f"{tolerances.empty}; logits within {difference.max_abs_logits:.1e} of PyTorch, {_flips(difference)}"
        return ArtefactVerdict(Verdict.CANNOT_SAY, sha256, reason, figures)
    distance = f"logits within {difference.max_abs_logits:.1e} of PyTorch (allowed {tolerances.logits:.1e})"
    reason = f"{distance}, {_flips(difference)}"
    return ArtefactVerdict(Verdict.CERTIFIED, sha256, reason, figures)


def judge_reduced(difference: Difference, *, sha256: str, empty: str | None = None) -> ArtefactVerdict:
    """BOUNDED if at most 1 % of the decisions flip; certificate.deployment selects what is deployed.

    CANNOT SAY where so few flip on films that show too little: on one side of the threshold alone, say, or so few that
    one flip alone would be more than 1 %.

    Args:
        difference: from float32 PyTorch.
        sha256: of the artefact.
        empty: why nothing can be said of PyTorch's own answers (`Tolerances.empty`).
    """
    figures = difference.to_json()
    if difference.problem is not None:
        return ArtefactVerdict(Verdict.FAILED, sha256, difference.problem, figures)
    needed = too_few(difference.flips, difference.samples)
    if difference.flips > FLIPS_SHARE * difference.samples and needed is None:
        return ArtefactVerdict(Verdict.FAILED, sha256, _flips(difference), figures)
    moved = f"no margin moved by more than {difference.max_abs_margin:.2g} logits"
    few = None if needed is None else f"{difference.samples} films cannot show {FLIPS_SHARE:.0%}, {needed} needed"
    lacks = "; ".join(filter(None, (few, empty, shortfall(difference.decision_db, difference.sides))))
    if lacks:
        return ArtefactVerdict(Verdict.CANNOT_SAY, sha256, f"{lacks}; {_flips(difference)}; {moved}", figures)
    return ArtefactVerdict(Verdict.BOUNDED, sha256, f"{_flips(difference)}; {moved}", figures)


def _flips(difference: Difference) -> str:
    bound = upper_bound(difference.flips, difference.samples)
    return (
        f"{difference.flips} of {difference.samples} decisions flip, "
        f"so at most {100 * bound:.2g} % of such films at 95 % confidence"
    )


# --- outputs ---
# Of third-party files: every output is held to the reference's own rounding, and no decision may change.

OUTPUT_FLOOR = 1e-6  # of the output's scale; about eight rounding steps, where ONNX Runtime shows no noise at all
CERTIFIED, MEASURED, FAILED, NOT_MADE = "CERTIFIED", "MEASURED", "FAILED", "NOT MADE"
CANNOT_SAY = str(Verdict.CANNOT_SAY)
TINY = float(np.finfo(np.float64).tiny)  # in the place of a tolerance of 0: one film whose answer is 0
OUTPUT_ORIGIN = (
    f"{TIMES_NOISE:g} times the largest of: ONNX Runtime optimised against not, preprocessing rounded in float32 "
    f"against float64, one float32 step of the output's scale; at least {OUTPUT_FLOOR:g} of that scale"
)


@dataclass(frozen=True, slots=True)
class OutputTolerance:
    """How much one output of the reference moves for reasons that are none of the converted file's."""

    optimised: float  # max |ONNX Runtime optimised - unoptimised|
    preprocessing: float  # max |preprocessing in float32 - in float64|, through the reference
    step: float  # one float32 rounding step of the output's scale
    ceiling: Ceiling

    @classmethod
    def derive(
        cls, reference: NDArray[Any], optimised: NDArray[Any], rounded: NDArray[Any], decisions: Decisions
    ) -> OutputTolerance:
        """Derive the tolerance from the reference's own rounding on the same films.

        Args:
            reference: ONNX Runtime without optimisations.
            optimised: the same file with them.
            rounded: without them, on films that were normalised in float32, multiply and add, as the graph does.
            decisions: how the output decides, from which films keep their distances.
        """
        scale = float(np.abs(reference).max())
        moved = [float(np.abs(one.astype(np.float64) - reference).max()) for one in (optimised, rounded)]
        step = float(np.finfo(np.float32).eps) * scale
        found = cls(moved[0], moved[1], step, Ceiling(scale, None, 0, 0))
        return replace(found, ceiling=Ceiling.of(reference, reference, decisions, found.tolerance))

    @property
    def tolerance(self) -> float:
        """What a float32 file may differ by."""
        return max(TIMES_NOISE * max(self.optimised, self.preprocessing, self.step), OUTPUT_FLOOR * self.ceiling.scale)

    @property
    def empty(self) -> str | None:
        """Why a file within the tolerance would not be shown to be the same network; None where it would."""
        return self.ceiling.exceeded(self.tolerance)

    def to_json(self) -> dict[str, Any]:
        """Return the numbers with the tolerance, its ceiling and their origins."""
        stated = {"tolerance": self.tolerance, "origin": OUTPUT_ORIGIN, "empty": self.empty}
        return asdict(self) | stated | {"limits": _evidence_json()}


def judge_outputs(
    found: Sequence[OutputDifference], tolerances: Mapping[str, OutputTolerance], *, exact: bool
) -> tuple[str, str]:
    """Return verdict and reason: float32 is certified or fails, a reduced file is measured, or changes too much.

    Either is CANNOT SAY where the films or the reference's own noise show too little.

    Args:
        found: its outputs against the reference's.
        tolerances: by output.
        exact: whether it is a float32 file.
    """
    problems = [f"{one.output}: {one.problem}" for one in found if one.problem is not None]
    if problems and not exact:
        return FAILED, "; ".join(problems)
    empty = {one.output: why for one in found if (why := tolerances[one.output].empty) is not None}
    return _judge_exact(found, tolerances, empty, problems) if exact else _judge_reduced(found, empty)


def _judge_reduced(found: Sequence[OutputDifference], empty: Mapping[str, str]) -> tuple[str, str]:
    worst = max(found, key=lambda one: (one.flips / max(one.decisions, 1), -one.decision_db))
    reason = f"{worst.output}: {worst.sqnr_db:.0f} dB, {_output_flips(worst)}"
    needed = too_few(worst.flips, worst.decisions)
    if worst.flips > FLIPS_SHARE * worst.decisions and needed is None:
        return FAILED, f"{reason}; allowed {FLIPS_SHARE:.0%}: not offered"
    for one in found:  # among many labels one may be lost within 1 % of all; of one alone a single flip may be chance
        for label, flips in one.flips_by_label.items():
            if flips > max(1, FLIPS_SHARE * one.samples):
                lost = f"{one.output}: {label} differs on {flips} of {one.samples} films"
                return FAILED, f"{lost}, allowed {FLIPS_SHARE:.0%}: not offered; {reason}"
    short = {one.output: why for one in found if (why := shortfall(one.decision_db, one.sides)) is not None}
    few = f"{worst.decisions} {worst.noun} cannot show {FLIPS_SHARE:.0%}, {needed} needed"
    short = ({worst.output: few} if needed is not None else {}) | short
    lacks = [f"{name}: {why}" for one in (empty, short) for name, why in one.items()]
    return (CANNOT_SAY, "; ".join([*lacks, reason])) if lacks else (MEASURED, reason)


def _judge_exact(
    found: Sequence[OutputDifference],
    tolerances: Mapping[str, OutputTolerance],
    empty: Mapping[str, str],
    problems: list[str],
) -> tuple[str, str]:
    for one in found:
        allowed = tolerances[one.output].tolerance
        if one.problem is None and not one.max_abs <= allowed:
            problems.append(f"{one.output} differs by {one.max_abs:.2g}, allowed {allowed:.2g}")
        if one.problem is None and one.flips and one.output not in empty:
            problems.append(f"{one.flips} of {one.decisions} {one.noun} on {one.output} differ")
    if problems:
        return FAILED, "; ".join(problems)
    worst = max(found, key=lambda one: one.max_abs / max(tolerances[one.output].tolerance, TINY))
    allowed = tolerances[worst.output].tolerance
    reason = f"{worst.output} within {worst.max_abs:.2g}, allowed {allowed:.2g}; {_output_flips(worst)}"
    lacks = [f"{name}: {why}" for name, why in empty.items()]
    return (CANNOT_SAY, "; ".join([*lacks, reason])) if lacks else (CERTIFIED, reason)


def _output_flips(one: OutputDifference) -> str:
    """Say how many decisions differ, and on how many films like these that may be, at 95 % confidence."""
    if not one.decisions:
        return f"a score: its largest error is {one.relative:.1e} of the largest output"
    bound = f"at most {upper_bound(one.films_changed, one.samples):.1%}"
    if one.decisions == one.samples:
        return f"{one.flips} of {one.decisions} {one.noun} differ ({bound}, 95 %)"
    worst = sorted(one.flips_by_label.items(), key=lambda pair: -pair[1])[:SHOWN]
    named = f", most on {', '.join(f'{name} ({count})' for name, count in worst)}" if worst else ""
    films = f"{one.films_changed} of {one.samples} films"
    return f"{one.flips} of {one.decisions} {one.noun} differ, on {films} ({bound} of films, 95 %){named}"
