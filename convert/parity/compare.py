"""The one comparer of two programs' answers to the same films: in numbers, worst first, decisions counted.

numpy only. NaN equals nothing, an empty set agrees with nothing, and a shape that differs is a difference, not an
exception.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.parity.decisions import Decisions
from tbconv.contract.statistics import Prediction, identity_error, sqnr_db

# --- a bundle's outputs ---

SHAPES = {"logits": (2,), "probability": (1,), "evidence": (7, 7)}
NOT_FINITE = "PyTorch's own answer holds values that are NaN or infinite"


@dataclass(frozen=True, slots=True)
class Difference:
    """How far one artefact's answers are from the reference's, over all films."""

    samples: int
    problem: str | None  # a wrong shape, NaN or Inf (PyTorch's too), a constant answer: nothing else is then measured
    max_abs_logits: float
    max_abs_margin: float
    max_abs_probability: float
    identity: float | None  # max |margin - mean(evidence)|; None where there is no map
    max_abs_evidence: float | None
    sqnr_db: float  # of the logits against the reference, in dB
    missed: int  # positive by the reference, not by this one
    added: int  # positive by this one, not by the reference
    decision_db: float = -np.inf  # how far margins moved beside how far they are from the threshold, in dB
    sides: dict[str, int] = field(default_factory=dict)  # films that the reference puts on each side; none: not known

    @property
    def flips(self) -> int:
        """Decisions that differ."""
        return self.missed + self.added

    def to_json(self) -> dict[str, Any]:
        """Return the figures ready for JSON, which knows neither NaN nor Infinity."""
        return finite_or_none(asdict(self) | {"flips": self.flips})

    def within(self, atol: float) -> bool:
        """Whether samples were compared, none differs by more than `atol`, and no decision changes."""
        return self.samples > 0 and self.problem is None and self.max_abs_logits <= atol and self.flips == 0


def finite_or_none(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Return figures with None in the place of NaN and Infinity, which JSON does not know."""
    return {k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in figures.items()}


def compare(reference: Prediction, other: Prediction, *, threshold: float, alike: bool = False) -> Difference:
    """Measure `other` against `reference` at an operating point.

    Args:
        reference: PyTorch's answers for N films.
        other: one artefact's answers for the same films, in the same order.
        threshold: margin in logits; a film at or above it is positive.
        alike: the films are so much alike that one answer to all of them is no problem.
    """
    problem = find_problem(other, len(reference.logits), alike=alike)
    if problem is None and not is_finite(reference):
        problem = NOT_FINITE
    if problem is not None:
        return Difference(len(reference.logits), problem, np.inf, np.inf, np.inf, None, None, -np.inf, 0, 0)
    decisions = Decisions.at(threshold)
    refers, others = (decisions.of(one.margin) > 0 for one in (reference, other))
    return Difference(
        samples=len(reference.logits),
        problem=None,
        max_abs_logits=_max_abs(reference.logits, other.logits),
        max_abs_margin=_max_abs(reference.margin, other.margin),
        max_abs_probability=_max_abs(reference.probability, other.probability),
        identity=identity_error(other),
        max_abs_evidence=None if other.evidence is None else _max_abs(reference.evidence, other.evidence),
        sqnr_db=sqnr_db(reference.logits, other.logits),
        missed=int((refers & ~others).sum()),
        added=int((~refers & others).sum()),
        decision_db=decisions.signal_db(reference.margin, other.margin),
        sides=decisions.sides(reference.margin),
    )


def find_problem(answer: Prediction, samples: int, *, alike: bool = False) -> str | None:
    """Return what makes an answer unusable before any distance is measured, or None."""
    if samples == 0:
        return "no film was compared"
    for name, shape in SHAPES.items():
        array = getattr(answer, name)
        if array is None and name == "evidence":
            continue
        problem = array_problem(array, (samples, *shape))
        if problem is not None:
            return f"{name}: {problem}"
    return None if alike or varies(answer.logits) else "logits are the same for every film"


