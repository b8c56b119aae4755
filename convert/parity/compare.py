"""Compare two runtimes' answers to the same films, with each other and with float64 PyTorch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tbconv.contract.prediction import Prediction
from tbconv.contract.statistics import identity_error, is_positive, sqnr_db

# --- parity ---
# Compare what two programs say of the same films: in numbers, worst first, decisions counted.
#
# numpy only. NaN equals nothing, an empty set agrees with nothing, and a shape that differs is
# a difference, not an exception.

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
    missed: int  # the reference refers, this one does not
    added: int  # this one refers, the reference does not

    @property
    def flips(self) -> int:
        """Decisions that differ."""
        return self.missed + self.added

    def to_json(self) -> dict[str, Any]:
        """Return the figures ready for JSON, which knows neither NaN nor Infinity."""
        values = asdict(self) | {"flips": self.flips}
        return {k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in values.items()}

    def within(self, atol: float) -> bool:
        """Whether samples were compared, none strays beyond `atol`, and no decision changes."""
        return self.samples > 0 and self.problem is None and self.max_abs_logits <= atol and self.flips == 0


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
    refers, others = is_positive(reference.margin, threshold), is_positive(other.margin, threshold)
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
    )


def find_problem(answer: Prediction, samples: int, *, alike: bool = False) -> str | None:
    """Return what makes an answer unusable before any distance is measured, or None."""
    if samples == 0:
        return "no film was compared"
    for name, shape in SHAPES.items():
        array = getattr(answer, name)
        if array is None and name == "evidence":
            continue
        if array.shape != (samples, *shape):
            return f"{name} has shape {array.shape}, not {(samples, *shape)}"
        if not np.isfinite(array).all():
            return f"{name} holds {int((~np.isfinite(array)).sum())} values that are NaN or infinite"
    if samples > 1 and not alike and np.ptp(answer.logits, axis=0).max() == 0:
        return "logits are the same for every film"
    return None


def is_finite(answer: Prediction) -> bool:
    """Return whether no output that is there holds NaN or infinity."""
    arrays = (answer.logits, answer.probability, answer.evidence)
    return all(bool(np.isfinite(array).all()) for array in arrays if array is not None)


def _max_abs(reference: NDArray[np.floating] | None, other: NDArray[np.floating]) -> float:
    if reference is None:
        return float(np.nan)
    return float(np.abs(other.astype(np.float64) - reference).max())


# --- oracle ---
# How far a file is from the float64 oracle, against how far float32 PyTorch itself is: one number in dB.
#
# numpy only. A file compared with float32 PyTorch pays for PyTorch's rounding as well; here it pays for its own.
# Against PyTorch's own distance, or against one float32 rounding step of what the margin is summed from, where that
# is larger.

ALLOWED_DB = 6.0  # a float32 file may be twice as far from the oracle as eager PyTorch (or the step), root mean square
OR_STEP = "or than one float32 rounding step of what the margin is summed from, where that is larger"
ALLOWED_GAP_DB = 3.0  # a float16 file beside another runtime with the same rounded weights


def float64_distance(answer: Prediction, reference: Prediction, oracle: Prediction) -> dict[str, float]:
    """Return the root mean square distances of the margins from the oracle's, and their ratio in dB.

    Eager PyTorch can be lucky, so its own distance counts as at least one float32 rounding step of what the margin
    is summed from: epsilon x mean |evidence| of each film, root mean model_input.

    Args:
        answer: one file's answers for N films, finite.
        reference: PyTorch's in float32.
        oracle: PyTorch's in float64.

    Returns:
        `rms` and `eager_rms` and `floor_rms` in logits, `db` = 20 log10(rms / max(eager_rms, floor_rms)).
    """
    rms, eager = (_rms(one.margin.astype(np.float64) - oracle.margin) for one in (answer, reference))
    summed = np.abs(oracle.logits).max(axis=1) if oracle.evidence is None else np.abs(oracle.evidence).mean((1, 2))
    floor = _rms(summed.astype(np.float64)) * float(np.finfo(np.float32).eps)
    tiny = 1e-300  # an answer that is the oracle's has no logarithm
    ratio = 20 * float(np.log10(max(rms, tiny) / max(eager, floor, tiny)))
    return {"rms": rms, "eager_rms": eager, "floor_rms": floor, "db": max(ratio, -300.0)}


def gap_db(file: dict[str, float], yardstick: dict[str, float]) -> float | None:
    """Return how much further a file is from the oracle than its yardstick, in dB; None where either is on it."""
    return 20 * float(np.log10(file["rms"] / yardstick["rms"])) if file["rms"] > 0 and yardstick["rms"] > 0 else None


def _rms(values: NDArray[np.float64]) -> float:
    return float(np.sqrt(np.square(values).mean()))
