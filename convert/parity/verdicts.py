"""From measured differences to a verdict, with every tolerance and where it comes from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.parity.compare import ALLOWED_DB, OR_STEP, Difference, OutputDifference
from tbconv.contract.certificate import ArtefactVerdict, Verdict
from tbconv.contract.statistics import IDENTITY, Prediction, upper_bound

TIMES_NOISE = 10.0  # times the distance of float32 PyTorch from its float64 self
FLOAT64_FILMS = 256  # of 31 films the distance to float64 had an interval of 6 dB (docs/log.md)
FLIPS_SHARE = 0.01  # of decisions that a reduced-precision file may change and still serve


@dataclass(frozen=True, slots=True)
class Tolerances:
    """What a float32 artefact of one network may differ by, on the films that were fed."""

    logits: float
    noise: float  # max |float32 PyTorch - float64 PyTorch|, logits
    rounding_step: float  # one float32 rounding step of what the margin is summed from, logits

    @classmethod
    def derive(cls, reference: Prediction, float64: Prediction) -> Tolerances:
        """Derive the tolerance from PyTorch's own rounding on the same films.

        A lucky order of summation can leave PyTorch almost no noise, so one rounding step is
        the floor: float32's epsilon times the mean magnitude of the evidence, whose mean is
        the margin. No float32 program can be expected to do better.
        """
        noise = float(np.abs(reference.logits.astype(np.float64) - float64.logits).max())
        summed = np.abs(float64.logits) if float64.evidence is None else np.abs(float64.evidence).mean((1, 2))
        step = float(summed.max()) * float(np.finfo(np.float32).eps)
        return cls(TIMES_NOISE * max(noise, step), noise, step)

    def to_json(self) -> dict[str, Any]:
        """Return the numbers with their origin, and those that hold for every network with theirs."""
        origin = (
            f"{TIMES_NOISE:g} x the larger of two: the largest difference between PyTorch in float32 and in float64 on "
            "these films, and one float32 rounding step of the mean |evidence| that the margin is summed from"
        )
        return asdict(self) | {"logits_origin": origin} | _same_for_all()


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
    if difference.flips:
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
    distance = f"logits within {difference.max_abs_logits:.1e} of PyTorch (allowed {tolerances.logits:.1e})"
    reason = f"{distance}, {_flips(difference)}"
    return ArtefactVerdict(Verdict.CERTIFIED, sha256, reason, figures)


def judge_reduced(difference: Difference, *, sha256: str) -> ArtefactVerdict:
    """BOUNDED if at most 1 % of the decisions flip; certificate.deployment selects what is deployed."""
    figures = difference.to_json()
    if difference.problem is not None:
        return ArtefactVerdict(Verdict.FAILED, sha256, difference.problem, figures)
    if difference.flips > FLIPS_SHARE * difference.samples:
        return ArtefactVerdict(Verdict.FAILED, sha256, _flips(difference), figures)
    moved = f"no margin moved by more than {difference.max_abs_margin:.2g} logits"
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
    scale: float  # largest |output|

    @classmethod
    def derive(cls, reference: NDArray[Any], optimised: NDArray[Any], rounded: NDArray[Any]) -> OutputTolerance:
        """Derive the tolerance from the reference's own rounding on the same films.

        Args:
            reference: ONNX Runtime without optimisations.
            optimised: the same file with them.
            rounded: without them, on films that were normalised in float32, multiply and add, as the graph does.
        """
        scale = float(np.abs(reference).max())
        moved = [float(np.abs(one.astype(np.float64) - reference).max()) for one in (optimised, rounded)]
        return cls(moved[0], moved[1], step=float(np.finfo(np.float32).eps) * scale, scale=scale)

    @property
    def tolerance(self) -> float:
        """What a float32 file may differ by."""
        return max(TIMES_NOISE * max(self.optimised, self.preprocessing, self.step), OUTPUT_FLOOR * self.scale)

    def to_json(self) -> dict[str, Any]:
        """Return the numbers with the tolerance and its origin."""
        return asdict(self) | {"tolerance": self.tolerance, "origin": OUTPUT_ORIGIN}


def judge_outputs(
    found: Sequence[OutputDifference], tolerances: Mapping[str, OutputTolerance], *, exact: bool
) -> tuple[str, str]:
    """Return verdict and reason: float32 is certified or fails, a reduced file is measured, or changes too much.

    Args:
        found: its outputs against the reference's.
        tolerances: by output.
        exact: whether it is a float32 file.
    """
    problems = [f"{one.output}: {one.problem}" for one in found if one.problem is not None]
    if not exact:
        if problems:
            return FAILED, "; ".join(problems)
        worst = max(found, key=lambda one: (one.flips, -one.sqnr_db))
        reason = f"{worst.output}: {worst.sqnr_db:.0f} dB, {_output_flips(worst)}"
        if worst.flips > FLIPS_SHARE * worst.samples:
            return FAILED, f"{reason}; allowed {FLIPS_SHARE:.0%}: not offered"
        return MEASURED, reason
    for one in found:
        allowed = tolerances[one.output].tolerance
        if one.problem is None and not one.max_abs <= allowed:
            problems.append(f"{one.output} differs by {one.max_abs:.2g}, allowed {allowed:.2g}")
        if one.problem is None and one.flips:
            problems.append(f"{one.flips} of {one.samples} decisions on {one.output} differ")
    if problems:
        return FAILED, "; ".join(problems)
    worst = max(found, key=lambda one: one.max_abs / max(tolerances[one.output].tolerance, TINY))
    allowed = tolerances[worst.output].tolerance
    return CERTIFIED, f"{worst.output} within {worst.max_abs:.2g}, allowed {allowed:.2g}; {_output_flips(worst)}"


def _output_flips(one: OutputDifference) -> str:
    """Say how many decisions differ, and how many may, at 95 % confidence, on films like these."""
    return f"{one.flips} of {one.samples} decisions differ (at most {upper_bound(one.flips, one.samples):.1%}, 95 %)"