def array_problem(array: NDArray[Any], shape: tuple[int, ...]) -> str | None:
    """Return what makes one output unusable: another shape, NaN, infinity; else None."""
    if array.shape != shape:
        return f"shape {list(array.shape)}, not {list(shape)}"
    wrong = int((~np.isfinite(array)).sum())
    return f"{wrong} values are NaN or infinite" if wrong else None


def varies(array: NDArray[Any]) -> bool:
    """Return whether not all films have the same answer; one film alone says nothing."""
    return len(array) < 2 or bool(np.ptp(array, axis=0).max() > 0)


def is_finite(answer: Prediction) -> bool:
    """Return whether no output that is there holds NaN or infinity."""
    arrays = (answer.logits, answer.probability, answer.evidence)
    return all(bool(np.isfinite(array).all()) for array in arrays if array is not None)


def _max_abs(reference: NDArray[np.floating] | None, other: NDArray[np.floating]) -> float:
    if reference is None:
        return float(np.nan)
    return float(np.abs(other.astype(np.float64) - reference).max())


# --- outputs ---
# What the outputs of a third-party network mean is unknown: each is compared separately, by name, and decides by its
# own task (convert.parity.decisions).


@dataclass(frozen=True, slots=True)
class OutputDifference:
    """One output of one file against the reference's, over all films."""

    output: str
    samples: int
    problem: str | None  # a missing output, another shape, NaN, Inf, a constant: nothing else is then measured
    max_abs: float
    median: float  # of each film's largest difference
    p99: float
    sqnr_db: float
    flips: int  # decisions that differ
    task: str = "one-of-n"
    noun: str = "decisions"
    decisions: int = 0  # how many there are: of several labels as many a film, of a score none
    films_changed: int = 0  # films with a decision that differs
    flips_by_label: dict[str, int] = field(default_factory=dict)  # of several labels, those with any
    decision_db: float = -np.inf  # how far margins moved beside how far they are from a decision, in dB
    relative: float = np.inf  # the largest difference as a share of the largest output
    sides: dict[str, int] = field(default_factory=dict)  # films on each side of a decision; none: not known
    band: dict[str, Any] | None = None  # where the file decides nothing (Decisions.band); None of a score

    def to_json(self) -> dict[str, Any]:
        """Return the figures ready for JSON."""
        return finite_or_none(asdict(self))


def compare_outputs(
    reference: Mapping[str, NDArray[Any]], other: Mapping[str, NDArray[Any]], decisions: Mapping[str, Decisions]
) -> tuple[OutputDifference, ...]:
    """Measure every output of the reference; one that the other lacks is a problem, not an exception."""
    return tuple(_compare_output(name, answer, other.get(name), decisions[name]) for name, answer in reference.items())


def _compare_output(
    name: str, reference: NDArray[Any], other: NDArray[Any] | None, decisions: Decisions
) -> OutputDifference:
    samples, problem = len(reference), output_problem(reference, other)
    counted = decisions.of(reference).size
    if problem is not None or other is None:
        unusable = OutputDifference(name, samples, problem, np.inf, np.inf, np.inf, -np.inf, counted)
        return replace(unusable, task=decisions.task, noun=decisions.noun, decisions=counted, films_changed=samples)
    distance = np.abs(other.astype(np.float64) - reference).reshape(samples, -1).max(1)
    flips = decisions.flips(reference, other)
    by_label = {decisions.name(column): int(count) for column, count in enumerate(flips.sum(axis=0)) if count}
    scale = float(np.abs(reference).max())
    return OutputDifference(
        output=name,
        samples=samples,
        problem=None,
        max_abs=float(distance.max()),
        median=float(np.median(distance)),
        p99=float(np.quantile(distance, 0.99)),
        sqnr_db=sqnr_db(reference, other),
        flips=int(flips.sum()),
        task=decisions.task,
        noun=decisions.noun,
        decisions=counted,
        films_changed=int(flips.any(axis=1).sum()),
        flips_by_label=by_label if decisions.task == "multi-label" else {},
        decision_db=decisions.signal_db(reference, other),
        relative=float(distance.max()) / scale if scale > 0 else float(distance.max() > 0),
        sides=decisions.sides(reference),
        band=decisions.band(reference, other),
    )


