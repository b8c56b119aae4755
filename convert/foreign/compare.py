"""What one file's outputs are held against: the oracle's, film by film, decision by decision; numpy only.

There is no threshold here, so a decision is the class with the largest output, or for a single
output the side of its middle on which it lies.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.parity import sqnr_db

Outputs = dict[str, NDArray[Any]]
EPSILON = float(np.finfo(np.float32).eps)
TIMES = 10.0  # the noise that a correct float32 file may show; as for our own networks (docs/adr/0003)
FLOOR = 1e-6  # of the output's scale; about eight rounding steps, where ONNX Runtime shows no noise at all
HALF = 0.5


@dataclass(frozen=True, slots=True)
class Noise:
    """How much the oracle's own answer moves for reasons that are none of the converted file's."""

    optimised: float  # max |ONNX Runtime optimised - unoptimised|
    preprocessing: float  # max |preprocessing in float32 - in float64|, through the oracle
    step: float  # one float32 rounding step of the output's scale
    scale: float  # largest |output|

    @property
    def tolerance(self) -> float:
        """What a float32 file may differ by."""
        return max(TIMES * max(self.optimised, self.preprocessing, self.step), FLOOR * self.scale)


@dataclass(frozen=True, slots=True)
class Difference:
    """One output of one file against the oracle's, over all films."""

    output: str
    samples: int
    problem: str | None  # a missing output, another shape, NaN, Inf, a constant: nothing else is then measured
    max_abs: float
    median: float  # of each film's largest difference
    p99: float
    sqnr_db: float
    flips: int  # decisions that differ

    def to_json(self) -> dict[str, Any]:
        """Return the figures ready for JSON, which knows neither NaN nor Infinity."""
        return {k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in asdict(self).items()}


def measure_noise(oracle: Outputs, optimised: Outputs, rounded: Outputs) -> dict[str, Noise]:
    """Return the oracle's noise by output.

    Args:
        oracle: ONNX Runtime without optimisations.
        optimised: the same file with them.
        rounded: without them, fed with films that were normalised in float32, multiply and add, as the graph does.
    """
    found = {}
    for name, answer in oracle.items():
        scale = float(np.abs(answer).max())
        off, early = (float(np.abs(other[name].astype(np.float64) - answer).max()) for other in (optimised, rounded))
        found[name] = Noise(off, early, step=EPSILON * scale, scale=scale)
    return found


def compare(oracle: Outputs, other: Outputs) -> list[Difference]:
    """Measure every output of the oracle; one that the other lacks is a problem, not an exception."""
    return [_compare_one(name, answer, other.get(name)) for name, answer in oracle.items()]


def _compare_one(name: str, oracle: NDArray[Any], other: NDArray[Any] | None) -> Difference:
    problem = find_problem(oracle, other)
    if problem is not None or other is None:
        return Difference(name, len(oracle), problem, np.inf, np.inf, np.inf, -np.inf, len(oracle))
    apart = np.abs(other.astype(np.float64) - oracle).reshape(len(oracle), -1).max(1)
    return Difference(
        output=name,
        samples=len(oracle),
        problem=None,
        max_abs=float(apart.max()),
        median=float(np.median(apart)),
        p99=float(np.quantile(apart, 0.99)),
        sqnr_db=sqnr_db(oracle, other),
        flips=int((decide(oracle, oracle) != decide(other, oracle)).sum()),
    )


def find_problem(oracle: NDArray[Any], other: NDArray[Any] | None) -> str | None:
    """Return what makes an answer unusable before any distance is measured, or None."""
    if other is None:
        return "the output is missing"
    if len(oracle) == 0:
        return "no film was compared"
    if other.shape != oracle.shape:
        return f"its shape is {list(other.shape)}, not {list(oracle.shape)}"
    if not np.isfinite(other).all():
        return f"{int((~np.isfinite(other)).sum())} values are NaN or infinite"
    if len(other) > 1 and np.ptp(other, axis=0).max() == 0 and np.ptp(oracle, axis=0).max() > 0:
        return "it is the same for every film"
    return None


def decide(answer: NDArray[Any], oracle: NDArray[Any]) -> NDArray[np.int64]:
    """Return the decision on each film, int64 [N]: the largest class, or the side of the middle.

    The middle of a single output is 0, or 0.5 where the oracle gives nothing outside 0..1: then it is a probability.
    """
    rows = answer.reshape(len(answer), -1)
    if rows.shape[1] > 1:
        largest: NDArray[np.int64] = rows.argmax(1)
        return largest
    return (rows[:, 0] > middle(oracle)).astype(np.int64)


def middle(oracle: NDArray[Any]) -> float:
    """Return the value that parts the two decisions of a single output."""
    return HALF if float(oracle.min()) >= 0 and float(oracle.max()) <= 1 else 0.0


def oracle_problem(oracle: Outputs) -> str | None:
    """Return why nothing can be compared with these answers, or None."""
    for name, answer in oracle.items():
        if not np.isfinite(answer).all():
            return f"output {name} of the file itself holds NaN or infinity"
        if len(answer) > 1 and np.ptp(answer, axis=0).max() == 0:
            return f"output {name} of the file itself is the same for every film"
    return None