def output_problem(reference: NDArray[Any], other: NDArray[Any] | None) -> str | None:
    """Return what makes an output unusable before any distance is measured, or None."""
    if other is None:
        return "the output is missing"
    if len(reference) == 0:
        return "no film was compared"
    problem = array_problem(other, reference.shape)
    if problem is None and varies(reference) and not varies(other):
        problem = "it is the same for every film"
    return problem


# --- resemblance ---
# What wrong answers look like: known mistakes of exports, seen from the answers alone.

ALIKE = 0.25  # a mistake is named where it takes away three quarters of the distance; as tbconv.contract.golden does


def resemblance(reference: NDArray[Any], other: NDArray[Any]) -> str | None:
    """Return what an output looks like beside the reference's, [N, C] both: in another order, as probabilities ...

    None where it looks like nothing known, or does not differ.
    """
    if reference.shape != other.shape or reference.ndim != 2 or not np.isfinite([reference, other]).all():
        return None
    one, two = reference.astype(np.float64), other.astype(np.float64)
    known: dict[str, NDArray[np.float64]] = {}
    if one.shape[1] > 1 and len(one) > 1:
        places = np.abs(one[:, :, None] - two[:, None, :]).max(axis=0).argmin(axis=0)
        if len(set(places.tolist())) == one.shape[1] and (places != np.arange(one.shape[1])).any():
            known[f"its classes in the order {places[:10].tolist()}"] = one[:, places]
    raised = np.exp(one - one.max(axis=1, keepdims=True))
    known["its softmax"] = raised / raised.sum(axis=1, keepdims=True)
    known["its sigmoid"] = 1 / (1 + np.exp(-np.clip(one, -700, 700)))
    known["its negative"] = -one
    far = float(np.abs(two - one).max(initial=0.0))
    found = ((float(np.abs(two - made).max(initial=0.0)), words) for words, made in known.items())
    nearest, words = min(found)
    return words if nearest < ALIKE * far else None


# --- float64 ---
# How far a file is from the float64 reference, against how far float32 PyTorch itself is: one number in dB.
#
# numpy only. A file compared with float32 PyTorch pays for PyTorch's rounding as well; here it pays for its own.
# Against PyTorch's own distance, or against one float32 rounding step of what the margin is summed from, where that
# is larger.

ALLOWED_DB = 6.0  # a float32 file may be twice as far from float64 as eager PyTorch (or the step), root mean square
OR_STEP = "or than one float32 rounding step of what the margin is summed from, where that is larger"
ALLOWED_GAP_DB = 3.0  # a float16 file beside another runtime with the same rounded weights


def float64_distance(answer: Prediction, reference: Prediction, exact: Prediction) -> dict[str, float]:
    """Return the root mean square distances of the margins from those in float64, and their ratio in dB.

    Eager PyTorch can be lucky, so its own distance counts as at least one float32 rounding step of what the margin
    is summed from: epsilon x mean |evidence| of each film, root mean square.

    Args:
        answer: one file's answers for N films, finite.
        reference: PyTorch's in float32.
        exact: PyTorch's in float64.

    Returns:
        `rms` and `eager_rms` and `floor_rms` in logits, `db` = 20 log10(rms / max(eager_rms, floor_rms)).
    """
    rms, eager = (_rms(one.margin.astype(np.float64) - exact.margin) for one in (answer, reference))
    summed = np.abs(exact.logits).max(axis=1) if exact.evidence is None else np.abs(exact.evidence).mean((1, 2))
    floor = _rms(summed.astype(np.float64)) * float(np.finfo(np.float32).eps)
    tiny = 1e-300  # an answer without any distance has no logarithm
    ratio = 20 * float(np.log10(max(rms, tiny) / max(eager, floor, tiny)))
    return {"rms": rms, "eager_rms": eager, "floor_rms": floor, "db": max(ratio, -300.0)}


def gap_db(file: dict[str, float], other: dict[str, float]) -> float | None:
    """Return how much further a file is from float64 than another one, in dB; None where either has no distance."""
    return 20 * float(np.log10(file["rms"] / other["rms"])) if file["rms"] > 0 and other["rms"] > 0 else None


def _rms(values: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.square(values).mean()))
